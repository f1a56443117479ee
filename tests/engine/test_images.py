from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from cnnviz_widgets.engine import images as module
from cnnviz_widgets.engine.images import ImageError, fit, open_image, prepare
from cnnviz_widgets.engine.input_spec import InputSpec


def colours(width: int = 7, height: int = 5, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def as_array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


RED = (200, 30, 10)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "P", "CMYK", "YCbCr", "HSV"])
def test_colour_modes_keep_the_colour(mode: str) -> None:
    picture = Image.new("RGB", (6, 4), RED)
    made = picture.convert("RGBA").convert("RGBa") if mode == "RGBa" else picture.convert(mode)
    opened = open_image(made)
    assert (opened.mode, opened.size) == ("RGB", (6, 4))
    # the web palette has steps of 51, and is dithered
    assert np.abs(as_array(opened) - RED).max() <= (51 if mode == "P" else 4)


def test_lab_becomes_colours() -> None:
    lab = ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(
        Image.new("RGB", (6, 4), RED), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
    )
    assert made.mode == "LAB"
    opened = open_image(made)
    assert opened.mode == "RGB"
    assert np.abs(as_array(opened) - RED).max() <= 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La"])
def test_grey_modes_stay_grey(mode: str) -> None:
    picture = Image.new("L", (6, 4), 255)
    picture.paste(0, (0, 0, 3, 4))
    made = picture.convert("LA").convert("La") if mode == "La" else picture.convert(mode)
    opened = open_image(made)
    assert opened.mode == "L"
    assert as_array(opened)[0].tolist() == [0, 0, 0, 255, 255, 255]


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


def palette_with_hole() -> Image.Image:
    picture = Image.new("P", (6, 4), 0)
    picture.putpalette([10, 20, 30, 200, 30, 10])
    picture.paste(1, (0, 0, 3, 4))
    return Image.open(saved(picture, transparency=0))


def with_alpha(mode: str) -> Image.Image:
    picture = Image.new("RGBA", (6, 4), (10, 20, 30, 0))
    picture.paste((200, 200, 200, 255), (0, 0, 3, 4))
    return picture.convert(mode)


def keyed(mode: str, colour: Any, key: Any) -> Image.Image:
    picture = Image.new(mode, (6, 4), key)
    picture.paste(colour, (0, 0, 3, 4))
    return Image.open(saved(picture, transparency=key))


@pytest.mark.parametrize(
    "made",
    [
        palette_with_hole,
        lambda: with_alpha("RGBA"),
        lambda: with_alpha("LA"),
        lambda: with_alpha("RGBA").convert("RGBa"),
        lambda: keyed("L", 200, 7),
        lambda: keyed("RGB", (200, 30, 10), (1, 2, 3)),
    ],
    ids=["palette", "RGBA", "LA", "RGBa", "keyed grey", "keyed colour"],
)
def test_transparency_is_laid_on_white(made: Callable[[], Image.Image]) -> None:
    opened = open_image(made())
    assert np.asarray(opened.convert("RGB"))[0, 5].tolist() == [255, 255, 255]
    assert np.asarray(opened.convert("RGB"))[0, 0].tolist() != [255, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32768, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[0, 100, 200]], np.uint16), [0, 0, 1]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[-5, 0, 131070]], np.int32), [0, 0, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 64, 255]], np.float32), [0, 64, 255]),
        (np.array([[np.nan, np.inf, 1]], np.float32), [0, 0, 255]),
    ],
)
def test_wide_numbers_become_bytes(values: np.ndarray, expected: list[int]) -> None:
    opened = open_image(Image.fromarray(values))
    assert opened.mode == "L"
    assert as_array(opened)[0].tolist() == expected


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_modes_of_16_bits(mode: str) -> None:
    opened = open_image(Image.new(mode, (3, 2), 32768))
    assert as_array(opened).flatten().tolist() == [128] * 6


def test_the_exif_rotation_is_applied() -> None:
    picture = Image.new("RGB", (8, 4), "black")
    picture.paste("white", (0, 0, 2, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    opened = open_image(saved(picture, exif=exif))
    assert opened.size == (4, 8)
    assert as_array(opened)[0].min() == 255
    assert as_array(opened)[7].max() == 0


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert as_array(open_image(tmp_path / "moving.gif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_paths_files_and_bytes(kind: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (6, 4), RED)
    data = saved(picture, kind).getvalue()
    path = tmp_path / "a picture ü.bin"
    path.write_bytes(data)
    for source in (path, str(path), io.BytesIO(data), data, bytearray(data), memoryview(data)):
        assert np.abs(as_array(open_image(source)) - RED).max() <= 4
    spec = InputSpec(size=(3, 4, 4))
    assert prepare(memoryview(data), spec).shape == prepare([data], spec).shape == (1, 3, 4, 4)


def broken_files(folder: Path) -> dict[str, tuple[Any, str]]:
    whole = saved(colours(200, 200), "JPEG").getvalue()
    png = saved(colours(50, 50), "PNG").getvalue()
    files = {
        "truncated.jpg": whole[: len(whole) // 2],
        "truncated.png": png[: len(png) // 2],
        "header only.png": png[:40],
        "empty.jpg": b"",
        "text.jpg": b"not a picture at all\n" * 20,
        "cut tiff.tif": saved(colours(50, 50), "TIFF").getvalue()[:60],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    told = {name: (folder / name, "could not be read as an image|not an image that Pillow") for name in files}
    return {
        **told,
        "folder": (folder / "folder.jpg", "is a folder; expected an image file"),
        "missing": (str(folder / "missing.jpg"), "no file '.*missing.jpg'"),
        "bytes": (b"nothing", "the given file.* is not an image"),
        "too long a name": ("x" * 5000, "could not be read as an image"),
        "null in the name": ("a\0b.jpg", "could not be read as an image"),
        "number": (3, "int was given; expected a path"),
    }


NO_IMAGES = ["truncated.jpg", "truncated.png", "header only.png", "empty.jpg", "text.jpg", "cut tiff.tif", "folder"]
NO_IMAGES += ["missing", "bytes", "too long a name", "null in the name", "number"]


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_told_by_name(name: str, tmp_path: Path) -> None:
    source, told = broken_files(tmp_path)[name]
    with pytest.raises(ImageError, match=told):
        open_image(source)


def test_a_broken_picture_that_was_opened_elsewhere() -> None:
    data = saved(colours(200, 200), "JPEG").getvalue()
    lazy = Image.open(io.BytesIO(data[: len(data) // 2]))
    with pytest.raises(ImageError, match="the given Pillow image could not be read"):
        open_image(lazy)


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    colours(20, 20).save(path)
    monkeypatch.setattr(module, "MOST_PIXELS", 399)
    with pytest.raises(ImageError, match=r"20 × 20 pixels.*Scale it down"):
        open_image(path)
    monkeypatch.setattr(module, "MOST_PIXELS", 400)
    assert open_image(path).size == (20, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large to decode safely"):
        open_image(path)


@pytest.mark.parametrize(("shape", "mode"), [((5, 7), "L"), ((5, 7, 1), "L"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGB")])
def test_arrays_of_bytes(shape: tuple[int, ...], mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if shape[-1] == 4:
        values[..., 3] = 255
    opened = open_image(values)
    assert (opened.mode, opened.size) == (mode, (7, 5))
    assert np.array_equal(np.asarray(opened).reshape(5, 7, -1), values.reshape(5, 7, -1)[..., : len(opened.getbands())])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((4, 4, 3)), "an array of float64 was given; expected uint8"),
        (np.zeros((4, 4, 2), np.uint8), r"an array of the shape \(4, 4, 2\)"),
        (np.zeros((4,), np.uint8), r"an array of the shape \(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"an array of the shape \(0, 4, 3\)"),
        (np.zeros((4, 4), bool), "an array of bool"),
    ],
)
def test_arrays_that_are_no_images(values: np.ndarray, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        open_image(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (torch.rand(3, 8, 8) * 255, r"expected \[0, 1\], not normalised"),
        (torch.randn(3, 8, 8), r"expected \[0, 1\], not normalised"),
        (torch.full((3, 8, 8), float("nan")), "values from nan to nan"),
        (torch.rand(1, 8, 8), r"the shape \(1, 1, 8, 8\) was given; expected \(3, H, W\)"),
        (torch.rand(8, 8), "was given; expected"),
        (torch.rand(0, 3, 8, 8), "was given; expected"),
        (torch.rand(1, 3, 0, 8), "was given; expected"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"expected floats in \[0, 1\]: tensor.float\(\) / 255"),
        ([], "no image was given"),
        (3, "int was given; expected a path"),
        ([3], "int was given; expected a path"),
        (None, "NoneType was given"),
    ],
)
def test_what_can_not_be_prepared(values: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        prepare(values, InputSpec(size=(3, 8, 8)))


def test_tensors_pass_unchanged_or_resized() -> None:
    spec = InputSpec(size=(3, 8, 8))
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(prepare(images, spec), images)
    assert torch.equal(prepare(images[0], spec), images[:1])
    assert torch.equal(prepare(list(images), spec), images)
    assert prepare(torch.rand(2, 3, 31, 17), spec).shape == (2, 3, 8, 8)
    assert prepare(torch.rand(3, 4, 5), spec).shape == (1, 3, 8, 8)
    assert prepare(torch.rand(3, 9, 9, dtype=torch.float16), spec).dtype == torch.float32
    assert prepare(images.double(), spec).dtype == torch.float64
    # what rounding leaves outside is cut off
    assert float(prepare(images + 1e-5, spec).max()) <= 1
    wide = torch.zeros(1, 3, 8, 16)
    wide[..., 4:12] = 1
    assert torch.equal(prepare(wide, spec), torch.ones(1, 3, 8, 8))


def test_grey_networks_take_colours_and_colour_networks_take_grey() -> None:
    grey = prepare(colours(8, 8), InputSpec(size=(1, 8, 8)))
    assert torch.equal(grey[0, 0], torch.from_numpy(np.array(colours(8, 8).convert("L"))) / 255)
    assert torch.equal(prepare(torch.ones(8, 8), InputSpec(size=(1, 8, 8))), torch.ones(1, 1, 8, 8))
    spread = prepare(np.full((8, 8), 51, np.uint8), InputSpec(size=(3, 8, 8)))
    torch.testing.assert_close(spread, torch.full((1, 3, 8, 8), 0.2))


def test_other_numbers_of_channels_take_arrays_and_tensors() -> None:
    spec = InputSpec(size=(5, 8, 8))
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 5), dtype=np.uint8)
    made = prepare(values, spec)
    torch.testing.assert_close(made[0], torch.from_numpy(values).permute(2, 0, 1) / 255)
    with pytest.raises(ImageError, match=r"5 channels, which a picture has not; give a uint8 array \(H, W, 5\)"):
        prepare(colours(), spec)
    with pytest.raises(ImageError, match="was given; expected"):
        prepare(values[..., :3], spec)


def test_a_mixed_list_keeps_its_order() -> None:
    spec = InputSpec(size=(3, 8, 8))
    black, white = Image.new("RGB", (8, 8), "black"), np.full((8, 8, 3), 255, np.uint8)
    made = prepare([black, white, torch.full((3, 8, 8), 0.5)], spec)
    assert made.mean((1, 2, 3)).tolist() == [0.0, 1.0, 0.5]
    assert prepare((black, white), spec).shape == prepare(np.stack([white, white]), spec).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("size", [(31, 17), (17, 31), (8, 8), (3, 5), (100, 9)])
@pytest.mark.parametrize("resize", [None, 8, 12])
def test_the_crop_is_the_middle_at_the_networks_size(size: tuple[int, int], resize: int | None) -> None:
    picture = colours(*size)
    spec = InputSpec(size=(3, 8, 6), resize=resize)
    assert fit(picture, spec).size == (6, 8)
    assert fit(picture, InputSpec(size=(3, 8, 6), crop="squash")).size == (6, 8)
    if size == (8, 8) and resize is None:
        assert fit(picture, spec).tobytes() == picture.crop((1, 0, 7, 8)).tobytes()


def test_the_given_picture_is_not_changed() -> None:
    picture = colours(20, 10)
    before = picture.tobytes()
    open_image(picture).putpixel((0, 0), (0, 0, 0))
    prepare(picture, InputSpec(size=(3, 8, 8)))
    assert picture.tobytes() == before


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_once_however_often_it_is_opened(orientation: int, kind: str) -> None:
    corners = np.zeros((32, 48, 3), np.uint8)
    corners[:16, :24], corners[:16, 24:], corners[16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(corners).save(file, kind, exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).convert("RGB")
    once = open_image(file.getvalue())
    assert once.tobytes() == upright.tobytes()
    assert open_image(once).tobytes() == upright.tobytes()
    spec = InputSpec(size=(3, 16, 16))
    assert torch.equal(prepare(once, spec), prepare(file.getvalue(), spec))
