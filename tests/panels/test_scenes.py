"""A lecture's scenes: kept, ordered, shown one after the other, in a file and out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from cnnviz_widgets import ActivationPanel, MaximizationPanel, Selection
from cnnviz_widgets.panels._scenes import Scenes
from tests.panels.networks import grey


class Stage:
    """An owner whose scene is one number."""

    def __init__(self) -> None:
        self.number = 0
        self.shown: list[int] = []

    def scene(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "panels": {"one": {"left_out": ["An image is left out."] if self.number > 5 else []}},
        }

    def show_scene(self, scene: dict[str, Any]) -> None:
        if not isinstance(scene.get("number"), int):
            raise ValueError("the scene has no number")
        self.number = scene["number"]
        self.shown.append(self.number)


@pytest.fixture
def stage() -> Stage:
    """An owner."""
    return Stage()


@pytest.fixture
def scenes(stage: Stage) -> Iterator[Scenes]:
    """Three scenes; none has been shown since."""
    made = Scenes(stage)
    for number, name in enumerate(("edges", "eyes", "faces"), 1):
        stage.number = number
        made.keep(name)
    yield made
    made.close()


def press(scenes: Scenes, to: str) -> None:
    scenes.presenter._handle_custom_msg({"type": "go", "to": to}, [])


def test_kept_scenes_are_listed_and_the_bar_says_which_is_shown(scenes: Scenes, stage: Stage) -> None:
    assert scenes.names == ["edges", "eyes", "faces"]
    assert list(scenes.list.options) == scenes.presenter.names == scenes.names
    assert (scenes.at, scenes.presenter.at, scenes.list.index) == (2, 2, 2)
    assert stage.shown == []


def test_a_clicker_goes_through_the_scenes_and_stays_at_the_ends(scenes: Scenes, stage: Stage) -> None:
    for to in ("first", "next", "next", "next", "previous", "previous", "previous", "reset", "next"):
        press(scenes, to)
    assert stage.shown == [1, 2, 3, 2, 1, 0, 1]
    assert (scenes.at, scenes.presenter.at, scenes.list.index) == (0, 0, 0)


def test_the_list_shows_a_scene(scenes: Scenes, stage: Stage) -> None:
    scenes.list.index = 1
    assert stage.shown == [2]
    assert scenes.presenter.at == 1


def test_a_scene_of_the_same_name_is_replaced_where_it_is(scenes: Scenes, stage: Stage) -> None:
    stage.number = 9
    scenes.name.value = " eyes "
    scenes.save.click()
    assert scenes.names == ["edges", "eyes", "faces"]
    assert scenes.name.value == ""
    assert scenes.note.text == "An image is left out."
    scenes.go("edges")
    assert scenes.note.text == ""
    scenes.go(1)
    assert stage.number == 9


def test_moving_keeps_what_is_shown_and_shows_nothing(scenes: Scenes, stage: Stage) -> None:
    scenes.go("eyes")
    scenes.move("faces", -2)
    assert scenes.names == ["faces", "edges", "eyes"]
    assert (scenes.at, scenes.list.index) == (2, 0)
    scenes.later.click()
    assert scenes.names == ["edges", "faces", "eyes"]
    scenes.move("eyes", 5)
    assert (scenes.names, scenes.at, stage.shown) == (["edges", "faces", "eyes"], 2, [2])


@pytest.mark.parametrize(("shown", "then"), [("edges", 0), ("eyes", -1), ("faces", 1)])
def test_removing_keeps_what_is_shown(scenes: Scenes, stage: Stage, shown: str, then: int) -> None:
    scenes.go(shown)
    scenes.forget("eyes")
    assert scenes.names == ["edges", "faces"]
    assert (scenes.at, scenes.presenter.at, scenes.list.index) == (then, then, None if then < 0 else then)
    assert len(stage.shown) == 1


def test_a_file_brings_them_back(scenes: Scenes, stage: Stage) -> None:
    sent: list[Any] = []
    scenes.download.offer = lambda *file: sent.append(file)  # type: ignore[method-assign]
    scenes.file.click()
    name, data, mime = sent[0]
    assert (name, mime) == ("scenes.json", "application/json")
    other = Scenes(stage)
    other.upload._uploaded("mine.json", data, False)
    assert other.names == scenes.names
    assert other.at == -1
    assert "3 scenes" in other.upload.status
    press(other, "next")
    assert stage.number == 1
    other.close()


def test_a_path_keeps_every_change(tmp_path: Path, stage: Stage) -> None:
    path = tmp_path / "lectures" / "Möwe.json"
    first = Scenes(stage, path)
    assert not path.exists()
    stage.number = 4
    first.keep("Flügel <b>")
    first.keep("second")
    first.move("second", -1)
    first.close()
    again = Scenes(stage, str(path))
    assert again.names == ["second", "Flügel <b>"]
    assert again.at == -1
    again.forget("second")
    again.close()
    assert [row["name"] for row in json.loads(path.read_text("utf-8"))["scenes"]] == ["Flügel <b>"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


BAD_FILES = {
    "no JSON": (b"\xff\xfe{", "no JSON"),
    "nested": (b"[" * 100_000, "no JSON"),
    "another file": (b'{"a": 1}', "holds no scenes"),
    "a list": (b"[]", "holds no scenes"),
    "version": (b'{"cnnviz_scenes": 7, "scenes": []}', "format 7; this version reads 1"),
    "no name": (b'{"cnnviz_scenes": 1, "scenes": [{"scene": {}}]}', "expected a scene with its name"),
    "no scene": (b'{"cnnviz_scenes": 1, "scenes": [{"name": "a", "scene": 1}]}', "expected a scene with its name"),
    "twice": (
        b'{"cnnviz_scenes": 1, "scenes": [' + b", ".join([b'{"name": "a", "scene": {}}'] * 2) + b"]}",
        "two scenes 'a'",
    ),
    "many": (json.dumps({"cnnviz_scenes": 1, "scenes": [{}] * 501}).encode(), "expected at most 500"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_holds_none_is_told_and_changes_nothing(scenes: Scenes, tmp_path: Path, kind: str) -> None:
    data, message = BAD_FILES[kind]
    scenes.upload._uploaded("bad.json", data, False)
    assert scenes.note.kind == "error"
    assert scenes.note.text.startswith("bad.json")
    assert scenes.names == ["edges", "eyes", "faces"]
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        Scenes(Stage(), tmp_path / "bad.json")


def test_what_goes_wrong_is_told_and_the_scenes_live_on(scenes: Scenes, stage: Stage) -> None:
    scenes.save.click()
    assert scenes.note.text == "the scene needs a name: type one beside the button"
    scenes.load(json.dumps({"cnnviz_scenes": 1, "scenes": [{"name": "broken", "scene": {}}]}))
    press(scenes, "next")
    assert (scenes.note.kind, scenes.note.text) == ("error", "broken: the scene has no number")
    assert scenes.at == -1
    for act in (scenes.remove, scenes.earlier):
        act.click()
        assert scenes.note.text == "choose a scene in the list first"
    for wrong in ("none", 7):
        with pytest.raises(ValueError, match="no scene"):
            scenes.go(wrong)
    with pytest.raises(TypeError, match=r"expected a panel, or what else has scene\(\)"):
        Scenes(object())  # type: ignore[arg-type]


def test_it_leaves_no_widget(stage: Stage) -> None:
    before = set(_instances)
    made = Scenes(stage)
    made.keep("one")
    made.close()
    assert set(_instances) == before


@pytest.mark.parametrize("kind", [ActivationPanel, MaximizationPanel])
def test_scenes_of_a_panel(kind: type[Any], keep: Callable[..., Any]) -> None:
    net = grey()
    images = list(np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8))
    panel = keep(kind(net, selection=Selection(net, images)))
    scenes = Scenes(panel)
    scenes.keep("before")
    before = panel.scene()
    if kind is ActivationPanel:
        panel.scale.value = "layer"
    else:
        panel.recipe = "l2"
    panel.selection.unit = net["2"][4]
    scenes.keep("after")
    after = panel.scene()
    scenes.load(scenes.to_json())
    for name, scene in (("before", before), ("after", after)):
        scenes.go(name)
        panel.wait()
        assert panel.scene() == scene
    scenes.reset()
    assert panel.selection.unit == net.main_layers[0][0]
    scenes.close()
