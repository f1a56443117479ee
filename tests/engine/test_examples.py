"""The examples in the engine's docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

from cnnviz_widgets import engine
from cnnviz_widgets.engine.regularizers import Regularizer

MODULES = [found.name for found in pkgutil.walk_packages(engine.__path__, f"{engine.__name__}.")]


@pytest.fixture(autouse=True)
def _classes_of_an_example() -> Iterator[None]:
    """The classes that an example defines are forgotten after it."""
    before = dict(Regularizer.registry)
    yield
    Regularizer.registry.clear()
    Regularizer.registry.update(before)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
