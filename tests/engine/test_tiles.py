from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import colormaps
from cnnviz_widgets.engine.tiles import BACKGROUND, Tiles, as_floats, from_values, pick


def slow_bytes(values: np.ndarray, scale: str, signed: bool) -> np.ndarray:
    """Byte by byte, as the definition reads."""
    result = np.zeros(values.shape, dtype=np.uint8)
    for i, tile in enumerate(values):
        counted = values if scale == "all" else tile
        low, high = float(counted.min()), float(counted.max())
        if signed:
            high = max(abs(low), abs(high))
            low = -high
        for at in np.ndindex(tile.shape):
            result[(i, *at)] = round((float(tile[at]) - low) / (high - low) * 255)
    return result


def some(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    # an offset and a size of its own for each tile
    own = random.normal(size=(2, shape[0], *[1] * (len(shape) - 1)))
    return (random.normal(size=shape) * np.exp(3 * own[0]) + own[1]).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 4, 7), (3, 4, 2, 3)])
@pytest.mark.parametrize("scale", ["each", "all"])
@pytest.mark.parametrize("signed", [False, True])
def test_bytes_are_the_slow_ones_and_ranges_invert_them(shape: tuple[int, ...], scale: str, signed: bool) -> None:
    values = some(shape)
    tiles = from_values(values, scale, signed)  # type: ignore[arg-type]
    assert np.abs(tiles.pixels.astype(int) - slow_bytes(values, scale, signed)).max() == 0
    width = (tiles.ranges[:, 1] - tiles.ranges[:, 0]).reshape((-1,) + (1,) * (values.ndim - 1))
    assert (np.abs(tiles.values() - values) <= width / 510 * 1.001).all()
    if scale == "all":
        assert len(np.unique(tiles.ranges, axis=0)) == 1
    if signed:
        assert (tiles.ranges[:, 0] == -tiles.ranges[:, 1]).all()


def test_zero_is_the_middle_of_signed_tiles() -> None:
    tiles = from_values(np.array([[[0.0, -5.0, 2.0]], [[0.0, 1e-3, 0.0]]]), signed=True)
    assert tiles.pixels[:, 0, 0].tolist() == [128, 128]
    assert tiles.pixels[0, 0].tolist() == [128, 0, 178]


@pytest.mark.parametrize(("value", "signed", "byte"), [(0, False, 0), (7, False, 0), (-7, False, 0), (0, True, 128)])
def test_constant_tiles(value: float, signed: bool, byte: int) -> None:
    values = np.full((2, 3, 3), value, dtype=np.float32)
    tiles = from_values(values, signed=signed)
    assert (tiles.pixels == byte).all()
    assert (tiles.values() == value).all()


def test_signed_constants_keep_their_sign() -> None:
    values = np.stack([np.full((2, 2), 3.0), np.full((2, 2), -3.0)])
    tiles = from_values(values, signed=True)
    assert tiles.pixels[:, 0, 0].tolist() == [255, 0]
    assert np.allclose(tiles.values(), values)


@pytest.mark.parametrize("signed", [False, True])
def test_nonfinite_values_are_shown_counted_and_leave_the_scale_alone(signed: bool) -> None:
    values = np.array([[[1.0, 2.0, 3.0, np.inf, -np.inf, np.nan]], [[1.0, 2.0, 3.0, 3.0, 1.0, 2.0]]])
    tiles = from_values(values, signed=signed)
    assert tiles.nonfinite.tolist() == [3, 0]
    assert tiles.pixels[0, 0, 3:].tolist() == [255, 0, 0]
    assert tiles.pixels[0, 0, :3].tolist() == tiles.pixels[1, 0, :3].tolist()
    assert np.isfinite(tiles.ranges).all()


@pytest.mark.parametrize("signed", [False, True])
def test_tiles_without_any_finite_value(signed: bool) -> None:
    values = np.array([[[np.nan, np.inf, -np.inf]], [[0.0, np.inf, -np.inf]]])
    tiles = from_values(values, signed=signed)
    assert tiles.pixels[:, 0].tolist() == [[0, 255, 0], [128 if signed else 0, 255, 0]]
    assert tiles.ranges.tolist() == [[0, 0], [0, 0]]


def test_extreme_values_neither_overflow_nor_vanish() -> None:
    most = np.finfo(np.float32).max
    values = np.array([[[-most, 0, most]], [[0, 6e-39, 1e-38]], [[1e6, 1e6 + 0.0625, 1e6 + 0.1875]]], dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        plain, signed = from_values(values), from_values(values, signed=True)
    assert plain.pixels[:, 0].tolist() == [[0, 128, 255], [0, 153, 255], [0, 85, 255]]
    assert signed.pixels[:2, 0].tolist() == [[0, 128, 255], [128, 204, 255]]


def test_given_limits_cut_off() -> None:
    values = np.array([[[-1.0, 0.0, 5.0, 10.0, 99.0]]] * 2)
    assert from_values(values, limits=np.array([0, 10])).pixels[1, 0].tolist() == [0, 0, 128, 255, 255]
    each = from_values(values, limits=np.array([[0, 10], [0, 100]]))
    assert each.pixels[:, 0, 3].tolist() == [255, 26]
    assert each.ranges.tolist() == [[0, 10], [0, 100]]
    with pytest.raises(ValueError, match="shape"):
        from_values(values, limits=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="lower one first"):
        from_values(values, limits=np.array([1, 0]))
    with pytest.raises(ValueError, match="finite"):
        from_values(values, limits=np.array([0, np.inf]))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
)
def test_every_real_type_gives_what_its_float32_gives(dtype: torch.dtype) -> None:
    values = (torch.arange(24).reshape(2, 3, 4) % 7).to(dtype)
    expected = from_values(values.float().numpy())
    assert (from_values(values).pixels == expected.pixels).all()


def test_tensors_are_read_as_they_are() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = values.detach().clone()
    expected = from_values(before.numpy())
    assert (from_values(values).pixels == expected.pixels).all()
    assert (from_values(values * 1).pixels == expected.pixels).all()
    assert (from_values(values.mT.contiguous().mT).pixels == expected.pixels).all()
    with torch.inference_mode():
        assert (from_values(values + 0).pixels == expected.pixels).all()
    assert torch.equal(values, before)
    assert values.grad is None


def test_float64_beyond_float32_is_infinite() -> None:
    assert from_values(np.array([[[0.0, 1.0, 1e300]]])).nonfinite.tolist() == [1]


def test_only_real_numbers() -> None:
    with pytest.raises(TypeError, match="complex"):
        as_floats(torch.zeros(1, 2, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="real numbers"):
        as_floats(np.array([["a"]]))
    with pytest.raises(TypeError, match="real numbers"):
        as_floats(np.zeros((1, 2), dtype=np.complex64))


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 4, 4), (2, 0, 4), (1, 2, 3, 3, 3)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"tiles are made of \(n, h, w\)"):
        from_values(np.zeros(shape))


def test_wrong_words() -> None:
    with pytest.raises(ValueError, match="'each' or 'all', not 'both'"):
        from_values(np.zeros((1, 2, 2)), "both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no colour map 'jet'"):
        from_values(np.zeros((1, 2, 2)), colormap="jet")
    with pytest.raises(TypeError, match="colour"):
        from_values(np.zeros((1, 2, 2)), colour="red")
    with pytest.raises(ValueError, match="2 tiles need"):
        from_values(np.zeros((2, 2, 2)), names=["one"])
    with pytest.raises(ValueError, match="uint8"):
        Tiles(np.zeros((1, 2, 2)), np.zeros((1, 2)), ("a",), np.zeros(1), None, np.zeros(1))  # type: ignore[arg-type]


def test_colored() -> None:
    tiles = from_values(some((2, 3, 4)), colormap="magma")
    table = colormaps.table("magma")
    expected = [[[table[byte].tolist() for byte in row] for row in tile] for tile in tiles.pixels]
    assert tiles.colored().tolist() == expected
    grey = from_values(some((2, 3, 4)))
    assert (grey.colored() == grey.pixels[..., None]).all()
    rgb = from_values(some((2, 3, 4, 3)))
    assert (rgb.colored() == rgb.pixels).all()


@pytest.mark.parametrize(("columns", "gap", "enlarge"), [(3, 1, 1), (2, 0, 2), (5, 3, 4), (9, 2, 1)])
def test_picture_places_every_tile(columns: int, gap: int, enlarge: int) -> None:
    tiles = from_values(some((5, 2, 3)), colormap="viridis")
    picture = np.asarray(tiles.picture(columns, gap, enlarge, "#ff00ff"))
    rows = -(-5 // columns)
    h, w = 2 * enlarge, 3 * enlarge
    expected = np.full((gap + rows * (h + gap), gap + columns * (w + gap), 3), (255, 0, 255), dtype=np.uint8)
    for i, tile in enumerate(tiles.colored()):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        for y in range(h):
            for x in range(w):
                expected[top + y, left + x] = tile[y // enlarge, x // enlarge]
    assert picture.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("shape", "block", "columns"),
    [
        ((1, 5, 5), 1, 1),
        ((64, 11, 11), 1, 8),
        ((96, 11, 11), 1, 12),
        ((37, 3, 3), 1, 7),
        ((3, 4, 4), 1, 3),
        ((16, 10, 40), 1, 2),
        ((192, 3, 3), 3, 15),
        ((8192, 3, 3), 64, 128),
        ((64, 3, 3), 64, 8),
        ((1024, 3, 3), 512, 512),
    ],
)
def test_default_columns(shape: tuple[int, int, int], block: int, columns: int) -> None:
    tiles = from_values(np.zeros(shape, dtype=np.float32), block=block)
    assert tiles.default_columns() == columns
    assert tiles.default_columns() % block == 0 or shape[0] == block


def test_background_in_both_forms() -> None:
    tiles = from_values(some((1, 2, 2)))
    assert (
        tiles.picture().getpixel((0, 0)) == (0x33, 0x33, 0x33) == tiles.picture(background=BACKGROUND).getpixel((0, 0))
    )
    assert tiles.picture(background=(1, 2, 3)).getpixel((0, 0)) == (1, 2, 3)
    assert tiles.picture(background="white").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("name", "value"), [("columns", 0), ("gap", -1), ("enlarge", 0)])
def test_picture_says_which_number_is_wrong(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        from_values(np.zeros((1, 2, 2))).picture(**{name: value})


def test_no_tiles() -> None:
    tiles = from_values(np.zeros((0, 4, 4)))
    assert len(tiles) == 0
    assert tiles.colored().shape == (0, 4, 4, 3)
    assert tiles.values().shape == (0, 4, 4)
    assert tiles._repr_png_() is None
    with pytest.raises(ValueError, match="no tiles"):
        tiles.picture()


def test_saved_png_is_the_picture(tmp_path: Path) -> None:
    tiles = from_values(some((6, 3, 3)), colormap="RdBu_r")
    tiles.save(tmp_path / "tiles.png", enlarge=3, columns=2)
    with Image.open(tmp_path / "tiles.png") as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(tiles.picture(2, enlarge=3)))


def test_notebook_picture_is_large_enough_to_see() -> None:
    png = from_values(some((64, 3, 3)))._repr_png_()
    assert png is not None
    with Image.open(io.BytesIO(png)) as shown:
        assert 500 <= max(shown.size) <= 700


def test_repr_is_short() -> None:
    assert repr(from_values(np.zeros((9, 4, 5)), colormap="gray", note="half")) == (
        "Tiles(9 of 4 x 5, gray, note='half')"
    )
    assert repr(from_values(np.zeros((9, 4, 5, 3)))) == "Tiles(9 of 4 x 5, RGB)"


def test_pick() -> None:
    assert pick(None, 4, "filter").tolist() == [0, 1, 2, 3]
    assert pick(slice(None, None, -2), 4, "filter").tolist() == [3, 1]
    assert pick([2, -1, 2], 4, "filter").tolist() == [2, 3, 2]
    assert pick(3, 4, "filter").tolist() == [3]
    assert pick(torch.tensor([1, 0]), 4, "filter").tolist() == [1, 0]  # type: ignore[arg-type]
    assert pick([], 4, "filter").tolist() == []
    with pytest.raises(ValueError, match="no filter 4; there are 4, 0 to 3"):
        pick([0, 4], 4, "filter")
    with pytest.raises(ValueError, match="no filter -5"):
        pick(-5, 4, "filter")
    for wrong in ([0.5], [True, False], "a", [[1]]):
        with pytest.raises(TypeError, match="slice or a sequence of integers"):
            pick(wrong, 4, "filter")  # type: ignore[arg-type]
