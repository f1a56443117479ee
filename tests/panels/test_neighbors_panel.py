"""`NeighborsPanel`: each row is what the index answers for its query, and a query that can't be answered leaves the others."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets import ActivationIndex, ImageSet, InputSpec, NeighborsPanel, Network, Selection, TopImagesPanel
from cnnviz_widgets.panels import _uploading
from cnnviz_widgets.panels.neighbors import ROWS
from tests.panels.indexed import LABELS, choose, greys, index_of, local, noise, picture, result_of
from tests.panels.networks import grey
from tests.panels.waiting import until

Keep = Callable[[Any], Any]
SIZE = (16, 16)


@pytest.fixture
def panel(keep: Keep) -> NeighborsPanel:
    """On twenty labelled images, with features of three layers."""
    net = local()
    index = index_of(net, greys(size=SIZE), features=["0", "3", net.last_hidden.name])
    return keep(NeighborsPanel(net, index))


def settle(panel: NeighborsPanel, **controls: Any) -> None:
    for name, value in controls.items():
        getattr(panel, name).value = value
    panel.wait()


def expected(panel: NeighborsPanel, query: Any, **more: Any) -> Any:
    index = panel.selection.index
    assert index is not None
    asked = {"k": panel.k.value, "metric": panel.metric.value, "without_itself": panel.own.value, **more}
    return index.neighbors([query], panel.shown_layer()[0], **asked)


def row(panel: NeighborsPanel, number: int) -> list[dict[str, Any]]:
    return panel.table.cells[number * panel.table.columns : (number + 1) * panel.table.columns]


def ids_in(panel: NeighborsPanel, number: int) -> list[str]:
    return [cell["title"].split(":")[0] for cell in row(panel, number)[1:]]


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(panel: NeighborsPanel, name: str, data: bytes) -> None:
    """What the browser does when a file was chosen."""
    panel.upload._handle_custom_msg({"type": "file", "name": name, "size": len(data), "number": 1}, [data])
    panel.wait()


def test_rows_of_queries_and_their_neighbours(panel: NeighborsPanel) -> None:
    queries = [rows[0] for rows in panel._rows]
    assert queries[0] == panel.selection.image == "0"
    images = panel.selection.images
    assert {images.labels[images.number(one)] for one in queries} == set(LABELS)
    assert panel.table.columns == 6
    assert panel.table.heads == ["query", "1st", "2nd", "3rd", "4th", "5th"]
    for number, query in enumerate(queries):
        found = expected(panel, query)
        assert ids_in(panel, number) == list(found.ids[0])
        cells = row(panel, number)
        assert cells[0]["title"] == f"query: {query}"
        assert cells[0]["lines"] == [images.labels[images.number(query)]]
        told = zip(found.neighbor_labels[0], found.distances[0], strict=True)
        assert [cell["lines"] for cell in cells[1:]] == [[label, f"{far:.4g}"] for label, far in told]
    assert (panel.table.selected, panel.note.text, panel.remark.text) == (0, "", "")


def test_pictures_are_the_thumbnails(panel: NeighborsPanel) -> None:
    for place, id in enumerate(["0", *expected(panel, "0").ids[0]]):
        shown = picture(panel.table, place)
        assert shown.tobytes() == panel.selection.images.thumbnail(id).tobytes()


def test_hits_and_misses(panel: NeighborsPanel) -> None:
    images = panel.selection.images
    for number, (query, *_) in enumerate(panel._rows):
        label = images.labels[images.number(query)]
        assert row(panel, number)[0]["tone"] == "query"
        for cell in row(panel, number)[1:]:
            assert cell["tone"] == ("hit" if cell["lines"][0] == label else "miss")


def test_names_are_no_classes(keep: Keep) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, index_of(net, greys(labelled=False, size=SIZE))))
    assert {cell["tone"] for cell in panel.table.cells} == {"query", ""}
    assert "same label" not in panel.table.caption
    assert len(panel._rows) in (ROWS, ROWS + 1)


def test_the_caption_tells_how_often_the_label_is_right(panel: NeighborsPanel) -> None:
    index = panel.selection.index
    assert index is not None
    hits = index.neighbors(list(index.ids), None, 1, without_itself=True).first_hits
    assert panel.table.caption.endswith(f". The nearest other image has the same label for {hits:.0%} of 20 images.")
    assert panel.table.caption.startswith("Euclidean distance between features of ")
    settle(panel, metric="cosine")
    hits = index.neighbors(list(index.ids), None, 1, metric="cosine", without_itself=True).first_hits
    assert panel.table.caption.startswith("1 − cosine between features of ")
    assert f"for {hits:.0%} of 20 images" in panel.table.caption
    panel.tree.selected = "0"
    panel.wait()
    assert "features of 0 (the mean over each map)" in panel.table.caption


@pytest.mark.parametrize(
    "controls", [{"metric": "cosine"}, {"k": 1}, {"k": 12}, {"own": False}, {"own": False, "metric": "cosine", "k": 3}]
)
def test_metric_number_and_leaving_itself_out(panel: NeighborsPanel, controls: dict[str, Any]) -> None:
    settle(panel, **controls)
    assert panel.table.columns == panel.k.value + 1
    for number, (query, *_) in enumerate(panel._rows):
        assert ids_in(panel, number) == list(expected(panel, query).ids[0])
        if not panel.own.value:
            assert ids_in(panel, number)[0] == query
        else:
            assert query not in ids_in(panel, number)


def test_all_queries_of_the_set_are_asked_at_once(panel: NeighborsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = ActivationIndex.neighbors

    def neighbors(index: ActivationIndex, queries: Any, *rest: Any, **more: Any) -> Any:
        asked.append(len(queries))
        return original(index, queries, *rest, **more)

    monkeypatch.setattr(ActivationIndex, "neighbors", neighbors)
    panel.selection.image = "7"
    panel.wait()
    assert asked == [len(panel._rows)]


# layers


def test_the_layer_that_is_chosen(panel: NeighborsPanel) -> None:
    assert panel.tree.selected == panel.network.last_hidden.name
    panel.tree.selected = "3"
    panel.wait()
    assert panel.selection.layer == panel.network["3"]
    assert panel.neighbors is not None
    assert panel.neighbors.layer == "3"
    assert ids_in(panel, 0) == list(expected(panel, "0").ids[0])
    panel.selection.layer = panel.network["0"]
    panel.wait()
    assert (panel.neighbors.layer, panel.tree.selected) == ("0", "0")
    panel.selection.unit = panel.network["0"][2]
    panel.wait()
    assert panel.neighbors.layer == "0"


def test_a_layer_that_is_not_kept(panel: NeighborsPanel) -> None:
    panel.tree.selected = "4"
    panel.wait()
    assert panel.neighbors is not None
    assert panel.neighbors.layer == panel.network.last_hidden.name == "5"
    assert panel.tree.selected == "4"
    assert "Features of 4 are not kept, shown are those of 5; Build anew keeps them, too." in panel.remark.text
    panel.builder.button.click()
    panel.builder.wait(60)
    panel.wait()
    assert (panel.neighbors.layer, panel.remark.text) == ("4", "")


# choosing


def test_a_click_makes_an_image_the_query(panel: NeighborsPanel) -> None:
    second = panel._rows[1][3]
    choose(panel.table, panel.table.columns + 3)
    panel.wait()
    assert panel.selection.image == second == panel._rows[0][0]
    assert panel.table.selected == 0
    assert ids_in(panel, 0) == list(expected(panel, second).ids[0])
    for wrong in (-1, 10_000):
        choose(panel.table, wrong)
    assert panel.selection.image == second


def test_rows_are_kept_and_cleared(panel: NeighborsPanel) -> None:
    panel.clear.click()
    panel.wait()
    assert [rows[0] for rows in panel._rows] == ["0"]
    panel.pin.click()
    panel.selection.image = "5"
    panel.wait()
    assert [rows[0] for rows in panel._rows] == ["5", "0"]
    panel.pin.click()
    panel.pin.click()
    panel.selection.image = "9"
    panel.wait()
    assert [rows[0] for rows in panel._rows] == ["9", "5", "0"]
    panel.selection.image = "0"
    panel.wait()
    assert [rows[0] for rows in panel._rows] == ["0", "5"]
    panel.clear.click()
    panel.wait()
    assert [rows[0] for rows in panel._rows] == ["0"]


def test_more_rows_than_the_table_holds(keep: Keep) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, index_of(net, greys(90, size=SIZE))))
    panel._pinned = list(panel.selection.images.ids)
    settle(panel, k=12)
    assert panel.note.text == ""
    assert len(panel._rows) == 1000 // 13


def test_keeping_a_row_needs_an_index(keep: Keep) -> None:
    panel = keep(NeighborsPanel(local(), images=greys(4, size=SIZE)))
    panel.pin.click()
    assert "there is no row to keep yet" in panel.note.text


# images of one's own


def test_an_upload_is_looked_up(panel: NeighborsPanel) -> None:
    before = [rows[0] for rows in panel._rows]
    pixels = noise(77, SIZE)
    upload(panel, "a cat.png", encoded(pixels))
    index = panel.selection.index
    assert index is not None
    own = index.neighbors([Image.fromarray(pixels)], panel.network.last_hidden, panel.k.value)
    assert ids_in(panel, 0) == list(own.ids[0])
    cells = row(panel, 0)
    assert (cells[0]["lines"], cells[0]["title"]) == (["a cat.png"], "query: a cat.png")
    assert [cell["lines"][1] for cell in cells[1:]] == [f"{far:.4g}" for far in own.distances[0]]
    assert {cell["tone"] for cell in cells[1:]} == {""}
    assert [rows[0] for rows in panel._rows][1:] == before
    panel.pin.click()
    panel.selection.image = "3"
    panel.wait()
    assert panel._rows[1][0].name == "a cat.png"
    choose(panel.table, panel.table.columns)
    panel.wait()
    assert panel._rows[0][0].name == "a cat.png"


def test_an_upload_of_an_image_of_the_set_finds_it(panel: NeighborsPanel) -> None:
    upload(panel, "same.png", encoded(panel.selection.images[11]))
    assert ids_in(panel, 0)[0] == "11"
    assert float(row(panel, 0)[1]["lines"][1]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("data", [b"this is no picture", b"", encoded(noise(3, (40, 40)))[:200]])
def test_broken_uploads_leave_what_is_shown(panel: NeighborsPanel, data: bytes) -> None:
    before = (panel.table.cells, panel.selection.image)
    upload(panel, "<b>holiday</b>.jpg", data)
    assert panel.note.kind == "error"
    assert "<b>holiday</b>.jpg" in panel.note.text
    assert (panel.table.cells, panel.selection.image) == before
    upload(panel, "good.png", encoded(noise(4, SIZE)))
    assert panel.note.text == ""


def test_what_the_browser_refuses_is_told(panel: NeighborsPanel) -> None:
    panel.upload._handle_custom_msg({"type": "refused", "name": "big.tif", "reason": "it is too big"}, [])
    assert (panel.note.text, panel.note.kind) == ("big.tif: it is too big", "error")


def test_an_image_that_can_t_be_looked_up_leaves_the_other_rows(panel: NeighborsPanel, tmp_path: Path) -> None:
    before = [rows[0] for rows in panel._rows]
    panel.selection.image = tmp_path / "gone.png"
    panel.wait()
    assert [rows[0] for rows in panel._rows] == before
    assert "gone.png can't be looked up: " in panel.remark.text
    assert (panel.table.selected, panel.note.text) == (-1, "")
    panel.selection.image = torch.rand(5, 8, 8)
    panel.wait()
    assert "your image can't be looked up: " in panel.remark.text
    Image.fromarray(noise(5, SIZE)).save(tmp_path / "there.png")
    panel.selection.image = tmp_path / "there.png"
    panel.wait()
    assert (panel.remark.text, panel.table.selected) == ("", 0)
    assert row(panel, 0)[0]["lines"] == ["there.png"]


def test_no_handler_computes(keep: Keep, guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(guarded(), InputSpec(size=(1, 8, 8)))
    panel = keep(NeighborsPanel(net, index_of(net, greys())))
    opened: list[str] = []
    original = _uploading.open_image
    monkeypatch.setattr(
        _uploading, "open_image", lambda data: (opened.append(threading.current_thread().name), original(data))[1]
    )
    guarded.gate.clear()
    data = encoded(noise(1))
    panel.upload._handle_custom_msg({"type": "file", "name": "a.png", "size": len(data), "number": 1}, [data])
    panel._uploading._opening.wait(60)
    panel.pin.click()
    panel.clear.click()
    panel.metric.value = "cosine"
    panel.k.value = 3
    panel._show_code.value = True
    panel.builder.button.click()
    choose(panel.table, 2)
    guarded.gate.set()
    panel.builder.wait(60)
    panel.wait()
    assert opened == ["cnnviz-drawing"]
    assert (panel.note.text, panel.table.columns) == ("", 4)


# collections


def test_without_images_it_says_how_to_give_some(keep: Keep) -> None:
    panel = keep(NeighborsPanel(local()))
    assert "No images yet: give some, cnn.NeighborsPanel(net, images=" in panel.remark.text
    upload(panel, "first.png", encoded(noise(5, SIZE)))
    assert panel.note.text == ""
    assert panel.table.cells == []


def test_one_image_is_a_collection(keep: Keep) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, index_of(net, [noise(0, SIZE)])))
    assert [cell["lines"] for cell in panel.table.cells] == [["image 0"], *[["none"]] * panel.k.value]
    choose(panel.table, 3)
    assert panel.selection.image == "0"
    settle(panel, own=False)
    assert ids_in(panel, 0)[0] == "0"
    assert panel.note.text == ""


def test_fewer_images_than_neighbours(keep: Keep) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, index_of(net, greys(4, size=SIZE))))
    settle(panel, k=12)
    for number in range(len(panel._rows)):
        assert [cell["lines"] == ["none"] for cell in row(panel, number)] == [False] * 4 + [True] * 9
    assert panel.note.text == ""


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_of_any_number_of_channels(keep: Keep, channels: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of some draws no filter answers to any image
        module = nn.Sequential(nn.Conv2d(channels, 3, 3), nn.ReLU())
    net = Network(module, InputSpec(size=(channels, 8, 10)))
    shape = (9, 12) if channels == 1 else (9, 12, channels)
    images: Any = [noise(number, shape) for number in range(5)] if channels != 5 else [*torch.rand(5, 5, 9, 12)]
    panel = keep(NeighborsPanel(net, index_of(net, images)))
    assert panel.note.text == ""
    assert ids_in(panel, 0)[:4] == list(expected(panel, "0").ids[0])
    panel.selection.image = images[2] if channels == 5 else Image.fromarray(images[2])
    panel.wait()
    assert ids_in(panel, 0)[0] == "2"
    assert result_of(panel.code(), net, panel.selection.images, image=images[2])["result"].size[0] > 100


def test_broken_and_deleted_files(keep: Keep, tmp_path: Path) -> None:
    for number in range(8):
        Image.fromarray(noise(number, SIZE)).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:70])
    net = local()
    index = index_of(net, ImageSet.from_folder(tmp_path))
    (tmp_path / "3.png").unlink()
    panel = keep(NeighborsPanel(net, index))
    assert "0.png could not be measured: " in panel.remark.text
    assert panel.table.selected == -1
    assert panel._rows
    panel.selection.image = "3.png"
    panel.wait()
    assert ids_in(panel, 0) == list(expected(panel, "3.png").ids[0])
    assert row(panel, 0)[0]["lines"][0] == "can't be opened"
    assert panel.note.text == ""


def test_no_image_could_be_measured(keep: Keep, tmp_path: Path) -> None:
    net = local()
    panel = keep(NeighborsPanel(net, index_of(net, ImageSet.of([tmp_path / "a.png", tmp_path / "b.png"]))))
    assert panel.remark.text == "No image of the collection could be measured."
    assert (panel.table.cells, panel.note.text) == ([], "")


def test_changed_weights_are_told(panel: NeighborsPanel) -> None:
    with torch.no_grad():
        panel.network.module[0].weight.mul_(-2)  # type: ignore[index,union-attr]
    panel.refresh()
    panel.wait()
    assert "The weights are no longer those that the index was built with. Build it anew." in panel.remark.text


def test_features_that_are_no_numbers(keep: Keep) -> None:
    net = local()
    with torch.no_grad():
        net.module[3].weight[2].fill_(float("nan"))  # type: ignore[index,union-attr]
    panel = keep(NeighborsPanel(net, index_of(net, greys(6, size=SIZE))))
    assert panel.note.text == ""
    assert all(cell["lines"] == ["none"] for cell in row(panel, 0)[1:])


# selection


def test_follows_top_images_and_leads_them(keep: Keep) -> None:
    net = local()
    selection = Selection(net)
    panel = keep(NeighborsPanel(net, selection=selection))
    top = keep(TopImagesPanel(net, index_of(net, greys(size=SIZE)), selection=selection))
    panel.wait()
    choose(top.table, 2)
    panel.wait()
    assert panel._rows[0][0] == selection.image == top._ids[2]
    choose(panel.table, 4)
    panel.wait()
    ids = list(top._ids)
    assert top.table.selected == (ids.index(selection.image) if selection.image in ids else -1)


def test_other_images_and_networks_take_the_index_away(panel: NeighborsPanel) -> None:
    panel.selection.images = greys(6, size=SIZE)
    panel.wait()
    assert (panel.table.cells, panel._rows, panel.neighbors) == ([], [], None)
    assert "Nothing is known of these 6 images yet" in panel.remark.text
    panel.selection.index = index_of(panel.network, panel.selection.images)
    panel.wait()
    assert panel._rows[0][0] == "0"
    panel.selection.network = grey()
    panel.wait()
    assert panel.table.cells == []
    assert panel.tree.selected == panel.network.last_hidden.name
    assert panel.note.text == ""


# code


@pytest.mark.parametrize("state", ["plain", "layer", "cosine", "own", "path", "settings", "nothing built"])
def test_the_code_gives_the_same_neighbours(keep: Keep, tmp_path: Path, state: str) -> None:
    net, images = local(), greys(size=SIZE)
    settings: dict[str, Any] = {"features": ["0", net.last_hidden.name]}
    if state == "path":
        settings["path"] = tmp_path
    if state == "settings":
        settings = {"features": ["0", "3"], "layers": ["0", "3"], "pool": "mean"}
    index = None if state == "nothing built" else index_of(net, images, **settings)
    panel = keep(NeighborsPanel(net, index, images))
    if state in ("layer", "settings"):
        panel.tree.selected = "0"
    settle(panel, metric="cosine" if state == "cosine" else "l2", own=state != "own")
    made = result_of(panel.code(), net, images)
    if index is None:
        assert len(made["found"].ids[0]) == panel.k.value
        return
    assert panel.neighbors is not None
    for name in ("queries", "ids", "layer", "metric", "neighbor_labels"):
        assert getattr(made["found"], name) == getattr(panel.neighbors, name)
    assert np.allclose(made["found"].distances, panel.neighbors.distances)
    assert np.array_equal(np.asarray(made["result"]), np.asarray(index.neighbor_sheet(panel.neighbors)))


def test_the_code_of_an_image_of_ones_own(panel: NeighborsPanel, tmp_path: Path) -> None:
    pixels = noise(31, SIZE)
    upload(panel, "cat.png", encoded(pixels))
    net, images = panel.network, panel.selection.images
    assert "put its path here" in panel.code()
    made = result_of(panel.code(), net, images, image=Image.fromarray(pixels))
    assert list(made["found"].ids[0]) == ids_in(panel, 0)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    for given in (tmp_path / "own.png", str(tmp_path / "own.png")):
        panel.selection.image = given
        panel.wait()
        made = result_of(panel.code(), net, images)
        assert list(made["found"].ids[0]) == ids_in(panel, 0)
        assert made["result"].size[0] > 100


@pytest.mark.parametrize("state", ["empty", "images", "index", "drawing", "uploading", "building"])
def test_closes_in_every_state(state: str) -> None:
    from ipywidgets.widgets.widget import _instances

    net, images = local(), greys(size=SIZE)
    before = set(_instances)
    index = index_of(net, images) if state in ("index", "drawing", "uploading") else None
    panel = NeighborsPanel(net, index, () if state == "empty" else images)
    if state != "drawing":
        panel.wait()
    if state == "uploading":
        data = encoded(noise(3, SIZE))
        panel.upload._handle_custom_msg({"type": "file", "name": "a.png", "size": len(data), "number": 1}, [data])
    if state == "building":
        panel.builder.button.click()
    panel.close()
    panel.close()
    until(lambda: not (panel._latest._busy or panel._uploading._opening._busy))
    assert [_instances[one] for one in set(_instances) - before] == []
    choose(panel.table, 0)
    panel.refresh()
