"""What an atlas answers, while it is built and afterwards."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import ascent, recipes
from cnnviz_widgets.engine.atlas import Atlas
from cnnviz_widgets.engine.atlas.tile import STRETCH
from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.display import pixels, stretched
from cnnviz_widgets.engine.input_spec import InputSpec
from cnnviz_widgets.engine.network import Network
from cnnviz_widgets.engine.pool import BuildError
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.store import StoreError
from tests.engine.atlas import builds
from tests.engine.intact import state_of


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return builds.build(None, recipes=["default", "yosinski-1", "lucid"])


def test_every_layer_has_its_units_and_recipes(atlas: Atlas) -> None:
    assert [layer.name for layer in atlas.layers] == ["2", "4", "7"]
    assert atlas.recipes == ("default", "yosinski-1", "lucid")
    assert [str(unit) for unit in atlas.units("2")] == ["2[0, center]", "2[1, center]", "2[2, center]"]
    assert [str(unit) for unit in atlas.units(atlas.network.output)] == ["7[0]", "7[1]", "7[3]"]
    assert [atlas.label(unit) for unit in atlas.units("7")] == ["ant", "bee", "dog"]
    assert atlas.label(atlas.units("4")[1]) == "4[1, center]"
    assert (atlas.total, atlas.finished, atlas.complete, atlas.faults) == (27, 27, True, ())
    assert [atlas.receptive_size(layer) for layer in atlas.layers] == [(3, 3), (5, 5), (19, 19)]
    assert str(atlas) == "Atlas of tiny: 27 images of 9 units of 3 layers by default, yosinski-1, lucid"


@pytest.mark.parametrize("layer", ["2", "4", "7"])
@pytest.mark.parametrize("name", ["default", "yosinski-1", "lucid"])
def test_an_image_is_what_maximize_gives(atlas: Atlas, layer: str, name: str) -> None:
    for unit in atlas.units(layer):
        tile = atlas.image(unit, name)
        assert tile is not None
        place = atlas.place(unit, name)
        result = maximize(atlas.network, place.goal, place.recipe)
        top, left, bottom, right = tile.box
        seen = result.image[:, :, top:bottom, left:right]
        neutral = torch.tensor(result.neutral).view(-1, 1, 1)
        assert np.array_equal(np.asarray(tile.picture), pixels(stretched(seen, neutral, STRETCH))[0])
        assert tile.size == (tile.picture.height, tile.picture.width) == atlas.receptive_size(layer)
        assert (tile.score, tile.step) == (float(result.score), int(result.step))
        assert (tile.finished, tile.steps, tile.note) == (True, builds.STEPS, "")
        assert str(result.paths[0]) == tile.path
        # the stretch can be undone
        values = (np.asarray(tile.picture).astype(float) / 255 - 0.5) * 2 * tile.reach
        exact = (seen - neutral)[0, 0].clamp(-tile.reach, tile.reach).numpy()
        np.testing.assert_allclose(values, exact, atol=1.01 * tile.reach / 255)
        assert tile.contrast == pytest.approx(float((seen - neutral).square().mean().sqrt()) * 255)


def test_the_recipes_seed_chunk_and_steps_are_the_atlases(atlas: Atlas) -> None:
    expected = recipes.get("yosinski-1").replace(chunk=builds.CHUNK, steps=builds.STEPS, seed=0)
    assert atlas.recipe(atlas.units("2")[0], "yosinski-1") == expected
    other = builds.build(None, layers=["2"], recipes="yosinski-1", seed=5)
    assert other.recipe(other.units("2")[0]) == expected.replace(seed=5)
    mine, its = other.image(other.units("2")[0]), atlas.image(atlas.units("2")[0], "yosinski-1")
    assert mine is not None
    assert its is not None
    assert mine.png != its.png


def test_a_class_has_the_probability_of_its_image(atlas: Atlas) -> None:
    for unit in atlas.units("7"):
        tile = atlas.image(unit, "default")
        assert tile is not None
        place = tile.place
        image = maximize(atlas.network, place.goal, place.recipe).image
        expected = dict(atlas.network.classify(image, k=5)[0])[atlas.label(unit)]
        assert tile.probability == pytest.approx(expected, rel=1e-5)
        assert tile.label in ("ant", "bee", "dog")
    hidden = atlas.image(atlas.units("4")[0])
    assert hidden is not None
    assert hidden.probability is None


def test_a_picture_tells_how_it_was_made(atlas: Atlas) -> None:
    tile = atlas.image(atlas.units("4")[2], "lucid")
    assert tile is not None
    told = Image.open(io.BytesIO(tile._repr_png_())).text  # type: ignore[attr-defined]
    assert Recipe.from_json(told["cnnviz:recipe"]) == tile.place.recipe
    assert told["cnnviz:objective"] == "activation(4[2, center], at='pre')"
    assert told["cnnviz:network"] == atlas.digest == atlas.network.digest()
    assert json.loads(told["cnnviz:goals"]) == [tile.place.goal.to_data()]
    assert tile.pixels(20).shape == (20, 20)


def test_a_unit_is_found_by_its_channel(atlas: Atlas) -> None:
    net = atlas.network
    by_channel, by_unit = atlas.image(net["4"][1]), atlas.image(net["4"][1, "center"])
    assert by_channel == by_unit
    assert by_unit is not None


def test_what_is_not_in_the_atlas_is_told(atlas: Atlas) -> None:
    net = atlas.network
    with pytest.raises(ValueError, match=r"4\[5\] is not in the atlas, .* 4\[0, center\], .*units={'4': \[...\]}"):
        atlas.image(net["4"][5])
    with pytest.raises(ValueError, match=r"4\[1, 0, 0\] is not in the atlas"):
        atlas.image(net["4"][1, 0, 0])
    with pytest.raises(ValueError, match="'3' is not in the atlas, which shows 2, 4, 7"):
        atlas.units("3")
    with pytest.raises(ValueError, match="'l2' is not in the atlas, which shows 4 by default, yosinski-1, lucid"):
        atlas.image(net["4"][1], "l2")


@pytest.mark.parametrize("kept", [False, True])
def test_every_image_is_coarse_first_and_then_finished(kept: bool, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for progress in builds.built(tmp_path if kept else None):
        found = [progress.result.image(place.unit) for place in progress.result.plan]
        tiles = [tile for tile in found if tile is not None]
        assert all(tile.step <= (builds.STEPS if tile.finished else builds.COARSE) for tile in tiles)
        assert progress.result.finished == sum(tile.finished for tile in tiles)
        seen.append((len(tiles), progress.result.finished))
    assert seen[0] == (0, 0)
    assert (9, 0) in seen
    assert seen[-1] == (9, 9)
    assert seen == sorted(seen)


def test_a_former_result_still_gives_the_newest_image(tmp_path: Path) -> None:
    steps = builds.built(tmp_path)
    former = next(one.result for one in steps if one.result.image(one.result.units("2")[0]))
    tile = former.image(former.units("2")[0])
    assert tile is not None
    assert not tile.finished
    for _ in steps:
        pass
    tile = former.image(former.units("2")[0])
    assert tile is not None
    assert tile.finished


def test_progress_counts_the_steps_of_images() -> None:
    told = list(builds.built(None))
    assert {one.total for one in told} == {9 * (builds.COARSE + builds.STEPS)}
    assert (told[0].done, told[-1].done, told[-1].left) == (0, told[0].total, 0.0)
    assert all(0 <= two.done - one.done <= 2 for one, two in itertools.pairwise(told))
    assert all(one.left is not None for one in told if one.done)


def test_images_that_need_few_steps_or_no_coarse_ones_have_one_stage() -> None:
    for more in ({"coarse": 0}, {"coarse": 4}):
        assert {one.total for one in builds.built(None, **more)} == {9 * builds.STEPS}


def test_an_atlas_is_opened_again(tmp_path: Path) -> None:
    net = builds.network()
    atlas = builds.build(tmp_path, net, recipes=["lucid", "yosinski-4"])
    opened = Atlas.open(tmp_path, net)
    assert opened.plan == atlas.plan
    assert builds.pictures(opened) == builds.pictures(atlas)
    assert len(builds.pictures(opened)) == 18
    assert opened.complete
    assert opened.outdated() == ""


def test_opening_tells_why_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no atlas at .*; cnn.Atlas.build\(net, path=...\) makes one"):
        Atlas.open(tmp_path / "none", builds.network())
    builds.build(tmp_path, layers="7", steps=1)
    with pytest.raises(StoreError, match=r"no atlas at .* fits: \w+ is of other weights or preprocessing"):
        Atlas.open(tmp_path, builds.network(1))


def test_changed_weights_make_an_atlas_outdated_and_have_a_folder_of_their_own(tmp_path: Path) -> None:
    net = builds.network()
    atlas = builds.build(tmp_path, net, layers=["2"])
    before = builds.pictures(atlas)
    with torch.no_grad():
        net.module[0].weight.mul_(-1)  # type: ignore[union-attr, operator]
    assert atlas.outdated() == "The weights are no longer those that the atlas was built with."
    assert builds.pictures(atlas) == before
    anew = builds.build(tmp_path, net, layers=["2"])
    assert len(list(tmp_path.iterdir())) == 2
    assert anew.outdated() == ""
    assert builds.pictures(anew) != before


def test_weights_that_change_meanwhile_end_the_build() -> None:
    net = builds.network()
    steps = builds.built(None, net)
    next(steps)
    with torch.no_grad():
        net.module[0].weight.mul_(2)  # type: ignore[union-attr, operator]
    with pytest.raises(BuildError, match="the network's weights changed while the atlas was built; 0 of 81 steps"):
        list(steps)


def test_the_users_module_stays_as_it_was() -> None:
    own = builds.module().train()
    before = state_of(own)
    atlas = Atlas.build(Network(own, InputSpec((1, 20, 20))), **builds.settings())
    assert atlas.complete
    assert state_of(own) == before


def test_a_canvas_is_tried_once_for_the_neurons_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnviz_widgets.engine.atlas import synthesis

    tried: list[str] = []
    original = synthesis.canvas

    def canvas(network, units, fields=None):  # type: ignore[no-untyped-def]
        tried.append(units[0].layer.name)
        return original(network, units, fields)

    monkeypatch.setattr(synthesis, "canvas", canvas)
    monkeypatch.setattr(ascent, "canvas", canvas)
    atlas = builds.build(None, layers=["2", "4"], chunk=9)
    assert len(tried) == 2
    alone = builds.build(None, units=[atlas.network["4"][2, "center"]], chunk=9)
    assert tried[2:] == [max(tried[:2])]
    mine, its = alone.image(alone.units("4")[0]), atlas.image(atlas.units("4")[2])
    assert mine is not None
    assert its is not None
    assert np.array_equal(mine.pixels(), its.pixels())
