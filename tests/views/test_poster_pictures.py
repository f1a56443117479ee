"""Pictures of a poster made smaller: what is fine in them does not turn into grey, where that was asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.views import PosterTile
from cnnviz_widgets.views._poster_pictures import SIDES, PosterPictures


def texture(side: int = 224, low: int = 0, high: int = 255) -> bytes:
    """Noise, most of which averages out."""
    values = np.random.default_rng(0).integers(low, high, (side, side, 3), dtype=np.uint8, endpoint=True)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def spread(data: bytes, level: int, **fields: bool) -> float:
    """The standard deviation of what travels."""
    shown = PosterPictures([PosterTile("a", data, **fields)]).encoded(0, level)
    with Image.open(io.BytesIO(shown.data)) as opened:
        assert max(opened.size) <= SIDES[level]
        return float(np.asarray(opened.convert("RGB"), float).std())


@pytest.mark.parametrize("level", [1, 2])
def test_a_smaller_copy_keeps_its_contrast_where_that_is_asked_for(level):
    whole = np.asarray(Image.open(io.BytesIO(texture())), float).std()
    assert spread(texture(), level) < 0.7 * whole
    assert spread(texture(), level, keep_contrast=True) == pytest.approx(whole, rel=0.15)


def test_contrast_is_not_made_of_nothing():
    flat = texture(low=127, high=128)
    assert spread(flat, 0, keep_contrast=True) < 1.5
    whole = np.asarray(Image.open(io.BytesIO(texture())), float).std()
    assert spread(texture(), 0, keep_contrast=True) < 0.7 * whole  # it would be noise that one sees


def test_a_picture_that_travels_whole_is_as_it_was():
    shown = PosterPictures([PosterTile("a", texture(24), keep_contrast=True)]).encoded(0, 0)
    assert shown.data == texture(24)
    assert shown.finest


def test_a_picture_that_lost_nothing_is_not_stretched():
    ramp = np.repeat(np.linspace(0, 255, 224, dtype=np.uint8)[None, :, None], 224, 0).repeat(3, 2)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    assert spread(file.getvalue(), 1, keep_contrast=True) == pytest.approx(spread(file.getvalue(), 1), rel=0.02)
