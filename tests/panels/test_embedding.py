"""`EmbeddingPanel`: the map that the projection gives, shown while it unfolds; images found, chosen and placed on it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets import EmbeddingPanel, ImageSet, NeighborsPanel, Selection, knob, projections
from cnnviz_widgets.engine.projections import PCA, TSNE, Map, Projection, grid
from cnnviz_widgets.panels import _map_sheet
from cnnviz_widgets.panels._map_methods import projection_code
from tests.panels.indexed import LABELS, choose, greys, index_of, local, noise, result_of
from tests.panels.networks import grey
from tests.panels.waiting import until

Keep = Callable[[Any], Any]
SIZE = (16, 16)
QUICK = TSNE(perplexity=4.0, iterations=60)


@pytest.fixture
def panel(keep: Keep) -> EmbeddingPanel:
    """On twenty labelled images, with features of two layers."""
    net = local()
    return keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE), features=["0", net.last_hidden.name])))


@pytest.fixture
def gated() -> Iterator[type[Any]]:
    """A projection that waits at its third step until its gate is opened; registered for one test."""

    @dataclass(frozen=True)
    class Gated(Projection):
        """Waits."""

        gate: ClassVar[threading.Event] = threading.Event()
        waiting: ClassVar[threading.Event] = threading.Event()
        amount: float = knob(1.0, low=0.0, high=2.0)

        def steps(self, images: int) -> int:
            return 5

        def unfolding(self, values: Any) -> Iterator[Any]:
            for step in range(6):
                if step == 3:
                    self.waiting.set()
                    self.gate.wait(30)
                yield np.random.default_rng(step).random((len(values), 2))

    yield Gated
    Gated.gate.set()
    del Projection.registry["Gated"]


def run(panel: EmbeddingPanel, projection: Projection = QUICK) -> None:
    panel.projection = projection
    panel.run()
    panel.wait()


def places(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(-1, 2)


def upwards(points: np.ndarray) -> np.ndarray:
    return np.stack([points[:, 0], 1 - points[:, 1]], 1)


def features(panel: EmbeddingPanel, layer: str | None = None) -> np.ndarray:
    assert panel.selection.index is not None
    return panel.selection.index.features(layer)


def pick(panel: EmbeddingPanel, row: int) -> None:
    """What the browser does when an image is clicked."""
    panel.view._handle_custom_msg({"type": "choose", "index": row}, [])
    panel.wait()


def upload(panel: EmbeddingPanel, name: str, pixels: np.ndarray | bytes) -> None:
    data = pixels
    if isinstance(pixels, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        data = buffer.getvalue()
    panel.upload._handle_custom_msg({"type": "file", "name": name, "size": len(data), "number": 1}, [data])
    panel.wait()


# maps


def test_principal_components_show_at_once(panel: EmbeddingPanel) -> None:
    expected = PCA().fit(features(panel)).points
    assert np.allclose(places(panel.view.points), upwards(expected), atol=1e-6)
    assert np.allclose(places(panel.view.grid), upwards(grid(expected).points), atol=1e-6)
    assert panel.view.caption.startswith("PCA of 20 images by their features in 5: ")
    assert panel.view.caption.endswith("Run makes the map by t-SNE.")
    assert panel.view.titles == list(panel.selection.index.ids)  # type: ignore[union-attr]
    assert panel.view.label_names == sorted(
        LABELS, key=lambda one: (-list(panel.selection.images.labels).count(one), one)
    )
    assert (panel.note.text, panel.remark.text, panel.view.selected) == ("", "", 0)


def test_the_map_that_is_run(panel: EmbeddingPanel) -> None:
    run(panel)
    expected = QUICK.fit(features(panel))
    assert panel.map is not None
    assert np.array_equal(panel.map.points, expected.points)
    assert np.allclose(places(panel.view.points), upwards(expected.points), atol=1e-6)
    assert np.allclose(places(panel.view.grid), upwards(grid(expected.points).points), atol=1e-6)
    assert f": {expected.quality()}." in panel.view.caption
    assert panel.runs.button.description == "Run"
    assert (panel.runs.told.value, panel.runs.bar.layout.display, panel.note.text) == ("", "none", "")


@pytest.mark.parametrize(
    "member", [one for one in Projection.members() if one is not TSNE], ids=lambda one: one.__name__
)
def test_every_method_is_offered(panel: EmbeddingPanel, member: type[Projection]) -> None:
    assert dict(panel.method.menu.options)[{"TSNE": "t-SNE"}.get(member.__name__, member.__name__)] == member.__name__
    panel.method.menu.value = member.__name__
    assert panel.projection == member()


def test_a_method_whose_package_is_missing_is_left_out(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Any) -> None:
        raise ImportError("not there")

    monkeypatch.setattr(projections.UMAP, "check", missing)
    net = local()
    panel = keep(EmbeddingPanel(net))
    assert list(dict(panel.method.menu.options)) == ["t-SNE", "PCA"]


def test_it_is_seen_unfolding_and_stopped(keep: Keep, gated: Any) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE))))
    seen: list[bytes] = []
    panel.view.observe(lambda change: seen.append(change["new"]), "points")
    panel.projection = gated()
    panel.wait()
    panel.runs.button.click()
    until(lambda: seen and gated.waiting.is_set())
    assert panel.runs.button.description == "Stop"
    assert panel.view.grid == b""
    panel.runs.button.click()
    gated.gate.set()
    panel.wait()
    assert panel.map is not None
    assert not panel.map.finished
    assert ", stopped at step 3 of 5." in panel.view.caption
    assert np.allclose(places(panel.view.points), upwards(panel.map.points), atol=1e-6)
    assert len(places(panel.view.grid)) == 20
    assert panel.runs.button.description == "Run"
    panel.run()
    panel.wait()
    assert panel.map.finished


def test_a_second_run_takes_the_place_of_the_first(panel: EmbeddingPanel) -> None:
    panel.projection = TSNE(iterations=3000)
    panel.run()
    run(panel)
    assert panel.map is not None
    assert (panel.map.projection, panel.map.finished) == (QUICK, True)


def test_maps_are_remembered(panel: EmbeddingPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    run(panel)
    made = panel.map
    panel.projection = PCA()
    panel.wait()
    assert panel.view.caption.startswith("PCA of 20 images")
    assert "Run makes" not in panel.view.caption
    panel.projection = TSNE(iterations=70)
    panel.wait()
    assert panel.view.caption.endswith("Run makes the map by t-SNE.")
    panel.projection = QUICK
    panel.wait()
    assert panel.map is made
    panel.projection = TSNE(iterations=70)
    panel.wait()
    assert panel.map is made
    assert panel.view.caption.endswith("Run makes the map by t-SNE with these knobs.")


def test_maps_are_kept_with_the_index(keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = local(), greys(size=SIZE)
    panel = keep(EmbeddingPanel(net, index_of(net, images, path=tmp_path)))
    run(panel)
    made = panel.map
    assert made is not None
    monkeypatch.setattr(TSNE, "fitting", lambda *given: pytest.fail("made anew"))
    again = keep(EmbeddingPanel(net, index_of(net, images, path=tmp_path)))
    again.projection = QUICK
    again.wait()
    assert again.map is not None
    assert np.array_equal(again.map.points, made.points)
    assert again.note.text == ""
    for file in (tmp_path / "maps").glob("*/*.safetensors"):
        file.write_bytes(b"damaged")
    third = keep(EmbeddingPanel(net, index_of(net, images, path=tmp_path)))
    third.projection = QUICK
    third.wait()
    assert third.view.caption.endswith("Run makes the map by t-SNE.")
    assert third.note.text == ""


# layers, colours


def test_the_layer_that_is_chosen(panel: EmbeddingPanel) -> None:
    panel.tree.selected = "0"
    panel.wait()
    assert panel.selection.layer == panel.network["0"]
    assert panel.map is not None
    assert np.array_equal(panel.map.points, PCA().fit(features(panel, "0")).points)
    assert "in 0" in panel.view.caption
    panel.tree.selected = "4"
    panel.wait()
    assert "Features of 4 are not kept, shown are those of 5; Build anew keeps them, too." in panel.remark.text


def test_another_layer_waits_for_the_map_under_way(keep: Keep, gated: Any) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE), features=["0", net.last_hidden.name])))
    panel.projection = gated()
    panel.run()
    until(gated.waiting.is_set)
    panel.selection.layer = net["0"]
    until(lambda: "is still under way" in panel.remark.text)
    assert "features in 5" in panel.view.caption
    gated.gate.set()
    panel.wait()
    assert panel.view.caption.startswith("PCA of 20 images by their features in 0")
    assert panel.remark.text == ""
    panel.selection.layer = net["5"]
    panel.wait()
    assert panel.map is not None
    assert isinstance(panel.map.projection, gated)


def test_colours_by_cluster(panel: EmbeddingPanel) -> None:
    assert panel.coloring.count.layout.display == "none"
    panel.view.choose([1, 4])
    panel.coloring.menu.value = "cluster"
    panel.coloring.count.value = 3
    panel.wait()
    assert panel.coloring.count.layout.display == ""
    assert [name.split(":")[0] for name in panel.view.label_names] == ["cluster 1", "cluster 2", "cluster 3"]
    codes = np.frombuffer(panel.view.codes, "<i4")
    known = features(panel)
    inside = sum(np.square(known[codes == code] - known[codes == code].mean(0)).sum() for code in range(3))
    assert inside < 0.6 * np.square(known - known.mean(0)).sum()
    assert panel.view.chosen_indices.tolist() == [1, 4]
    panel.coloring.menu.value = "label"
    panel.wait()
    assert set(panel.view.label_names) == set(LABELS)


def test_names_are_no_classes(keep: Keep) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(labelled=False, size=SIZE))))
    assert panel.view.label_names == []
    panel.coloring.menu.value = "cluster"
    panel.wait()
    assert "cluster 1" in panel.view.label_names


def test_colours_by_a_unit(panel: EmbeddingPanel) -> None:
    assert panel.coloring.channel.layout.display == "none"
    panel.coloring.menu.value = "unit"
    panel.wait()
    last = panel.network.last_hidden
    assert (panel.selection.unit, panel.coloring.channel.max) == (last[0], last.channels - 1)
    panel.coloring.channel.value = 2
    panel.wait()
    assert panel.selection.unit == last[2]
    assert np.array_equal(np.frombuffer(panel.view.values, "<f4"), features(panel)[:, 2])
    assert panel.view.values_name == f"activation of {last[2]}"
    assert set(panel.view.label_names) == set(LABELS)
    panel.selection.unit = panel.network["0"][1]
    panel.wait()
    assert np.array_equal(np.frombuffer(panel.view.values, "<f4"), features(panel, "0")[:, 1])
    assert (panel.coloring.channel.value, panel.coloring.channel.max) == (1, 3)
    panel.selection.unit = panel.network["3"][5]
    panel.wait()
    assert panel.view.values == b""
    assert "No colours by 3[5]: the index keeps features of 0, " in panel.remark.text
    assert "build(features=['3'])" in panel.remark.text


def test_colours_tell_where_a_map_is_not_to_be_believed(panel: EmbeddingPanel) -> None:
    run(panel)
    assert panel.map is not None
    panel.coloring.menu.value = "neighbours kept"
    panel.wait()
    kept = panel.map.quality(per_point=True).kept_of
    assert np.frombuffer(panel.view.values, "<f4") == pytest.approx(kept, abs=1e-6)
    panel.coloring.menu.value = "moved by the grid"
    panel.wait()
    assert np.frombuffer(panel.view.values, "<f4") == pytest.approx(grid(panel.map.points).displacement, abs=1e-6)
    upload(panel, "own.png", noise(5, SIZE))
    values = np.frombuffer(panel.view.values, "<f4")
    assert (len(values), np.isnan(values).tolist()) == (21, [False] * 20 + [True])


def test_a_map_too_small_to_tell_says_so(keep: Keep) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(2, size=SIZE))))
    panel.coloring.menu.value = "neighbours kept"
    panel.wait()
    assert panel.view.values == b""
    assert "can't be told" in panel.remark.text


def test_seams_lie_between_neighbours_that_are_not_alike(panel: EmbeddingPanel) -> None:
    assert panel.view.seams == b""
    panel.seams.value = True
    panel.wait()
    seams = np.frombuffer(panel.view.seams, "<f4").reshape(-1, 3)
    cells = grid(panel.map.points).cells
    pairs = seams[:, :2].astype(int)
    assert len(seams)
    assert np.abs(cells[pairs[:, 0]] - cells[pairs[:, 1]]).sum(1).tolist() == [1] * len(seams)
    known = features(panel)
    far = np.sqrt(np.square(known[pairs[:, 0]] - known[pairs[:, 1]]).sum(1))
    assert np.argsort(far, kind="stable").tolist() == np.lexsort((far, seams[:, 2])).tolist()
    assert seams[:, 2].max() == 1
    panel.seams.value = False
    panel.wait()
    assert panel.view.seams == b""


# choosing


def test_units_that_tell_the_chosen_from_the_rest(panel: EmbeddingPanel) -> None:
    assert panel.telling.box.layout.display == "none"
    dark = [row for row in range(20) if row % 3 == 0]
    panel.view.choose(dark)
    assert panel.telling.box.layout.display == ""
    panel.telling.button.click()
    panel.wait()
    found = panel.selection.index.telling_units([str(row) for row in dark], k=10)
    assert len(panel.telling.chart.labels) == len(found) > 0
    panel.telling.chart.selected = len(found) - 1
    panel.wait()
    assert panel.selection.unit == found[len(found) - 1].unit
    assert panel.coloring.menu.value == "unit"
    assert np.array_equal(np.frombuffer(panel.view.values, "<f4"), panel.selection.index.values(found[-1].unit))
    assert "index.telling_units(chosen)" in panel.code()
    panel.view.choose([])
    assert "telling_units" not in panel.code()


# taking along


def test_a_poster_of_the_map_and_of_the_grid(panel: EmbeddingPanel, tmp_path: Path) -> None:
    run(panel)
    path = panel.save_poster(tmp_path / "map.png", side=300)
    with Image.open(path) as opened:
        assert opened.width <= 300 <= max(opened.size)
        whole = np.asarray(opened.convert("L"))
    panel.view.morph = 1.0
    with Image.open(panel.save_poster(tmp_path / "grid.jpg", side=300)) as opened:
        assert opened.format == "JPEG"
        tiles = np.asarray(opened.convert("L"))
    assert (whole < 250).mean() < 0.9 * (tiles < 250).mean()
    with pytest.raises(ValueError, match="expected 64 to"):
        panel.save_poster(tmp_path / "small.png", side=3)


def test_a_page_of_the_map(panel: EmbeddingPanel, tmp_path: Path) -> None:
    run(panel)
    text = panel.export_html(tmp_path / "map.html").read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "t-SNE of 20 images by their features in" in text
    panel.export.buttons["page"].click()
    panel.wait()
    assert panel.export.saved["page"].data.decode() == text
    assert panel.export.saved["page"].name == "embedding.html"
    assert not panel.export.buttons["page"].disabled


def test_without_a_map_nothing_is_saved(keep: Keep) -> None:
    panel = keep(EmbeddingPanel(local()))
    panel.export.buttons["poster"].click()
    panel.wait()
    assert "there is no map yet" in panel.note.text
    with pytest.raises(ValueError, match="there is no map yet"):
        panel.export_html("map.html")


# picking


def test_a_click_makes_an_image_the_selection_s(panel: EmbeddingPanel) -> None:
    pick(panel, 7)
    assert (panel.selection.image, panel.view.selected) == ("7", 7)
    for wrong in (-1, 20, 10_000):
        pick(panel, wrong)
    assert panel.selection.image == "7"
    panel.selection.image = "3"
    panel.wait()
    assert panel.view.selected == 3


def test_chosen_images_and_their_sheet(panel: EmbeddingPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_map_sheet, "LIMIT", 3)
    assert len(panel.chosen) == 0
    assert panel.sheet.button.layout.display == "none"
    panel.view.choose([2, 5, 9, 11])
    assert panel.chosen.ids == ("2", "5", "9", "11")
    assert (panel.sheet.button.description, panel.sheet.button.layout.display) == ("Show the 4 chosen", "")
    panel.sheet.button.click()
    panel.wait()
    assert [cell["title"] for cell in panel.sheet.table.cells] == ["2", "5", "9"]
    assert panel.sheet.table.caption == "4 images chosen, the first 3 of them here."
    choose(panel.sheet.table, 1)
    panel.wait()
    assert (panel.selection.image, panel.view.selected) == ("5", 5)
    panel.view.choose([])
    assert panel.sheet.table.layout.display == "none"
    choose(panel.sheet.table, 0)
    assert panel.selection.image == "5"


def test_a_sheet_of_a_choice_that_is_gone_stays_away(panel: EmbeddingPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = _map_sheet.small_cell

    def late(*arguments: Any) -> Any:
        panel.view.choose([])
        return cell(*arguments)

    monkeypatch.setattr(_map_sheet, "small_cell", late)
    panel.view.choose([2, 5])
    panel.sheet.button.click()
    panel.wait()
    assert panel.sheet.table.layout.display == "none"


def test_search(panel: EmbeddingPanel) -> None:
    panel.search.value = "STRIP"
    panel.wait()
    striped = [row for row, label in enumerate(panel.selection.images.labels) if label == "striped"]
    assert panel.view.chosen_indices.tolist() == striped
    assert panel.view.selected == int(panel.selection.image) in striped
    panel.search.value = "zebra"
    panel.wait()
    assert panel.note.text == "no label or name of an image holds 'zebra'"
    panel.search.value = ""
    panel.wait()
    assert (panel.view.chosen_indices.tolist(), panel.note.text) == ([], "")


# images of one's own


def test_an_upload_is_placed(panel: EmbeddingPanel) -> None:
    pixels = noise(77, SIZE)
    upload(panel, "a cat.png", pixels)
    assert panel.map is not None
    own = panel.selection.index.neighbors([Image.fromarray(pixels)], None, 1)  # type: ignore[union-attr]
    assert (
        panel.remark.text == f"Nearest to a cat.png by its features is {own.ids[0][0]} ({own.neighbor_labels[0][0]})."
    )
    assert (len(places(panel.view.points)), panel.view.selected, panel.view.titles[-1]) == (21, 20, "a cat.png")
    assert panel.view.label_names[-1] == "your image"
    pick(panel, 4)
    assert len(places(panel.view.points)) == 21
    pick(panel, 20)
    assert panel.selection.image.name == "a cat.png"
    run(panel)
    assert np.isfinite(places(panel.view.points)).all()
    panel.view.choose(range(21))
    assert len(panel.chosen) == 20


def test_an_image_of_the_set_lies_where_it_is(panel: EmbeddingPanel) -> None:
    upload(panel, "same.png", panel.selection.images[11])
    found = places(panel.view.points)
    assert np.allclose(found[20], found[11], atol=1e-3)


@pytest.mark.parametrize("data", [b"this is no picture", b""])
def test_broken_uploads_leave_what_is_shown(panel: EmbeddingPanel, data: bytes) -> None:
    before = panel.view.points
    upload(panel, "holiday.jpg", data)
    assert panel.note.kind == "error"
    assert "holiday.jpg" in panel.note.text
    assert panel.view.points == before


def test_an_image_that_can_t_be_placed(panel: EmbeddingPanel, tmp_path: Path) -> None:
    for image in (tmp_path / "gone.png", torch.rand(5, 8, 8)):
        panel.selection.image = image
        panel.wait()
        assert "can't be placed: " in panel.remark.text
        assert (len(places(panel.view.points)), panel.view.selected, panel.note.text) == (20, -1, "")


# collections


def test_without_images_it_says_how_to_give_some(keep: Keep) -> None:
    panel = keep(EmbeddingPanel(local()))
    assert "No images yet: give some, cnn.EmbeddingPanel(net, images=" in panel.remark.text
    panel.runs.button.click()
    assert "build the index, then Run" in panel.note.text
    upload(panel, "first.png", noise(5, SIZE))
    assert panel.view.points == b""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(keep: Keep, count: int) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(count, size=SIZE))))
    panel.coloring.menu.value = "cluster"
    run(panel)
    assert (len(places(panel.view.points)), panel.note.text) == (count, "")
    assert panel.map is not None
    assert "stopped" not in panel.view.caption
    upload(panel, "own.png", noise(5, SIZE))
    assert (len(places(panel.view.points)), panel.note.text) == (count + 1, "")


def test_equal_images(keep: Keep) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, [noise(1, SIZE)] * 6)))
    panel.coloring.menu.value = "cluster"
    run(panel)
    assert "the features of all 6 images are the same" in panel.view.caption
    assert panel.note.text == ""


def test_features_that_are_no_numbers(keep: Keep) -> None:
    net = local()
    with torch.no_grad():
        net.module[3].weight[2].fill_(float("nan"))  # type: ignore[index,union-attr]
    panel = keep(EmbeddingPanel(net, index_of(net, greys(6, size=SIZE))))
    assert "No map: the features of 6 of 6 images in 5 are not finite numbers." in panel.remark.text
    run(panel)
    assert (panel.note.text, panel.view.points, panel.map) == ("", b"", None)


def test_images_that_could_not_be_measured(keep: Keep, tmp_path: Path) -> None:
    for number in range(8):
        Image.fromarray(noise(number, SIZE)).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:70])
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, ImageSet.from_folder(tmp_path))))
    assert panel.view.titles == [f"{number}.png" for number in range(1, 8)]
    assert (panel.view.selected, panel.note.text) == (-1, "")
    pick(panel, 0)
    assert panel.selection.image == "1.png"


def test_it_is_built_in_the_panel(keep: Keep) -> None:
    panel = keep(EmbeddingPanel(local(), images=greys(6, size=SIZE)))
    assert "press Build index" in panel.remark.text
    panel.builder.button.click()
    panel.builder.wait(60)
    panel.wait()
    assert len(places(panel.view.points)) == 6


def test_other_images_and_networks_end_the_map(keep: Keep, gated: Any) -> None:
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE))))
    panel.projection = gated()
    panel.run()
    until(gated.waiting.is_set)
    panel.selection.images = greys(6, size=SIZE)
    assert not panel.maker.running
    gated.gate.set()
    panel.wait()
    assert panel.view.points == b""
    assert "Nothing is known of these 6 images yet" in panel.remark.text
    panel.selection.network = grey()
    panel.wait()
    assert panel.tree.selected == panel.network.last_hidden.name
    assert panel.note.text == ""


def test_it_shares_its_image_with_neighbours(keep: Keep) -> None:
    net = local()
    selection = Selection(net)
    panel = keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE)), selection=selection))
    near = keep(NeighborsPanel(net, selection=selection))
    pick(panel, 9)
    near.wait()
    assert near._rows[0][0] == "9"
    choose(near.table, 3)
    panel.wait()
    assert panel.view.selected == int(selection.image)


def test_a_projection_that_fails(keep: Keep, gated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, values: Any) -> Any:
        raise ValueError("too dark")

    monkeypatch.setattr(gated, "unfolding", fails)
    net = local()
    panel = keep(EmbeddingPanel(net, index_of(net, greys(size=SIZE))))
    run(panel, gated())
    assert (panel.note.text, panel.note.kind) == ("too dark", "error")
    assert panel.runs.button.description == "Run"
    run(panel)
    assert panel.note.text == ""


# code


@pytest.mark.parametrize("state", ["plain", "layer", "pca", "path"])
def test_the_code_gives_the_same_map(keep: Keep, tmp_path: Path, state: str) -> None:
    net, images = local(), greys(size=SIZE)
    settings: dict[str, Any] = {"path": tmp_path} if state == "path" else {}
    panel = keep(EmbeddingPanel(net, index_of(net, images, features=["0", net.last_hidden.name], **settings)))
    if state == "layer":
        panel.tree.selected = "0"
    run(panel, PCA(metric="cosine") if state == "pca" else QUICK)
    made = result_of(panel.code(), net, images)
    assert isinstance(panel.map, Map)
    assert np.array_equal(made["result"], panel.map.points)


def test_code_of_projections(gated: Any) -> None:
    assert projection_code(TSNE()) == "cnn.projections.TSNE()"
    assert projection_code(TSNE(perplexity=12.0, metric="cosine")) in (
        "cnn.projections.TSNE(perplexity=12.0, metric='cosine')",
        "cnn.projections.TSNE(metric='cosine', perplexity=12.0)",
    )
    assert projection_code(gated(amount=0.5)) == "Gated(amount=0.5)"


@pytest.mark.parametrize("state", ["empty", "images", "index", "drawing", "running", "uploading", "building"])
def test_closes_in_every_state(state: str) -> None:
    from ipywidgets.widgets.widget import _instances

    net, images = local(), greys(size=SIZE)
    before = set(_instances)
    index = index_of(net, images) if state in ("index", "drawing", "running", "uploading") else None
    panel = EmbeddingPanel(net, index, () if state == "empty" else images)
    if state != "drawing":
        panel.wait()
    if state == "running":
        panel.projection = TSNE(iterations=3000)
        panel.run()
        until(lambda: panel.maker.newest is not None)
    if state == "uploading":
        panel.upload._handle_custom_msg({"type": "file", "name": "a.png", "size": 3, "number": 1}, [b"abc"])
    if state == "building":
        panel.builder.button.click()
    panel.close()
    panel.close()
    until(lambda: not (panel._latest._busy or panel.uploading._opening._busy or panel.searching._latest._busy))
    assert [_instances[one] for one in set(_instances) - before] == []
    panel.view._handle_custom_msg({"type": "choose", "index": 0}, [])
    panel.refresh()
