"""``Projection``: what all ways to a map have in common; each fills ``unfolding``, and ``place`` where it knows a better way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from cnnviz_widgets.engine.knobs import Family, knob
from cnnviz_widgets.engine.progress import Clock, Progress
from cnnviz_widgets.engine.store import digest_of

from .map import Map
from .neighborhoods import nearest, weights
from .preparing import Floats, Preparation, checked

Positions = npt.NDArray[np.float64]
SCHEMA = 1
"""Raised when the same projection comes to give another map."""
METRICS = ("l2", "cosine")
_NEIGHBORS, _PERPLEXITY = 15, 5.0
_ROUNDING = 1e-6
"""Of values whose size is 1 at most."""


@dataclass(frozen=True)
class Projection(Family):
    """A way from features to the plane; a subclass fills `unfolding`.

    A subclass defined in a notebook cell is one of the family: a panel shows it with a slider for each knob.

    Parameters
    ----------
    metric
        ``"l2"``, the Euclidean distance, or ``"cosine"``, which ignores how strongly an image excites the layer as a whole.

    Examples
    --------
    >>> from cnnviz_widgets.engine.projections import PCA
    >>> for progress in PCA(metric="cosine").fitting(np.eye(4)):
    ...     progress.result.points.shape
    (4, 2)
    """

    places_by: ClassVar[str] = "the weighted mean of its nearest neighbours on the map"
    """How `place` finds a new image's place, in words."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages beside torch and NumPy whose versions a map depends on."""

    _: KW_ONLY
    metric: str = knob("l2", choices=METRICS)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric!r}; expected 'l2', the Euclidean distance, or 'cosine'")

    def unfolding(self, values: Floats) -> Iterator[Positions]:
        """Positions (n, 2) of values (n, q), centred and along their principal components, first the start and last the end."""
        raise NotImplementedError

    def place(self, new: Floats, values: Floats, positions: Positions) -> Positions:
        """Where new values (m, q) lie among fitted ones (n, q) at their positions (n, 2); each as if it came alone."""
        k = min(_NEIGHBORS, len(values))
        rows, far = nearest(torch.from_numpy(new), torch.from_numpy(values), k)
        share = weights(far, min(_PERPLEXITY, max(1.0, k / 3)))
        return np.asarray((share[:, :, None] * torch.from_numpy(positions)[rows]).sum(1).numpy())

    def steps(self, images: int) -> int:
        """How many positions follow the start."""
        return 0

    def suited(self, images: int) -> tuple[Self, str]:
        """The projection with knobs that so few images allow, and what was changed; itself and nothing where there are enough."""
        return self, ""

    @property
    def made_by(self) -> str:
        """Whose code finds the positions."""
        return "cnnviz_widgets"

    def check(self) -> None:
        """Raise ImportError where a package is missing."""

    @property
    def components(self) -> int:
        """How many principal components `unfolding` gets at most."""
        return getattr(self, "dimensions", 50)

    def fit(self, features: Any) -> Map:
        """The finished map of features (n, C); see `fitting`."""
        *_, last = self.fitting(features)
        return last.result

    def fitting(self, features: Any) -> Iterator[Progress[Map]]:
        """The map while it unfolds; its first state is the start, its last one the finished map. To stop, ask no more.

        The same features, seed and number of torch's threads give the same map, bit for bit.

        Parameters
        ----------
        features
            (n, C), such as ``index.features()``.

        Raises
        ------
        ValueError
            No features, another shape, or values that are not finite.
        ImportError
            A package is missing.
        """
        known = checked(features)
        self.check()
        return self._fitting(known)

    def _fitting(self, features: Floats) -> Iterator[Progress[Map]]:
        recipe = self.recipe(features)
        suited, told = self.suited(len(features))
        total = suited.steps(len(features))
        preparation = Preparation.of(features, self.metric, self.components, int(getattr(self, "seed", 0)))
        values = preparation(features)
        remarks = [told] if told else []
        unfolding = suited.unfolding(values)
        if len(values) == 1:
            unfolding, total = iter([np.zeros((1, 2))]), 0
        elif np.ptp(values, axis=0).max() <= _ROUNDING:
            remarks.append(f"the features of all {len(values):,} images are the same")
            unfolding, total = iter([np.zeros((len(values), 2))]), 0
        clock = Clock(0, total)
        for done, positions in enumerate(unfolding):
            if done == 1:  # the first step has looked for neighbours, too
                clock = Clock(1, total)
            state = Map.of(
                positions, self, recipe, features, preparation, values, told=tuple(remarks), done=done, total=total
            )
            yield clock.at(done if total else 0, state, told="; ".join(remarks) if not done else "")

    def recipe(self, features: Floats) -> dict[str, Any]:
        """All that a map of these features depends on, as plain data; its digest is the map's key."""
        return {
            "schema": SCHEMA,
            "projection": self.to_data(),
            "features": digest_of_features(features),
            "versions": {name: _version(name) for name in ("torch", "numpy", *self.libraries)},
            "threads": torch.get_num_threads(),
        }


def digest_of_features(features: Floats) -> str:
    """A digest of float32 features and their shape."""
    return digest_of(repr(features.shape).encode() + features.tobytes())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def lowered(projection: Any, name: str, value: float, images: int, why: str) -> tuple[Any, str]:
    """The projection with a knob lowered, and the sentence that tells it."""
    told = f"{name} {value:g} in place of {getattr(projection, name):g}: {images} images are {why}"
    kind = next(field.type for field in fields(projection) if field.name == name)
    return replace(projection, **{name: int(value) if kind == "int" else value}), told
