"""What each transformation draws, and what it does with it to an image that carries a mark."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from cnnviz_widgets.engine.regularizers import (
    Jitter,
    Noise,
    Padding,
    RandomCrop,
    RandomRotation,
    RandomScale,
    Regularizer,
    Transformation,
)
from cnnviz_widgets.engine.regularizers.transformations import Window

DRAWING: list[Transformation] = [
    Jitter(4),
    RandomScale(0.7, 1.4),
    RandomRotation(30.0),
    RandomCrop(0.3, 0.6),
    Noise(20.0),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photograph(height: int = 9, width: int = 12, colours: int = 3) -> Tensor:
    return torch.rand(1, colours, height, width, generator=seeded(5), dtype=torch.float64)


def dot(height: int, width: int, row: int, column: int) -> Tensor:
    image = torch.zeros(1, 1, height, width)
    image[..., row, column] = 1
    return image


def place(image: Tensor) -> tuple[float, float]:
    """The centre of mass, from the centre of the image, in pixels."""
    mass = image[0, 0] / image.sum()
    height, width = mass.shape
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return float(mass.sum(1) @ rows), float(mass.sum(0) @ columns)


@pytest.mark.parametrize("prior", [Padding(3), *DRAWING], ids=repr)
def test_the_gradient_goes_back_through_it(prior: Regularizer) -> None:
    image = photograph(7, 6, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: prior.transform(given, seeded(3)), (image,))


@pytest.mark.parametrize("prior", DRAWING, ids=repr)
def test_a_transformation_is_what_it_draws_and_then_applies(prior: Transformation) -> None:
    image = photograph()
    drawn = prior.draw((3, 9, 12), seeded(3))
    assert torch.equal(prior.transform(image, seeded(3)), prior.apply(image, drawn))
    assert torch.equal(prior.apply(image, drawn), prior.apply(image, drawn))
    one_after_another = seeded(3)
    several = [prior.transform(image, one_after_another) for _ in range(8)]
    assert any(made.shape != several[0].shape or not torch.equal(made, several[0]) for made in several[1:])


@pytest.mark.parametrize("prior", DRAWING, ids=repr)
def test_only_the_generator_it_is_given_is_asked(prior: Transformation) -> None:
    before = torch.get_rng_state()
    prior.transform(photograph(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("prior", [Padding(2), *DRAWING], ids=repr)
def test_several_images_are_treated_alike(prior: Regularizer) -> None:
    image = photograph()
    both = prior.transform(torch.cat([image, 1 - image]), seeded(4))
    assert torch.allclose(both[:1], prior.transform(image, seeded(4)), atol=1e-12)
    assert torch.allclose(both[1:], prior.transform(1 - image, seeded(4)), atol=1e-12)


def test_padding_is_a_grey_frame() -> None:
    image = photograph()
    padded = Padding(2).transform(image, seeded())
    assert padded.shape == (1, 3, 13, 16)
    assert torch.equal(padded[..., 2:-2, 2:-2], image)
    padded[..., 2:-2, 2:-2] = 0.5
    assert (padded == 0.5).all()


def test_jitter_moves_a_dot_by_what_was_drawn() -> None:
    for seed in range(10):
        drawn = Jitter(4).draw((1, 20, 30), seeded(seed))
        moved = Jitter(4).apply(dot(20, 30, 10, 15), drawn)
        assert moved.shape == (1, 1, 16, 26)
        assert moved[0, 0, 10 - drawn.top, 15 - drawn.left] == 1


def test_jitter_draws_every_shift_and_no_other() -> None:
    generator = seeded()
    drawn = [Jitter(3).draw((1, 9, 9), generator) for _ in range(300)]
    assert {window.top for window in drawn} == {window.left for window in drawn} == {0, 1, 2, 3}
    assert {(window.height, window.width) for window in drawn} == {(6, 6)}


def test_jitter_leaves_a_pixel_of_a_small_image() -> None:
    assert Jitter(8).transform(photograph(9, 2), seeded()).shape == (1, 3, 1, 1)
    assert torch.equal(Jitter(0).transform(photograph(), seeded()), photograph())


@pytest.mark.parametrize(("height", "width"), [(15, 21), (16, 22), (15, 22)])
@pytest.mark.parametrize("factor", [0.6, 0.93, 1.0, 1.07, 1.8])
def test_scaling_keeps_the_centre_and_moves_the_rest_away_from_it(height: int, width: int, factor: float) -> None:
    image = torch.zeros(1, 1, height, width)
    image[..., height // 2 - (height % 2 == 0) : height // 2 + 1, width // 2 - (width % 2 == 0) : width // 2 + 1] = 1
    scaled = RandomScale().apply(image, factor)
    assert place(scaled) == pytest.approx((0, 0), abs=1e-5)
    assert [now % 2 for now in scaled.shape[-2:]] == [height % 2, width % 2]
    assert scaled.shape[-2] == pytest.approx(factor * height, abs=1.01)
    assert scaled.shape[-1] == pytest.approx(factor * width, abs=1.01)


def test_a_scaled_ramp_is_a_ramp_of_another_slope() -> None:
    ramp = torch.arange(20.0).expand(1, 1, 10, 20)
    inner = RandomScale().apply(ramp, 1.5)[0, 0, 5, 5:-5]
    assert torch.allclose(inner.diff(), torch.tensor(20 / 30), atol=1e-5)


def test_a_factor_lies_between_its_ends() -> None:
    generator = seeded()
    factors = [RandomScale(0.9, 1.1).draw((3, 224, 224), generator) for _ in range(300)]
    assert 0.9 <= min(factors) < 0.92
    assert 1.08 < max(factors) <= 1.1
    assert RandomScale(1.0, 1.0).draw((3, 8, 8), generator) == 1


@pytest.mark.parametrize(("degrees", "quarters"), [(90.0, 1), (180.0, 2), (-90.0, 3), (0.0, 0)])
@pytest.mark.parametrize("size", [8, 9])
def test_quarter_turns_are_exact(degrees: float, quarters: int, size: int) -> None:
    image = photograph(size, size)
    turned = RandomRotation().apply(image, degrees)
    assert torch.allclose(turned, torch.rot90(image, quarters, (-2, -1)), atol=1e-10)


@pytest.mark.parametrize("degrees", [-77.0, 10.0, 33.0])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (16, 7)])
def test_a_rotation_equals_scipy_with_grey_around(degrees: float, height: int, width: int) -> None:
    image = photograph(height, width, 1)
    rows, columns = np.mgrid[:height, :width]
    down, across = rows - (height - 1) / 2, columns - (width - 1) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    source_rows = sine * across + cosine * down + (height - 1) / 2
    source_columns = cosine * across - sine * down + (width - 1) / 2
    # scipy cuts off at the outermost pixels' centres, so the grey must already stand there
    grey = np.pad(image[0, 0].numpy(), 3, constant_values=0.5)
    expected = map_coordinates(grey, [source_rows + 3, source_columns + 3], order=1, mode="nearest")
    found = RandomRotation().apply(image, degrees)
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-10)


def test_corners_turn_grey() -> None:
    turned = RandomRotation().apply(torch.ones(1, 3, 40, 40), 45.0)
    assert torch.allclose(turned[..., 0, 0], torch.tensor(0.5))
    assert torch.allclose(turned[..., 20, 20], torch.tensor(1.0))


def test_an_angle_lies_between_its_ends() -> None:
    generator = seeded()
    angles = [RandomRotation(10.0).draw((3, 9, 9), generator) for _ in range(300)]
    assert -10 <= min(angles) < -9
    assert 9 < max(angles) <= 10


def test_a_crop_shows_its_window_at_full_size() -> None:
    image = torch.zeros(1, 1, 12, 20)
    image[..., 3:6, 10:15] = 1
    assert torch.equal(RandomCrop().apply(image, Window(3, 10, 3, 5)), torch.ones(1, 1, 12, 20))
    shown = RandomCrop().apply(dot(12, 20, 4, 12), Window(2, 10, 5, 5))
    assert place(shown) == pytest.approx((0, 0), abs=1e-5)


def test_a_crop_lies_within_the_image_and_has_its_share() -> None:
    generator = seeded()
    drawn = [RandomCrop(0.25, 0.3).draw((3, 100, 200), generator) for _ in range(400)]
    for window in drawn:
        assert 0 <= window.top <= 100 - window.height
        assert 0 <= window.left <= 200 - window.width
        assert 25 <= window.height <= 30
        assert abs(window.width - 2 * window.height) <= 1
    assert {window.height for window in drawn} == set(range(25, 31))
    centres = torch.tensor([(window.top + window.height / 2, window.left + window.width / 2) for window in drawn])
    assert (centres.mean(0) / torch.tensor([100, 200])).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert (centres.std(0) / torch.tensor([100, 200])).tolist() == pytest.approx([0.15, 0.15], abs=0.02)


def test_a_whole_crop_changes_nothing() -> None:
    image = photograph()
    assert torch.allclose(RandomCrop(1.0, 1.0).transform(image, seeded()), image)


def test_noise_has_its_deviation_in_grey_levels() -> None:
    image = torch.full((1, 3, 100, 100), 0.3)
    noise = (Noise(20.0).transform(image, seeded()) - image) * 255
    assert noise.std().item() == pytest.approx(20, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.5)
    assert torch.equal(Noise(0.0).transform(image, seeded()), image)
    shares = [float(Noise(20.0, 0.75).draw((3, 64, 64), seeded(i)).std()) for i in range(40)]
    assert 0.23 < min(shares) < 0.4
    assert 0.85 < max(shares) < 1.03
    assert torch.equal(Noise(20.0).draw((3, 4, 5), seeded(1)), torch.randn(3, 4, 5, generator=seeded(1)))


def test_lucids_list_keeps_every_pixel_within_reach() -> None:
    image, generator = torch.zeros(1, 3, 32, 40), seeded()
    image[..., 16, 20] = 1
    for prior in (Padding(12), Jitter(8), RandomScale(0.9, 1.1), RandomRotation(10.0), Jitter(4)):
        image = prior.transform(image, generator)
    assert image.shape[-2] >= 32
    assert image.shape[-1] >= 40
    assert image[..., 10:-10, 10:-10].max() > 0.5


def test_the_base_is_no_choice_of_its_own() -> None:
    assert Transformation not in set(Regularizer.members())
    with pytest.raises(NotImplementedError):
        Transformation().transform(photograph(), seeded())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Padding(-1), "pixels=-1; expected a whole number of pixels from 0"),
        (lambda: Padding(1.5), r"pixels=1\.5"),  # type: ignore[arg-type]
        (lambda: Jitter(-1), "pixels=-1"),
        (lambda: RandomScale(0.0), r"low=0\.0; expected 0\.1 to 10"),
        (lambda: RandomScale(0.9, math.inf), "high=inf"),
        (lambda: RandomScale(1.2, 1.1), r"low=1\.2 is above high=1\.1; expected low <= high"),
        (lambda: RandomRotation(181.0), "degrees=181"),
        (lambda: RandomCrop(0.0), r"low=0\.0; expected 0\.01 to 1"),
        (lambda: RandomCrop(0.3, 1.1), r"high=1\.1"),
        (lambda: RandomCrop(0.5, 0.3), r"low=0\.5 is above high=0\.3"),
        (lambda: Noise(-1.0), "deviation=-1"),
        (lambda: Noise(math.nan), "deviation=nan"),
    ],
)
def test_values_that_mean_nothing_are_told(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
