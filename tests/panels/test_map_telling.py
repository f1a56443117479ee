"""What chosen images share: units as bars, an image that climbs, and both gone with the choice."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets import ImageSet, InputSpec, Network
from cnnviz_widgets.engine.index.telling import TellingUnits
from cnnviz_widgets.engine.layers import Unit
from cnnviz_widgets.engine.projections import PCA
from cnnviz_widgets.panels import _synthesis
from cnnviz_widgets.panels._map_coloring import PLAIN
from cnnviz_widgets.panels._map_making import Made, Mapped
from cnnviz_widgets.panels._map_picture import MapPicture
from cnnviz_widgets.panels._map_telling import Telling, chosen_code
from cnnviz_widgets.views import BarChart
from tests.panels.indexed import LABELS, greys, index_of, local, result_of
from tests.panels.networks import untrained_resnet
from tests.panels.waiting import until

STEPS = 8


class Table:
    """A map of a collection with what tells of a choice, and what that told."""

    def __init__(self, network: Network, images: ImageSet, layer: str = "", **more: Any) -> None:
        self.network, self.images = network, images
        self.faults: list[BaseException] = []
        self.picked: list[Unit] = []
        self.picture = MapPicture()
        self.telling = Telling(self.picture, self.faults.append, self.picked.append)
        self.show(index_of(network, images, **more), layer or network.last_hidden.name)

    def show(self, index: Any, layer: str) -> None:
        self.mapped = Mapped(index, layer)
        self.picture.show(self.mapped, Made.of(PCA().fit(self.mapped.features)), PLAIN, None, None, "")

    def choose(self, *rows: int) -> list[str]:
        self.picture.view.choose(rows)
        return [self.mapped.index.ids[row] for row in rows]

    def ask(self) -> None:
        self.telling.button.click()
        self.telling.wait(60)

    def synthesize(self) -> None:
        self.telling.synthesis.button.click()
        self.telling.wait(60)

    @property
    def displays(self) -> tuple[bool, bool, bool]:
        """Whether the box, the bars and the image are there."""
        parts = (self.telling.box, self.telling.chart, self.telling.synthesis.image)
        return tuple(part.layout.display != "none" for part in parts)  # type: ignore[return-value]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of a few steps."""
    original, recipes = _synthesis.ascend, _synthesis.recipes.get
    monkeypatch.setattr(_synthesis.recipes, "get", lambda name: recipes(name).replace(steps=STEPS))
    monkeypatch.setattr(
        _synthesis,
        "ascend",
        lambda network, goal, recipe: original(network, goal, recipes(recipe).replace(steps=STEPS)),
    )


@pytest.fixture
def table(brief: None) -> Iterator[Table]:
    made = Table(local(), greys(size=(16, 16)))
    yield made
    made.telling.close()


@pytest.fixture
def laid(brief: None) -> Iterator[Callable[..., Table]]:
    made: list[Table] = []

    def lay(*given: Any, **more: Any) -> Table:
        made.append(Table(*given, **more))
        return made[-1]

    yield lay
    for one in made:
        one.telling.close()


def pick(chart: BarChart, at: int) -> None:
    """What the browser sets when a bar is clicked."""
    chart.set_state({"selected": at})


def test_it_is_there_while_images_are_chosen(table: Table) -> None:
    assert table.displays == (False, False, False)
    table.choose(1, 4)
    assert table.displays == (True, False, False)
    table.choose()
    assert table.displays == (False, False, False)
    table.telling.tell()
    assert table.displays == (False, False, False)
    table.telling.ask()
    table.telling.synthesis.press()
    assert not table.telling.synthesis.running
    assert table.telling.code() == ""
    assert table.faults == []


def test_the_units_are_those_of_the_index_and_a_click_gives_one_back(table: Table) -> None:
    ids = table.choose(0, 3, 6, 9)
    table.ask()
    chart = table.telling.chart
    found = table.mapped.index.telling_units(ids)
    assert len(found) > 0
    assert chart.values == [row.effect for row in found]
    for label, row in zip(chart.labels, found, strict=True):
        assert label == f"{row.unit.channel} · {row.auc:.2f} · {row.inside:.3g} / {row.rest:.3g}"
    assert "tell the 4 chosen images from the other 16" in chart.caption
    assert table.displays == (True, True, False)
    assert table.picked == []
    pick(chart, len(found) - 1)
    assert table.picked == [found[-1].unit]
    pick(chart, -1)
    assert table.picked == [found[-1].unit]
    assert table.faults == []


def test_the_other_direction_is_asked_for_where_bars_are_shown(table: Table) -> None:
    ids = table.choose(0, 3, 6, 9)
    table.telling.by.value = "low"
    table.telling.wait(60)
    assert table.displays == (True, False, False)
    table.ask()
    for by in ("low", "either", "high"):
        table.telling.by.value = by
        table.telling.wait(60)
        found = table.mapped.index.telling_units(ids, by=by)
        assert table.telling.chart.values == [row.effect for row in found]
    table.telling.by.value = "low"
    table.telling.wait(60)
    assert all(value < 0 for value in table.telling.chart.values)


def test_another_choice_or_layer_takes_away_what_was_told(table: Table) -> None:
    table.choose(0, 3)
    table.ask()
    table.choose(0, 4)
    assert table.displays == (True, False, False)
    pick(table.telling.chart, 0)
    assert table.picked == []
    table.ask()
    assert table.displays == (True, True, False)
    table.telling.tell()
    assert table.displays == (True, True, False)
    table.show(index_of(table.network, table.images, features=["3"]), "3")
    table.telling.tell()
    assert not table.displays[1]


def test_an_answer_that_comes_late_is_not_shown(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    index = table.mapped.index
    original = index.telling_units

    def slow(*given: Any, **more: Any) -> TellingUnits:
        reached.set()
        assert go_on.wait(60)
        return original(*given, **more)

    monkeypatch.setattr(index, "telling_units", slow)
    table.choose(0, 3)
    table.telling.ask()
    assert reached.wait(60)
    table.choose(5)
    go_on.set()
    table.telling.wait(60)
    assert table.displays == (True, False, False)


def test_all_images_chosen_are_told_from_nothing(table: Table) -> None:
    table.choose(*range(20))
    table.ask()
    assert "all 20 images of the index were given" in str(table.faults.pop())
    table.synthesize()
    assert "all 20 images of the index were given" in str(table.faults.pop())
    assert table.telling.synthesis.button.description == "Synthesize what they share"
    assert table.displays == (True, False, False)


def test_an_image_climbs_along_the_direction_and_tells_where_it_stands(table: Table) -> None:
    table.choose(0, 3, 6)
    made = table.telling.synthesis
    assert made.recipe.value == "natural"
    table.synthesize()
    assert table.faults == []
    assert made.caption.value.startswith(
        f"natural, step {STEPS} of {STEPS}. From the others, at 0, to the 3 chosen, at 1, "
    )
    assert "Cosine with the direction: " in made.caption.value
    assert Image.open(io.BytesIO(made.image.value)).size == (224, 224)
    assert table.displays == (True, False, True)
    kept = made.image.value
    table.choose(1)
    assert table.displays == (True, False, False)
    assert made.caption.value == ""
    table.choose(0, 3, 6)
    assert table.displays == (True, False, True)
    assert made.image.value == kept


def test_it_stops_and_with_another_choice_too(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    original = _synthesis.ascend

    def ascend(network: Network, goal: Any, recipe: str) -> Any:
        for frame in original(network, goal, recipe):
            if frame.step == 3:
                reached.set()
                assert go_on.wait(60)
            yield frame

    monkeypatch.setattr(_synthesis, "ascend", ascend)
    table.choose(0, 3)
    made = table.telling.synthesis
    made.button.click()
    assert (made.button.description, made.running) == ("Stop", True)
    assert reached.wait(60)
    table.choose(1)
    assert (made.button.description, made.running) == ("Synthesize what they share", False)
    go_on.set()
    made.wait(60)
    assert table.displays == (True, False, False)
    table.choose(0, 3)
    assert made.caption.value.startswith(f"natural, step 3 of {STEPS}.")
    reached.clear()
    go_on.clear()
    made.button.click()
    assert reached.wait(60)
    made.button.click()
    go_on.set()
    made.wait(60)
    assert made.caption.value.startswith(f"natural, step 3 of {STEPS}.")
    made.button.click()
    table.telling.close()
    until(lambda: not made.running)
    made.press()
    assert not made.running


class ByPosition(nn.Module):
    """A dense layer takes each position of the map before it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            self.conv, self.act, self.head = nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Linear(27, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.conv(images)).flatten(1))


def test_features_by_position_give_neurons(laid: Callable[..., Table]) -> None:
    network = Network(ByPosition().eval(), InputSpec(size=(1, 8, 8)))
    table = laid(network, greys())
    assert table.mapped.index.plan.flat == ("act",)
    ids = table.choose(0, 3, 6)
    table.telling.by.value = "either"
    table.ask()
    found = table.mapped.index.telling_units(ids, by="either")
    unit = found[0].unit
    assert table.telling.chart.labels[0].startswith(f"{unit.channel} at {unit.position[0]}, {unit.position[1]} ·")  # type: ignore[index]
    pick(table.telling.chart, 0)
    assert table.picked == [unit]
    table.synthesize()
    assert table.telling.synthesis.caption.value.startswith(f"natural, step {STEPS} of {STEPS}.")
    assert table.faults == []


@pytest.mark.parametrize("layer", ["avgpool", "layer2"])
def test_an_untrained_network_in_colour(laid: Callable[..., Table], layer: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    pixels[:4, ..., 2] //= 4
    table = laid(untrained_resnet(), ImageSet.from_arrays(list(pixels)), layer, layers=[layer], features=[layer])
    table.choose(0, 1, 2, 3)
    table.ask()
    assert len(table.telling.chart.labels) == 10
    table.synthesize()
    assert table.displays == (True, True, True)
    assert table.faults == []


def test_classes_are_called_by_their_names(laid: Callable[..., Table]) -> None:
    table = laid(local(), greys(size=(16, 16)), "7", features=["7"])
    table.choose(0, 3, 6)
    table.telling.by.value = "either"
    table.ask()
    assert {label.split(" ·")[0] for label in table.telling.chart.labels} <= set(LABELS)


def test_an_index_whose_units_tell_nothing_says_so(laid: Callable[..., Table]) -> None:
    same = [np.full((16, 16), 90, np.uint8)] * 6
    table = laid(local(), ImageSet.from_arrays(same))
    table.choose(0, 1)
    table.ask()
    assert table.telling.chart.labels == []
    assert table.telling.chart.caption.startswith(
        "No unit of 5 answers the 2 chosen images more strongly than the other 4."
    )
    table.synthesize()
    assert "the same mean" in str(table.faults.pop())


def test_the_code_gives_the_same(table: Table) -> None:
    ids = table.choose(0, 3, 6)
    names = {"index": table.mapped.index}
    assert table.telling.code() == ""
    table.telling.by.value = "either"
    table.ask()
    code = table.telling.code()
    assert code == f"chosen = {ids!r}\nindex.telling_units(chosen, by='either')"
    assert result_of(code, table.network, table.images, **names)["result"] == table.mapped.index.telling_units(
        ids, by="either"
    )
    table.synthesize()
    code = table.telling.code()
    assert "units = index.telling_units(chosen, by='either')" in code
    assert "cnn.maximize(net, objectives.direction(layer, vector, cosine_power=2), recipe=" in code


def test_the_code_says_which_layer(laid: Callable[..., Table], monkeypatch: pytest.MonkeyPatch) -> None:
    table = laid(local(), greys(size=(16, 16)), "3", features=["3"])
    table.choose(2)
    table.synthesize()
    code = table.telling.code()
    assert "telling_units" not in code
    assert "index.shared_direction(chosen, '3')" in code
    made = result_of(code, table.network, table.images, index=table.mapped.index)
    assert made["vector"].shape == (6,)
    assert made["result"].image.shape == (1, 1, 16, 16)


def test_many_ids_are_told_by_their_label_or_their_rows() -> None:
    images = greys(60, size=(16, 16))
    mapped = Mapped(index_of(local(), images), "5")
    striped = [id for id in mapped.index.ids if images.labels[images.number(id)] == "striped"]
    others = [mapped.index.ids[row] for row in (*range(3, 20), 30, 31, 40)]
    codes = [chosen_code(mapped, ids) for ids in (striped, others, striped[:3])]
    assert "== 'striped'" in codes[0]
    assert codes[1] == "[index.ids[row] for row in [*range(3, 20), 30, 31, 40]]"
    assert codes[2] == repr(striped[:3])
    for code, ids in zip(codes, (striped, others, striped[:3]), strict=True):
        assert eval(code, {"index": mapped.index, "images": images}) == ids
