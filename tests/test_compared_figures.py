"""The figures of two networks: what is on them, and what they refuse."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import cnnviz_widgets as cnn
from cnnviz_widgets import figures
from cnnviz_widgets.engine.comparison import Answers
from cnnviz_widgets.engine.similarity import LayerSimilarity


def said(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def pictures(figure: Figure) -> int:
    return sum(len(axes.images) for axes in figure.axes)


def written(figure: Figure) -> int:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf")
    return len(buffer.getvalue())


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_tiles_of_both_and_their_difference() -> None:
    sides = cnn.comparison.maps(noise(9, 6, 6), noise(9, 6, 6, seed=1), scale="layer", shared=True)
    figure = figures.side_by_side(sides, names=("before", "after"))
    assert {"before", "after", "difference"} <= set(said(figure))
    # three grids, and a scale of colours for each
    assert pictures(figure) == 6
    assert any("the second minus the first" in text for text in said(figure))
    assert written(figure) > 1000


def test_without_a_difference_there_are_two() -> None:
    sides = cnn.comparison.kernels(noise(4, 3, 5, 5), noise(6, 3, 7, 7))
    figure = figures.side_by_side(sides)
    assert pictures(figure) == 2
    assert "difference" not in said(figure)


def test_classes_with_the_verdict_or_without() -> None:
    answers = Answers(
        (("cat", 0.7), ("$x_1$", 0.2)), (("dog", 0.6), ("cat", 0.1)), ((0, 1), (1, 0)), 0.3, "They disagree."
    )
    figure = figures.side_by_side(answers)
    assert {"cat", "dog", "$x_1$", "They disagree."} <= set(said(figure))
    assert written(figure) > 1000
    assert "They disagree." not in said(figures.side_by_side(answers, title=""))


def test_two_results() -> None:
    net = cnn.Network(torch.nn.Conv2d(1, 4, 3), cnn.InputSpec(size=(1, 8, 8)))
    results = [cnn.maximize(net, net.output[channel], "none", steps=2) for channel in (1, 2)]
    figure = figures.side_by_side(results)
    assert pictures(figure) == 2
    assert sum("at step" in text for text in said(figure)) == 2


@pytest.mark.parametrize("given", ["text", [1, 2], None, {}])
def test_what_is_none_of_these(given: object) -> None:
    with pytest.raises(TypeError, match=r"expected what cnn\.comparison"):
        figures.side_by_side(given)  # type: ignore[arg-type]


def test_two_names_are_wanted() -> None:
    similarity = LayerSimilarity(("a",), ("b",), np.ones((1, 1)), 9)
    for draw, given in ((figures.side_by_side, Answers((), (), ((), ()))), (figures.layer_similarity, similarity)):
        with pytest.raises(ValueError, match="expected two, what the first and the second network are called"):
            draw(given, names=("one",))


def test_changes_as_bars_also_where_one_is_infinite() -> None:
    figure = figures.changes({"conv1": 0.25, "dense": math.inf, "last": math.nan})
    assert {"conv1", "dense", "last", "0.25", "inf", "nan"} <= set(said(figure))
    assert written(figure) > 1000
    with pytest.raises(ValueError, match="no layer was given"):
        figures.changes({})


def test_a_map_of_layers_names_as_many_as_there_is_room_for() -> None:
    for count in (3, 120):
        names = tuple(f"layer{number}" for number in range(count))
        figure = figures.layer_similarity(LayerSimilarity(names, names, np.eye(count), 9), names=("A", "B"))
        named = [text for text in said(figure) if text.startswith("layer")]
        assert len(set(named)) >= 3
        assert len(named) <= 120
        assert "A down, B across; linear CKA, debiased over 9 images." in said(figure)
        assert written(figure) > 1000


def test_what_has_no_value_is_grey() -> None:
    figure = figures.layer_similarity(LayerSimilarity(("a",), ("b", "c"), np.array([[math.nan, 1.0]]), 9))
    assert figure.axes[0].images[0].get_array()[0, 0].tolist() == [128, 128, 128]
    with pytest.raises(ValueError, match="no colour map"):
        figures.layer_similarity(LayerSimilarity(("a",), ("b",), np.eye(1), 9), colormap="jet")
