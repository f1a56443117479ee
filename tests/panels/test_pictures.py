"""Frames become pictures, films and the parts of a step; files are called after what they show."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets import Frame, MaximizationPanel, Recipe, maximize
from cnnviz_widgets.engine.best import Best
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Padding
from cnnviz_widgets.panels._pictures import Pictures, animation, dissected, encoded
from cnnviz_widgets.panels.maximization import _file_name
from tests.panels.networks import grey
from tests.panels.runs import finished, paused, result_of
from tests.panels.waiting import until

Keep = Callable[[MaximizationPanel], MaximizationPanel]


def frame_of(count: int, *, probabilities: torch.Tensor | None = None) -> Frame:
    generator = torch.Generator().manual_seed(0)
    return Frame(7, torch.rand(count, 1, 8, 8, generator=generator), torch.arange(count) * 1.25, probabilities)


def gif(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def jpegs(count: int, size: tuple[int, int] = (32, 16)) -> list[bytes]:
    return [encoded(Image.new("L", size, (37 * number) % 256), "JPEG") for number in range(count)]


def test_one_image_is_shown_as_it_is() -> None:
    pictures = Pictures(grey(), [""], 0, None)
    frame = frame_of(1)
    shown = pictures.of(frame, "none")
    assert np.array_equal(np.asarray(shown), (frame.image[0, 0] * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(4, 2, (2, 2)), (3, 3, (1, 3)), (9, 0, (3, 3)), (2, 0, (1, 2))]
)
def test_several_are_in_rows(count: int, columns: int, shape: tuple[int, int]) -> None:
    pictures = Pictures(grey(), [f"lane {number}" for number in range(count)], columns, None)
    shown = pictures.of(frame_of(count), "percentile")
    side = 224 if count <= 4 else 160
    assert (shown.height // side, shown.width // side) == shape


def test_labels_tell_the_score_or_the_probability() -> None:
    probabilities = torch.tensor([[0.1, 0.9], [float("nan")] * 2])
    told = Pictures(grey(), ["first", "second"], 2, 1)
    frame = frame_of(2, probabilities=probabilities)
    assert told._label(frame, 0) == "first  p 0.900"
    assert told._label(frame, 1) == "second  1.25"
    assert Pictures(grey(), ["a", "b"], 2, None)._label(frame, 0) == "a  0"
    assert told.probability(frame_of(2), 0) is None


def test_the_caption_tells_contrast_stretch_probability_and_best() -> None:
    best = Best([Recipe(), Recipe()])
    frame = frame_of(2, probabilities=torch.tensor([[0.1, 0.9], [0.6, 0.4]]))
    best.add(frame)
    told = Pictures(grey(), ["a", "b"], 2, 1).caption(frame, best, 1, "symmetric")
    contrast = float((frame.image[1] - 0.4).square().mean().sqrt()) * 255
    assert told == (
        f"b: contrast {contrast:.2f} of 255, stretched symmetrically; probability 0.4000; best score 1.25 at step 7"
    )


def test_the_score_of_a_random_view_is_not_called_the_best() -> None:
    best = Best([Recipe(regularizers=(Jitter(2),))])
    frame = frame_of(1)
    best.add(frame)
    told = Pictures(grey(), ["a"], 1, None).caption(frame, best, 0, "none")
    assert "score of a random view 0 at step 7" in told
    assert "best" not in told


def test_a_neuron_is_shown_on_its_canvas(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=3)))
    panel.selection.unit = panel.network["2"][1, 2, 2]
    panel.wait()
    finished(panel)
    until(lambda: "canvas 5 × 5" in panel.player.caption, lambda: panel.player.caption)
    with Image.open(io.BytesIO(panel.player.still)) as still:
        assert still.size == (5, 5)


def test_a_film_plays_its_frames_once() -> None:
    film = gif(animation(jpegs(5)))
    assert (film.n_frames, film.size, film.info.get("loop")) == (5, (32, 16), None)  # type: ignore[attr-defined]
    levels = []
    for number in range(5):
        film.seek(number)
        levels.append(int(np.asarray(film.convert("L")).mean()))
    assert levels == pytest.approx([0, 37, 74, 111, 148], abs=2)


def test_a_long_film_is_thinned_and_a_large_one_scaled() -> None:
    film = gif(animation(jpegs(500)))
    assert 200 < film.n_frames <= 240  # type: ignore[attr-defined]
    film.seek(film.n_frames - 1)  # type: ignore[attr-defined]
    assert int(np.asarray(film.convert("L")).mean()) == pytest.approx((37 * 499) % 256, abs=2)
    assert max(gif(animation(jpegs(2, (1200, 300)))).size) == 896


@pytest.mark.parametrize("count", [0, 1])
def test_a_film_takes_two_frames(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} frames were kept; a film takes two or more"):
        animation(jpegs(count))


def test_a_film_before_any_run_is_refused_and_the_panel_lives_on(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=4)))
    panel.save_film()
    panel.wait()
    assert "0 frames were kept; a film takes two or more" in panel.note.text
    with pytest.raises(ValueError, match="no picture to save yet"):
        panel.save()
    finished(panel)
    assert panel.note.text == ""


def offered(panel: MaximizationPanel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes, str]]:
    files: list[tuple[str, bytes, str]] = []
    monkeypatch.setattr(panel.download, "offer", lambda *file: files.append(file))
    return files


def test_files_carry_what_was_climbed(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=6)))
    files = offered(panel, monkeypatch)
    panel.selection.unit = panel.network.unit("flat")
    panel.wait()
    finished(panel)
    until(lambda: not panel.tools["save"].disabled)
    panel.tools["save"].click()
    monkeypatch.setattr(panel.player, "film", lambda: list(enumerate(jpegs(3))))
    panel.tools["film"].click()
    until(lambda: len(files) == 2)
    assert [(name, mime) for name, _, mime in files] == [("flat.png", "image/png"), ("flat.gif", "image/gif")]
    assert files[0][1] == result_of(panel).png(0, panel.stretch.value)
    assert gif(files[1][1]).n_frames == 3  # type: ignore[attr-defined]


def test_the_image_of_the_lane_in_hand_is_saved(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = keep(MaximizationPanel(grey()))
    panel.lanes.racers.value = ("none", "yosinski-1")
    panel.lanes.mode.value = "race"
    for number in range(2):
        panel.lanes.lane.value = number
        panel.numbers["steps"].value = 3
    finished(panel)
    files = offered(panel, monkeypatch)
    panel.save()
    assert files[0][:2] == ("1_0_ yosinski-1.png", result_of(panel).png(1))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("flamingo", "flamingo"),
        ("hen-of-the-woods", "hen-of-the-woods"),
        ("../etc/passwd", ".._etc_passwd"),
        ("2[1] - 0.5 * others(2[1])", "2_1_ - 0.5 _ others_2_1__"),
        ('a<b>:"c"|d?*\\', "a_b___c__d___"),
        ("Ärmel 袖", "Ärmel 袖"),
        ("  ", "picture"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_of_files(label: str, name: str) -> None:
    assert _file_name(label) == name


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pictures and captions that the last `dissected` put side by side."""
    from cnnviz_widgets.panels import _pictures

    kept: list[Any] = []
    monkeypatch.setattr(_pictures.display, "captioned", lambda *given, **how: kept.extend(given))
    return kept


def test_the_parts_of_a_step_are_pictures_of_their_effects(parts: list[Any]) -> None:
    image = torch.zeros(1, 4, 4)
    step, decayed = torch.full_like(image, 0.2), torch.full_like(image, 0.1)
    dissected([("image", image), ("gradient", image + 3), ("step", step), ("L2Decay", decayed)], {"step": "the step"})
    pictures, captions = parts
    assert captions == [
        "image\nup to 0 of 255",
        "gradient\nup to 3",
        "the step\nup to 51 of 255",
        "L2Decay\nup to 25.5 of 255",
    ]
    assert np.asarray(pictures[3]).max() == 0, "the decay takes away"
    assert np.asarray(pictures[2]).min() == 255, "the step adds"


def test_a_gradient_however_small_is_seen(parts: list[Any]) -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(1, 2, 1) * 1e-12
    dissected([("image", stripes), ("gradient", stripes)], {})
    assert np.asarray(parts[0][1])[0, [0, -1]].tolist() == [255, 0]


def test_what_a_step_does_is_shown_and_changes_nothing(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnviz_widgets.panels import maximization

    named: list[str] = []
    draw = maximization.dissected
    monkeypatch.setattr(
        maximization,
        "dissected",
        lambda parts, names: named.extend(names[name] for name, _ in parts) or draw(parts, names),
    )
    priors = [L2Decay(0.1), GaussianBlur(0.5), Padding(2), Jitter(2)]
    panel = paused(keep(MaximizationPanel(grey(), Recipe(regularizers=priors, steps=1000))))
    step = panel.player.step
    assert panel.anatomy.layout.display == "none"
    panel.dissect()
    until(lambda: panel.anatomy.layout.display == "")
    assert panel.player.step == step
    with Image.open(io.BytesIO(panel.anatomy.value)) as shown:
        assert shown.width > shown.height > 160
    assert named == [
        "the image",
        "as the network sees it",
        "the gradient",
        "the step",
        "L2 decay",
        "gaussian blur",
    ]
    panel.numbers["steps"].value = step + 3
    panel.resume()
    until(lambda: panel.state == "finished")
    made = result_of(panel)
    alone = maximize(panel.network, panel.unit, panel.recipe)
    assert torch.equal(made.image, alone.image)


def test_a_stopped_run_can_not_be_looked_into(keep: Keep) -> None:
    panel = keep(MaximizationPanel(grey(), Recipe(steps=2)))
    with pytest.raises(ValueError, match="no run to look into"):
        panel.dissect()
    finished(panel)
    panel.stop()
    until(lambda: panel.state == "stopped")
    with pytest.raises(ValueError, match="a stopped run is over"):
        panel.dissect()
