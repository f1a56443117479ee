"""Starts and images of the parameterizations, lucid's formulas replayed slowly, magnitudes that stay, photographs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import spectra
from cnnviz_widgets.engine.parameterizations import Fourier, Maco, Parameterization, Pixels, SigmoidPixels
from cnnviz_widgets.engine.values import Values

NEUTRAL = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)


def start(way: Parameterization, seed: int = 0, shape: tuple[int, int, int] = (3, 64, 64)) -> torch.Tensor:
    return way.init(shape, NEUTRAL[: shape[0]], torch.Generator().manual_seed(seed))


def test_the_start_is_noise_about_the_mean_colour() -> None:
    latent = start(Pixels(10.0))
    assert latent.shape == (1, 3, 64, 64)
    assert latent.std().item() == pytest.approx(10, rel=0.05)
    assert latent.mean().item() == pytest.approx(0, abs=0.3)
    image = Pixels().decode(latent, NEUTRAL)
    assert image.mean((0, 2, 3)).tolist() == pytest.approx([0.2, 0.5, 0.9], abs=0.005)


def test_the_start_follows_the_seed_alone() -> None:
    assert torch.equal(start(Pixels(), 3), start(Pixels(), 3))
    assert not torch.equal(start(Pixels(), 3), start(Pixels(), 4))
    assert torch.allclose(start(Pixels(4.0), 3), 4 * start(Pixels(1.0), 3))
    double = Pixels().init((3, 8, 8), NEUTRAL.double(), torch.Generator().manual_seed(3))
    assert double.dtype == torch.float64
    assert torch.allclose(double.float(), start(Pixels(), 3, (3, 8, 8)))


def test_no_deviation_is_the_plain_mean_colour() -> None:
    image = Pixels().decode(start(Pixels(0.0)), NEUTRAL)
    assert torch.equal(image, NEUTRAL.expand(1, 3, 64, 64))


def test_a_wide_start_stays_in_range() -> None:
    image = Pixels().decode(start(Pixels(200.0)), NEUTRAL)
    assert image.min() >= -1e-6
    assert image.max() <= 1 + 1e-6


def test_encode_and_decode_undo_each_other() -> None:
    image = torch.rand(2, 3, 5, 7)
    assert torch.allclose(Pixels().decode(Pixels().encode(image, NEUTRAL), NEUTRAL), image, atol=1e-6)


def test_small_differences_from_the_mean_colour_survive() -> None:
    pixels, x = Pixels(), torch.full((1, 3, 2, 2), 1e-12)
    latent = pixels.from_around_neutral(x, NEUTRAL)
    assert torch.allclose(pixels.around_neutral(latent, NEUTRAL), x, rtol=1e-6, atol=0)


def test_constraining_clips_to_what_can_be_shown() -> None:
    latent = torch.tensor([-1000.0, 0.0, 1000.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    image = Pixels().decode(Pixels().constrain(latent, NEUTRAL), NEUTRAL)
    assert torch.allclose(image[0, :, 0, 0], torch.zeros(3), atol=1e-6)
    assert torch.equal(image[0, :, 0, 1], NEUTRAL.flatten())
    assert torch.allclose(image[0, :, 0, 2], torch.ones(3), atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, 256.0, math.nan, math.inf])
def test_a_deviation_out_of_range_is_told(value: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 255"):
        Pixels(value)


def test_uniform_noise_is_anything_that_can_be_shown() -> None:
    pixels = Pixels(0.0, "uniform")
    image = pixels.decode(start(pixels), NEUTRAL)
    share = torch.histc(image, 10, 0, 1) / image.numel()
    assert torch.allclose(share, torch.full((10,), 0.1), atol=0.02)
    assert torch.equal(start(pixels), start(Pixels(60.0, "uniform")))
    with pytest.raises(ValueError, match="'normal' or 'uniform'"):
        Pixels(noise="pink")


def lucid(latent: np.ndarray, decay: float, neutral: np.ndarray, *, decorrelated: bool) -> np.ndarray:
    """One image of complex numbers (C, H, W // 2 + 1), by lucid's formulas and with slow sums for the transform."""
    channels, height, bins = latent.shape
    width = WIDTHS[bins]
    down, across = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    x = np.zeros((channels, height, width))
    for row, column in np.ndindex(height, bins):
        frequency = math.hypot(down[row], across[column])
        scaled = latent[:, row, column] / max(frequency, 1 / max(width, height)) ** decay
        twice = 1 if column == 0 or 2 * column == width else 2
        angle = 2 * np.pi * (down[row] * np.arange(height)[:, None] + across[column] * np.arange(width))
        wave = scaled[:, None, None] * np.exp(1j * angle)
        x += twice * wave.real / math.sqrt(height * width)
    x /= 4
    if decorrelated:
        matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
        matrix /= np.sqrt((matrix**2).sum(0)).max()
        x = np.stack([sum(matrix[out, part] * x[part] for part in range(3)) for out in range(3)])
    offset = np.log(neutral / (1 - neutral))
    return 1 / (1 + np.exp(-(x + offset)))


WIDTHS = {4: 6, 5: 9}


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("bins", WIDTHS, ids=["even", "odd"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_fourier_is_lucids_formula(channels: int, bins: int, decay: float) -> None:
    width = WIDTHS[bins]
    neutral = torch.linspace(0.2, 0.9, channels, dtype=torch.float64).view(-1, 1, 1)
    fourier = Fourier(0.5, decay)
    latent = fourier.init((channels, 5, width), neutral, torch.Generator().manual_seed(0))
    assert latent.shape == (1, channels, 5, width + 2)
    numbers = latent[0, ..., : 2 * bins].unflatten(-1, (bins, 2)).numpy()
    expected = lucid(numbers[..., 0] + 1j * numbers[..., 1], decay, neutral.numpy(), decorrelated=channels == 3)
    np.testing.assert_allclose(fourier.decode(latent, neutral)[0].numpy(), expected, atol=1e-12)
    plain = lucid(numbers[..., 0] + 1j * numbers[..., 1], decay, neutral.numpy(), decorrelated=False)
    rgb = Fourier(0.5, decay, "rgb").decode(latent, neutral)[0].numpy()
    np.testing.assert_allclose(rgb, plain, atol=1e-12)


def test_sigmoid_pixels_are_fourier_without_the_waves() -> None:
    pixels, fourier = SigmoidPixels(1.0), Fourier(decay=0.0)
    latent = pixels.init((3, 8, 8), NEUTRAL, torch.Generator().manual_seed(0))
    assert latent.std().item() == pytest.approx(1, abs=0.15)
    waves = torch.view_as_real(torch.fft.rfft2(4 * latent, norm="ortho")).flatten(-2)
    assert torch.allclose(pixels.decode(latent, NEUTRAL), fourier.decode(waves, NEUTRAL), atol=1e-5)


@pytest.mark.parametrize(
    "way", [SigmoidPixels(0.0), Fourier(0.0), SigmoidPixels(0.0, "rgb"), Fourier(0.0, color="rgb")]
)
def test_the_latent_zero_is_the_mean_colour(way: Parameterization) -> None:
    image = way.decode(start(way), NEUTRAL)
    assert torch.allclose(image, NEUTRAL.expand(1, 3, 64, 64), atol=1e-6)
    black = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1)
    assert torch.allclose(way.decode(start(way), black)[0, :, 0, 0], torch.tensor([0.02, 0.5, 0.98]), atol=1e-6)


def strengths(image: torch.Tensor, neutral: torch.Tensor) -> torch.Tensor:
    """Magnitudes of an image's full transform in lucid's colours, in front of the sigmoid."""
    x = torch.logit(image.double()) - torch.logit(neutral.double())
    if x.shape[1] == 3:
        matrix = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
        inverse = torch.linalg.inv(matrix / matrix.norm(dim=0).max())
        x = torch.einsum("ij,bjhw->bihw", inverse, x)
    return torch.fft.fft2(x).abs()


@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 9, 13), (1, 12, 7), (5, 8, 10)])
def test_maco_keeps_its_magnitudes_wherever_its_phases_are(shape: tuple[int, int, int]) -> None:
    neutral = torch.linspace(0.4, 0.6, shape[0], dtype=torch.float64).view(-1, 1, 1)
    found = []
    for deviation, seed in ((1.0, 0), (1.0, 1), (3.0, 2)):
        maco = Maco(deviation=deviation)
        image = maco.decode(maco.init(shape, neutral, torch.Generator().manual_seed(seed)), neutral)
        found.append(strengths(image, neutral))
    assert not torch.allclose(found[0], torch.zeros_like(found[0]))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert torch.allclose(found[0], found[2], atol=1e-6)
    assert torch.allclose(found[0][..., 0, 0], torch.zeros(shape[0], dtype=torch.float64), atol=1e-6)


def test_maco_without_a_spectrum_falls_with_the_frequency() -> None:
    image = Maco().decode(start(Maco()).double(), NEUTRAL.double())
    found = strengths(image, NEUTRAL)[0]
    assert torch.allclose(found[:, 0, 2] / found[:, 0, 8], torch.full((3,), 4.0, dtype=torch.float64))
    assert torch.allclose(found[:, 3, 4] / found[:, 6, 8], torch.full((3,), 2.0, dtype=torch.float64))
    assert (found[:, 5, 5] / found[0, 5, 5]).tolist() == pytest.approx([1, 1.09, 0.96])


def test_maco_has_contrast_one_and_standardized_phases() -> None:
    maco = Maco()
    latent = start(maco).double()
    image = maco.decode(latent, NEUTRAL.double())
    total = strengths(image, NEUTRAL).square().sum() / (3 * (64 * 64) ** 2)
    assert total.item() == pytest.approx(1)
    used = latent[..., :33]
    moved = torch.cat([2 * used - 5, latent[..., 33:] + 100], dim=-1)
    assert torch.allclose(maco.decode(moved, NEUTRAL.double()), image, atol=1e-6)


def test_maco_takes_its_strengths_from_the_spectrum_given() -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    maco = Maco(spectra.spectrum(images, size=16))
    image = maco.decode(start(maco, shape=(3, 16, 16)).double(), NEUTRAL.double())
    matrix = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]])
    inverse = torch.linalg.inv(matrix / matrix.norm(dim=0).max())
    mean = torch.fft.fft2(torch.einsum("ij,bjhw->bihw", inverse, images)).abs().mean(0)
    found = strengths(image, NEUTRAL)[0].float()
    mean[:, 0, 0] = found[:, 0, 0] = 0
    assert torch.allclose(found / found.sum(), mean / mean.sum(), rtol=2e-3, atol=1e-8)


def test_a_spectrum_that_falls_smoothly_keeps_its_course_on_other_canvases() -> None:
    found = spectra.falling(32, 32, 1.0)
    found[0, 0] = 0
    values = Values(np.stack([found, 2 * found]).astype(np.float32))
    for height, width in ((32, 32), (64, 48), (17, 25), (8, 128)):
        expected = spectra.falling(height, width, 1.0) * np.array([1, 2])[:, None, None]
        expected[:, 0, 0] = 0
        given = spectra.magnitude(values, 2, height, width)
        np.testing.assert_allclose(given / given.sum(), expected / expected.sum(), rtol=0.02, atol=1e-9)


def test_a_spectrum_takes_whatever_counts_as_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    alone = spectra.spectrum(pixels, size=8)
    assert alone == spectra.spectrum([Image.fromarray(pixels)], size=8) == spectra.spectrum([pixels, pixels], size=8)
    tensors = torch.rand(4, 3, 8, 8)
    assert spectra.spectrum(tensors, size=8) == spectra.spectrum(list(tensors), size=8)
    assert spectra.spectrum(pixels, size=8, channels=1).array.shape == (1, 8, 5)
    assert alone.array.shape == (3, 8, 5)
    assert alone.array.dtype == np.float16
    assert (alone.array[:, 0, 0] == 0).all()


@pytest.mark.parametrize(
    ("images", "size", "told"),
    [
        ([], 8, "at least one"),
        (torch.full((2, 3, 8, 8), 0.25), 8, "single colour"),
        (torch.rand(1, 3, 8, 8), 9, "even"),
        (torch.rand(1, 4, 8, 8), 8, r"expected \(3, H, W\)"),
    ],
)
def test_what_has_no_spectrum_is_told(images: Any, size: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spectra.spectrum(images, size=size)


def test_what_is_no_spectrum_is_told() -> None:
    good = np.ones((3, 8, 5), np.float32)
    spoiled = good.copy()
    spoiled[1, 2, 3] = np.nan
    for array in (good[0], good[:, :7], good.astype(np.uint8), spoiled, -good, 0 * good):
        with pytest.raises(ValueError, match=r"spectra\.spectrum\(images\)"):
            Maco(Values(array))
    with pytest.raises(TypeError, match="spectrum"):
        Maco(good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"channels=1"):
        start(Maco(Values(good)), shape=(1, 8, 8)) + Maco(Values(good)).decode(torch.rand(1, 1, 8, 8), NEUTRAL[:1])


@pytest.mark.parametrize(
    "way", [SigmoidPixels(), Fourier(), Fourier(decay=2.0), Maco(), Maco(photograph=torch.rand(3, 8, 8))]
)
def test_the_gradient_is_finite_everywhere(way: Parameterization) -> None:
    for image in (torch.zeros(1, 3, 6, 7), torch.ones(1, 3, 6, 7), NEUTRAL.expand(1, 3, 6, 7)):
        latent = way.encode(image, NEUTRAL)
        for point in (latent, torch.zeros_like(latent), torch.full_like(latent, 1e4)):
            point = point.clone().requires_grad_()
            shown = way.decode(point, NEUTRAL)
            (shown * torch.rand_like(shown)).sum().backward()
            assert shown.isfinite().all()
            assert point.grad is not None
            assert point.grad.isfinite().all()


@pytest.mark.parametrize("way", [SigmoidPixels(1.0), Fourier(1.0), Maco()])
@pytest.mark.parametrize("shape", [(3, 6, 7), (2, 5, 8), (1, 1, 1), (3, 1, 2), (3, 4, 1)])
def test_canvases_of_any_size_and_batches(way: Parameterization, shape: tuple[int, int, int]) -> None:
    neutral = torch.full((shape[0], 1, 1), 0.5)
    latents = [way.init(shape, neutral, torch.Generator().manual_seed(seed)) for seed in range(3)]
    together = way.decode(torch.cat(latents), neutral)
    assert together.shape == (3, *shape)
    for number, latent in enumerate(latents):
        assert torch.allclose(way.decode(latent, neutral)[0], together[number], atol=1e-6)


def test_what_is_cached_in_inference_mode_serves_a_gradient() -> None:
    with torch.inference_mode():
        for way in (Fourier(), Maco()):
            way.decode(torch.rand(1, 3, 10, 32 if way == Maco() else 34), NEUTRAL)
    for way in (Fourier(), Maco()):
        latent = start(way, shape=(3, 10, 32)).requires_grad_()
        way.decode(latent, NEUTRAL).sum().backward()
        assert latent.grad is not None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fourier(-1.0), "deviation"),
        (lambda: Fourier(decay=math.nan), "decay"),
        (lambda: Fourier(color="lab"), "'decorrelated' or 'rgb'"),
        (lambda: SigmoidPixels(math.inf), "deviation"),
        (lambda: SigmoidPixels(color=""), "color"),
        (lambda: Maco(deviation=-0.1), "deviation"),
    ],
)
def test_a_value_out_of_range_is_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


PICTURE = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
PICTURE[:8] = 0
PICTURE[8:12] = 255


@pytest.mark.parametrize("way", [Pixels(0.0), SigmoidPixels(0.0), Fourier(0.0), Fourier(0.0, color="rgb")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_a_start_at_a_photograph_shows_it(way: Parameterization, dtype: torch.dtype) -> None:
    neutral = NEUTRAL.to(dtype)
    with_picture = dataclasses.replace(way, photograph=PICTURE)
    latent = with_picture.init((3, 24, 32), neutral, torch.Generator().manual_seed(0))
    assert latent.dtype == dtype
    expected = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].to(dtype) / 255
    assert (with_picture.decode(latent, neutral) - expected).abs().max() <= 1 / 255


@pytest.mark.parametrize("way", [Pixels(20.0), SigmoidPixels(0.5), Fourier(0.2)])
def test_the_noise_of_the_start_is_added_to_the_photograph(way: Parameterization) -> None:
    picture, neutral = torch.full((3, 16, 16), 0.6), torch.full((3, 1, 1), 0.5)
    with_picture = dataclasses.replace(way, photograph=picture)
    noise, both = (one.init((3, 16, 16), neutral, torch.Generator().manual_seed(3)) for one in (way, with_picture))
    assert torch.allclose(both, way.encode(picture[None], neutral) + noise, atol=1e-4)


def test_maco_keeps_the_phases_of_a_photograph() -> None:
    image = torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    maco = Maco(photograph=image, deviation=0.0)
    shown = maco.decode(start(maco, shape=(3, 16, 18)), NEUTRAL)
    inner = (slice(None), slice(None), slice(None), slice(1, 9))
    before, after = (maco.encode(one, NEUTRAL)[inner] for one in (image, shown))
    assert torch.allclose((before - after).cos(), torch.ones(1, 3, 16, 8), atol=1e-3)


def test_a_photograph_is_anything_one_has(tmp_path: Path) -> None:
    picture = Image.fromarray(PICTURE)
    picture.save(tmp_path / "mine.png")
    given = [tmp_path / "mine.png", str(tmp_path / "mine.png"), picture, PICTURE, Values(PICTURE)]
    assert {Pixels(photograph=one) for one in given} == {Pixels(photograph=PICTURE)}
    assert Pixels(photograph=PICTURE) != Pixels()
    tensor = torch.rand(3, 5, 5)
    assert {Fourier(photograph=one) for one in (tensor, tensor[None], Values(tensor))} == {Fourier(photograph=tensor)}
    assert eval(repr(Pixels(photograph=PICTURE))) == Pixels(photograph=PICTURE)
    data = json.loads(json.dumps(Maco(photograph=tensor).to_data()))
    assert Parameterization.from_data(data) == Maco(photograph=tensor)


def shown(photograph: Any, shape: tuple[int, int, int]) -> torch.Tensor:
    way = Pixels(0.0, photograph=photograph)
    neutral = torch.full((shape[0], 1, 1), 0.5)
    return way.decode(way.init(shape, neutral, torch.Generator()), neutral)[0]


def test_a_photograph_is_cropped_and_coloured_as_the_canvas() -> None:
    halves = torch.zeros(3, 10, 30)
    halves[0, :, 10:20] = 1
    assert torch.equal(shown(halves, (3, 10, 10))[0], torch.ones(10, 10))
    assert shown(halves, (1, 5, 15)).shape == (1, 5, 15)
    for colours in (
        torch.ones(3, 4, 4) * torch.tensor([1.0, 0, 0]).view(3, 1, 1),
        np.full((4, 4, 3), (255, 0, 0), "u1"),
    ):
        assert torch.allclose(shown(colours, (1, 4, 4)), torch.full((1, 4, 4), 0.299), atol=0.002)
    for grey in (torch.full((4, 4), 0.2), np.full((4, 4), 51, np.uint8)):
        assert torch.allclose(shown(grey, (3, 4, 4)), torch.full((3, 4, 4), 0.2), atol=1e-3)
    many = np.arange(4 * 4 * 5, dtype=np.uint8).reshape(4, 4, 5)
    assert torch.allclose(shown(many, (5, 4, 4)), torch.from_numpy(many).permute(2, 0, 1) / 255, atol=1e-6)


def test_a_large_photograph_is_scaled_down_and_the_given_one_left_as_it_is() -> None:
    large = Image.new("RGB", (3000, 1500), "red")
    held = Pixels(photograph=large).photograph
    assert held is not None
    assert held.array.shape == (512, 1024, 3)
    assert large.size == (3000, 1500)


@pytest.mark.parametrize(
    ("photograph", "told"),
    [
        ("nowhere.png", "nowhere.png"),
        (17, "expected a path"),
        (torch.rand(2, 3, 4, 4), "one image"),
        (torch.rand(3, 4, 4) * 255, r"\[0, 1\]"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "floats"),
        (np.zeros((4, 4, 3)), "uint8"),
        (Values(np.full((3, 4, 4), np.nan)), r"\[0, 1\]"),
    ],
)
def test_what_is_no_photograph_is_told(photograph: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Fourier(photograph=photograph)


def test_a_photograph_that_does_not_suit_is_told() -> None:
    with pytest.raises(ValueError, match=r"expected \(5, H, W\)"):
        shown(PICTURE, (5, 8, 8))
    with pytest.raises(ValueError, match="nothing of the photograph"):
        Pixels(noise="uniform", photograph=PICTURE)
