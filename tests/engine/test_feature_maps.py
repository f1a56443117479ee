from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import colormaps, feature_maps


def random_maps(*shape: int) -> torch.Tensor:
    maps = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).relu()
    return maps * (1 + torch.arange(shape[0])).reshape(-1, 1, 1)


@pytest.mark.parametrize("scale", ["channel", "layer"])
def test_bytes_by_the_definition(scale: str) -> None:
    maps = random_maps(5, 4, 6) - 0.5
    found = feature_maps.tiles(maps, scale=scale)  # type: ignore[arg-type]
    for i in range(5):
        counted = maps if scale == "layer" else maps[i]
        low, high = float(counted.min()), float(counted.max())
        assert found.ranges[i].tolist() == [low, high]
        for y in range(4):
            for x in range(6):
                assert found.pixels[i, y, x] == round((float(maps[i, y, x]) - low) / (high - low) * 255)
    assert found.names == tuple(f"channel {i}" for i in range(5))
    assert found.colormap == "viridis"


def test_signed_color_maps_put_zero_in_the_middle() -> None:
    maps = torch.tensor([[[0.0, 2.0, -1.0]], [[0.0, 0.0, 0.0]]])
    found = feature_maps.tiles(maps, colormap="RdBu_r")
    assert found.pixels[:, 0].tolist() == [[128, 255, 64], [128, 128, 128]]
    assert found.ranges.tolist() == [[-2, 2], [0, 0]]


def test_dead_channels_are_dark_not_an_error() -> None:
    found = feature_maps.tiles(torch.zeros(3, 4, 4))
    assert (found.pixels == 0).all()
    assert (found.values() == 0).all()


def test_a_broken_network_is_shown_and_counted() -> None:
    maps = random_maps(3, 2, 2)
    maps[1] = torch.tensor([[float("nan"), float("inf")], [1.0, 3.0]])
    found = feature_maps.tiles(maps, scale="layer")
    assert found.nonfinite.tolist() == [0, 2, 0]
    assert found.pixels[1, 0].tolist() == [0, 255]
    assert found.ranges[0, 1] == max(3.0, float(maps[[0, 2]].max()))


@pytest.mark.parametrize("strength", ["mean", "max"])
def test_order_by_strength(strength: str) -> None:
    maps = torch.zeros(4, 3, 3)
    maps[0] = 1
    maps[1, 1, 1] = 5
    maps[2] = 2
    maps[3] = 1
    expected = {"mean": [2, 0, 3, 1], "max": [1, 2, 0, 3]}[strength]
    found = feature_maps.tiles(maps, order="strength", strength=strength)  # type: ignore[arg-type]
    assert found.order.tolist() == expected
    assert found.names == tuple(f"channel {i}" for i in expected)
    strong = [float(getattr(m, strength)()) for m in maps]
    assert np.allclose(feature_maps.strengths(maps, strength), strong)  # type: ignore[arg-type]
    stored = feature_maps.tiles(maps)
    assert (found.pixels == stored.pixels[expected]).all()


def test_nan_is_the_weakest() -> None:
    maps = torch.zeros(3, 2, 2)
    maps[0, 0, 0] = float("nan")
    maps[1] = -1
    for strength in ("mean", "max"):
        assert feature_maps.tiles(maps, order="strength", strength=strength).order.tolist() == [2, 1, 0]  # type: ignore[arg-type]
    mixed = torch.tensor([[[float("inf"), -float("inf")]]])
    assert np.isnan(feature_maps.strengths(mixed)).all()


def test_half_precision_means_do_not_overflow() -> None:
    assert feature_maps.strengths(torch.full((1, 100, 100), 60000.0, dtype=torch.float16)).tolist() == [60000]


def test_chosen_channels_keep_the_scale_of_all() -> None:
    maps = random_maps(6, 4, 4)
    for scale in ("channel", "layer"):
        everything = feature_maps.tiles(maps, scale=scale)  # type: ignore[arg-type]
        some = feature_maps.tiles(maps, scale=scale, channels=[4, 1])  # type: ignore[arg-type]
        assert some.names == ("channel 4", "channel 1")
        assert (some.pixels == everything.pixels[[4, 1]]).all()
    assert feature_maps.tiles(maps, channels=slice(2), order="strength").order.tolist() == [1, 0]
    with pytest.raises(ValueError, match="no channel 6; there are 6"):
        feature_maps.tiles(maps, channels=6)


def test_limits_make_images_comparable() -> None:
    weak = feature_maps.tiles(torch.full((2, 1, 1), 2.0), limits=(0, 10))
    strong = feature_maps.tiles(torch.full((2, 1, 1), 8.0), limits=(0, 10))
    assert (weak.pixels[0, 0, 0], strong.pixels[0, 0, 0]) == (51, 204)
    with pytest.raises(ValueError, match="limits are two numbers"):
        feature_maps.tiles(torch.zeros(2, 1, 1), limits=(0, 1, 2))


@pytest.mark.parametrize(
    ("shape", "mend"), [((2, 3, 4, 4), r"maps\[0\]"), ((7,), r"top\(values\)"), ((4, 4), r"net\.activations")]
)
def test_shapes_that_are_no_maps(shape: tuple[int, ...], mend: str) -> None:
    for ask in (feature_maps.tiles, feature_maps.strengths):
        with pytest.raises(ValueError, match=mend):
            ask(torch.zeros(shape))  # type: ignore[operator]


def test_wrong_words() -> None:
    maps = torch.zeros(2, 2, 2)
    with pytest.raises(ValueError, match="'channel' or 'layer', not 'each'"):
        feature_maps.tiles(maps, scale="each")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'stored' or 'strength', not 'norm'"):
        feature_maps.tiles(maps, order="norm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'mean' or 'max', not 'sum'"):
        feature_maps.tiles(maps, strength="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no colour map"):
        feature_maps.tiles(maps, colormap="jet")


def photograph(height: int = 240, width: int = 300) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_overlay_blends_by_strength() -> None:
    photo = photograph()
    map_ = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    found = np.asarray(feature_maps.overlay(photo, map_, opacity=0.5, colormap="magma")).astype(int)
    assert found.shape == photo.shape
    table = colormaps.table("magma").astype(float)
    level = (map_ - map_.min()) / (map_.max() - map_.min())
    large = torch.nn.functional.interpolate(level[None, None], (240, 300), mode="bilinear", align_corners=False)[0, 0]
    for y in range(0, 240, 7):
        for x in range(0, 300, 11):
            strength = float(large[y, x])
            expected = photo[y, x] * (1 - 0.5 * strength) + table[round(strength * 255)] * 0.5 * strength
            assert np.abs(found[y, x] - expected).max() < 3


def test_overlay_is_clear_where_weak_and_lies_where_the_map_does() -> None:
    photo = photograph(256, 256)
    map_ = torch.zeros(4, 4)
    map_[0, 3] = 9
    found = np.asarray(feature_maps.overlay(photo, map_, opacity=1.0))
    assert (found[128:] == photo[128:]).all()
    assert (found[:, :128] == photo[:, :128]).all()
    assert (found[:32, 224:] == colormaps.table("viridis")[255]).all()


def test_overlay_without_opacity_is_the_photograph() -> None:
    photo = photograph()
    assert (np.asarray(feature_maps.overlay(photo, torch.rand(7, 7), opacity=0)) == photo).all()


@pytest.mark.parametrize("map_", [torch.zeros(3, 3), torch.ones(3, 3), torch.full((3, 3), float("nan"))])
def test_flat_maps_leave_the_photograph(map_: torch.Tensor) -> None:
    photo = photograph()
    assert (np.asarray(feature_maps.overlay(photo, map_)) == photo).all()


def test_signed_overlay_is_clear_at_zero() -> None:
    photo = photograph(240, 240)
    found = np.asarray(feature_maps.overlay(photo, np.array([[-2.0, 0.0, 2.0]]), opacity=1, colormap="RdBu_r"))
    assert (found[:, :30] == colormaps.table("RdBu_r")[0]).all()
    assert (found[:, 210:] == colormaps.table("RdBu_r")[255]).all()
    assert np.abs(found[:, 119:121].astype(int) - photo[:, 119:121]).max() < 6
    zeros = feature_maps.overlay(photo, torch.zeros(2, 2), colormap="RdBu_r")
    assert (np.asarray(zeros) == photo).all()


def test_overlay_ignores_nonfinite_places() -> None:
    photo = photograph(256, 256)
    map_ = torch.zeros(4, 4)
    map_[0, 0], map_[3, 3], map_[0, 3] = float("nan"), float("inf"), 1.0
    clean = map_.nan_to_num(0, posinf=0)
    assert feature_maps.overlay(photo, map_) == feature_maps.overlay(photo, clean)


def test_small_photographs_are_enlarged_in_squares() -> None:
    digit = np.arange(64, dtype=np.uint8).reshape(8, 8)
    found = np.asarray(feature_maps.overlay(digit, torch.zeros(4, 4)))
    assert found.shape == (224, 224, 3)
    for y in range(8):
        for x in range(8):
            assert (found[y * 28 : y * 28 + 28, x * 28 : x * 28 + 28] == digit[y, x]).all()
    assert feature_maps.overlay(np.zeros((100, 150, 1), dtype=np.uint8), torch.zeros(2, 2)).size == (450, 300)
    assert feature_maps.overlay(Image.new("L", (224, 300)), torch.zeros(2, 2)).size == (224, 300)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_kinds_of_photographs(mode: str) -> None:
    photo = Image.fromarray(photograph()).convert(mode)
    before = photo.tobytes()
    assert feature_maps.overlay(photo, torch.zeros(2, 2)) == photo.convert("RGB")
    feature_maps.overlay(photo, torch.rand(2, 2))
    assert photo.tobytes() == before


def test_overlay_says_what_is_wrong() -> None:
    photo = photograph()
    with pytest.raises(ValueError, match=r"opacity must be 0 to 1, not 1\.5"):
        feature_maps.overlay(photo, torch.zeros(2, 2), opacity=1.5)
    with pytest.raises(ValueError, match=r"shape \(h, w\), this one has \(3, 2, 2\); maps\[channel\]"):
        feature_maps.overlay(photo, torch.zeros(3, 2, 2))
    for wrong in (photo / 255, photo[None], photo.transpose(2, 0, 1)[:, :, :5]):
        with pytest.raises(ValueError, match=r"PIL image or uint8 \(H, W, 3\)"):
            feature_maps.overlay(wrong, torch.zeros(2, 2))


def test_top_is_sorted() -> None:
    values = torch.tensor([0.5, -1, 2, float("nan"), 2, 0.5], dtype=torch.float16)
    labels = list("abcdef")
    assert feature_maps.top(values, labels, k=4) == [("c", 2, 2), ("e", 2, 4), ("a", 0.5, 0), ("f", 0.5, 5)]
    everything = feature_maps.top(values, k=99)
    assert [index for _, _, index in everything] == [2, 4, 0, 5, 1, 3]
    assert everything[0][0] == "unit 2"
    assert len(feature_maps.top(np.arange(9.0))) == 5
    label, value, index = everything[0]
    assert (type(label), type(value), type(index)) == (str, float, int)


def test_top_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"values\[0\] takes"):
        feature_maps.top(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="3 values need as many labels, not 2"):
        feature_maps.top(torch.zeros(3), ["a", "b"])
    with pytest.raises(ValueError, match="k must be at least 1"):
        feature_maps.top(torch.zeros(3), k=0)
