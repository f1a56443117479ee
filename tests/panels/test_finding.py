"""Images found by a part of their id or of their label."""

from __future__ import annotations

import pytest

from cnnviz_widgets.panels._finding import places_holding

IDS = ("tabby.jpg", "STRASSE/2.jpg", "lynx.jpg")
LABELS = ("a cat", "a road", "a wild Cat")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("cat", [0, 2]),
        (" CAT ", [0, 2]),
        ("straße", [1]),
        ("jpg", [0, 1, 2]),
        ("zebra", []),
        ("", [0, 1, 2]),
        (" ", [0, 1, 2]),
    ],
)
def test_a_text_is_sought_in_ids_and_labels(text: str, places: list[int]) -> None:
    assert list(places_holding(text, IDS, LABELS)) == places
