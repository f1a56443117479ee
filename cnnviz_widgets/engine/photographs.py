"""``photographs() -> [Photograph, ...]``: real ones that come with installed packages, so that everything works offline.

scikit-learn and Matplotlib, which are always there, bring three; scikit-image brings the others. Their test charts, logos and
pages of text are left out, and of a stereo pair the right half.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

_COLOURED = (
    ("skimage", "data/chelsea.png", "a cat"),
    ("skimage", "data/coffee.png", "an espresso"),
    ("skimage", "data/astronaut.png", "an astronaut"),
    ("skimage", "data/rocket.jpg", "a rocket"),
    ("skimage", "data/motorcycle_left.png", "a motorcycle"),
    ("sklearn", "datasets/images/flower.jpg", "a flower"),
    ("sklearn", "datasets/images/china.jpg", "a temple"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "a naval officer"),
    ("skimage", "data/hubble_deep_field.jpg", "galaxies"),
)
_GREY = (
    ("skimage", "data/camera.png", "a photographer"),
    ("skimage", "data/coins.png", "coins"),
    ("skimage", "data/brick.png", "a brick wall"),
    ("skimage", "data/grass.png", "grass"),
    ("skimage", "data/gravel.png", "gravel"),
)


@dataclass(frozen=True)
class Photograph:
    """A file of an installed package, and what is seen on it."""

    id: str
    label: str
    path: str


def photographs(*, grey: bool = False) -> list[Photograph]:
    """Those that are installed, in a fixed order: first the coloured ones, then, on demand, the grey ones.

    Examples
    --------
    >>> [one.label for one in photographs() if one.id == "china"]
    ['a temple']
    """
    found = []
    for package, name, label in _COLOURED + (_GREY if grey else ()):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        path = Path(spec.origin).parent / name
        if path.is_file():
            found.append(Photograph(path.stem, label, str(path)))
    return found
