"""What `maximize` found, as pictures and as files that tell how they were made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, L2Decay
from cnnviz_widgets.engine.result import Result
from cnnviz_widgets.engine.steppers import Progress

RECIPE = Recipe(regularizers=(L2Decay(0.5), GaussianBlur(0.5)), stepper=Progress(1e-4), steps=12, seed=3)


def network(channels: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 7 * 9, 3))
    mean = tuple(0.3 + 0.1 * channel for channel in range(channels))
    return Network(module, InputSpec(size=(channels, 9, 11), mean=mean), labels=["owl", "Uhu", "ウフ"])


@pytest.fixture(scope="module")
def result() -> Result:
    net = network(3)
    return maximize(net, [net.unit("Uhu"), 2 * activation(net["0"][1])], RECIPE, copies=2)


def test_it_tells_all_of_how_it_was_made(result: Result) -> None:
    net = network(3)
    assert result.image.shape == (4, 3, 9, 11)
    assert result.score.shape == result.step.shape == (4,)
    assert result.curve.shape == (13, 4)
    assert result.recipe == RECIPE
    assert result.digest == net.digest()
    assert result.objective == activation(net.unit("Uhu"))
    assert [repr(goal) for goal in result.objectives] == ["3[1]", "3[1]", "2 * 0[1]", "2 * 0[1]"]
    assert result.labels == ("Uhu", "Uhu", "2 * 0[1]", "2 * 0[1]")
    assert result.notes == ("",) * 4


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("stretch", ["symmetric", "percentile", "none"])
def test_pictures_of_any_number_of_channels(channels: int, stretch: str, tmp_path: Path) -> None:
    net = network(channels)
    result = maximize(net, net.unit("owl"), RECIPE)
    (shown,) = result.picture(stretch)
    assert shown.size == (11, 9)
    assert shown.mode == ("L" if channels < 3 else "RGB")
    if stretch != "none":
        assert np.asarray(shown).std() > 20
    (written,) = result.save(tmp_path / "owl.png", stretch)
    with Image.open(written) as read:
        assert np.array_equal(np.asarray(read), np.asarray(shown))
    with Image.open(io.BytesIO(result._repr_png_())) as sheet:
        assert sheet.width > 200


def test_captions_name_goal_score_stretch_and_contrast(result: Result) -> None:
    first = result.captions("percentile")[0]
    assert first.splitlines() == [
        "Uhu",
        f"score {float(result.score[0]):.4g} at step {int(result.step[0])}",
        "stretched to the 99.5th percentile",
        f"contrast {result.contrast[0]:.2f} of 255",
    ]
    assert repr(result).startswith("Result of 4 images\nUhu, score ")
    with pytest.raises(ValueError, match="stretch='full'"):
        result.captions("full")
    with pytest.raises(ValueError, match="stretch='full'"):
        result.picture("full")


def test_contrast_is_of_the_image_not_of_the_picture(result: Result) -> None:
    net = network(3)
    difference = (result.image - torch.tensor(net.input.neutral).view(3, 1, 1)) * 255
    assert result.contrast == pytest.approx(difference.square().mean((1, 2, 3)).sqrt().tolist(), rel=1e-4)


def text_of(path: Path) -> dict[str, str]:
    with Image.open(path) as read:
        return {key: str(value) for key, value in read.text.items()}  # type: ignore[attr-defined]


def test_a_file_rebuilds_its_recipe(result: Result, tmp_path: Path) -> None:
    files = result.save(tmp_path / "uhu.png", "percentile")
    assert [file.name for file in files] == ["uhu.png", "uhu-1.png", "uhu-2.png", "uhu-3.png"]
    told = text_of(files[2])
    assert Recipe.from_json(told["cnnviz:recipe"]) == RECIPE
    assert told["cnnviz:objective"] == "2 * 0[1]"
    assert told["cnnviz:network"] == result.digest
    assert told["cnnviz:stretch"] == "percentile"
    assert told["cnnviz:contrast"] == f"{result.contrast[2]:.4f} of 255"
    assert told["cnnviz:torch"] == torch.__version__


def test_a_rebuilt_recipe_makes_the_same_image_again(result: Result, tmp_path: Path) -> None:
    told = text_of(result.save(tmp_path / "uhu.png")[0])
    net = network(3)
    assert net.digest() == told["cnnviz:network"]
    again = maximize(net, net.unit("Uhu"), Recipe.from_json(told["cnnviz:recipe"]))
    assert torch.equal(again.image[0], result.image[0])


def test_the_notebooks_picture_tells_of_all_its_images(result: Result, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_bytes(result._repr_png_())
    told = text_of(tmp_path / "sheet.png")
    assert told["cnnviz:objective"].splitlines() == [repr(goal) for goal in result.objectives]
    assert len(told["cnnviz:contrast"].splitlines()) == 4


def test_labels_of_any_script_are_drawn_and_kept(tmp_path: Path) -> None:
    net = network(1)
    result = maximize(net, net.unit("ウフ"), RECIPE)
    assert result.labels == ("ウフ",)
    assert result.sheet().width > 200
    assert result.save(tmp_path / "ウフ.png")[0].exists()


@pytest.mark.parametrize(("given", "written"), [("owl", "owl.png"), ("owl.PNG", "owl.PNG")])
def test_the_ending_is_png(result: Result, tmp_path: Path, given: str, written: str) -> None:
    assert result.save(str(tmp_path / given))[0] == tmp_path / written


@pytest.mark.parametrize("name", ["owl.jpg", "owl.v2"])
def test_another_ending_is_told(result: Result, tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError, match="saved as PNG"):
        result.save(tmp_path / name)
