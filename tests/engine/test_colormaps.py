from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cnnviz_widgets.engine import colormaps


def luminance(colors: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB bytes, as WCAG defines it."""
    linear = np.where(colors <= 10.31, colors / 255 / 12.92, ((colors / 255 + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("name", colormaps.SEQUENTIAL + colormaps.SIGNED)
def test_tables_are_256_colors(name: str) -> None:
    table = colormaps.table(name)
    assert table.dtype == np.uint8
    assert table.shape == (256, 3)
    assert len(np.unique(table, axis=0)) > 128


@pytest.mark.parametrize("name", colormaps.SEQUENTIAL)
def test_sequential_maps_get_lighter(name: str) -> None:
    light = luminance(colormaps.table(name)[::8].astype(float))
    assert (np.diff(light) > 0).all()
    assert not colormaps.is_signed(name)


@pytest.mark.parametrize("name", colormaps.SIGNED)
def test_signed_maps_are_lightest_and_colorless_at_zero(name: str) -> None:
    table = colormaps.table(name).astype(int)
    assert colormaps.is_signed(name)
    assert abs(int(np.argmax(luminance(table.astype(float)))) - 127.5) <= 2
    assert np.ptp(table[127:129], axis=1).max() <= 3
    assert np.ptp(table[[20, 235]], axis=1).min() > 60


def test_gray_gives_back_the_byte() -> None:
    assert colormaps.table("gray").tolist() == [[i, i, i] for i in range(256)]


def test_red_is_positive() -> None:
    table = colormaps.table("RdBu_r").astype(int)
    assert table[30, 2] > table[30, 0]
    assert table[225, 0] > table[225, 2]


@pytest.mark.parametrize("ask", [colormaps.table, colormaps.is_signed])
def test_an_unknown_name_lists_what_there_is(ask: object) -> None:
    with pytest.raises(ValueError, match=r"no colour map 'jet'.*viridis.*cividis.*RdBu_r.*PuOr_r"):
        ask("jet")  # type: ignore[operator]


def test_pyplot_stays_out() -> None:
    code = (
        "import sys; from cnnviz_widgets.engine import colormaps; assert 'matplotlib' not in sys.modules;"
        "colormaps.table('viridis'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_limits_by_hand() -> None:
    values = np.array([[1.0, 4.0], [-3.0, 2.0], [np.nan, 5.0], [np.inf, np.nan]], dtype=np.float32)
    assert colormaps.limits_of(values).tolist() == [[1, 4], [-3, 2], [5, 5], [0, 0]]
    assert colormaps.limits_of(values, "all").tolist() == [[-3, 5]] * 4
    assert colormaps.limits_of(values, signed=True).tolist() == [[-4, 4], [-3, 3], [-5, 5], [0, 0]]
    assert colormaps.limits_of(values, "all", signed=True).tolist() == [[-5, 5]] * 4
    assert colormaps.limits_of(values[:0], "all").shape == (0, 2)
