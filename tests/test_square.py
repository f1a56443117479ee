"""The index's coarse thumbnails are those that a map makes itself: neither may import the other."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnviz_widgets.engine.thumbnails import square, thumbnail
from cnnviz_widgets.views import atlas
from cnnviz_widgets.views.atlas import SMALL_SIDE


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (51, 400), (20, 30), (1, 1), (700, 3)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_engine_and_the_map_cut_the_same_square(size: tuple[int, int], mode: str) -> None:
    width, height = size
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = thumbnail(Image.fromarray(noise).convert(mode), 128)
    found = square(data)
    assert found.shape == (SMALL_SIDE, SMALL_SIDE, 3)
    np.testing.assert_array_equal(found, atlas.square(data, SMALL_SIDE))
