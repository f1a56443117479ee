"""``LayerSimilarity.build(first, second, images) -> layers x layers``: which layers of two networks see images alike.

Single channels of networks that were trained apart can't be compared, for their order is arbitrary; what a layer as a whole tells
of images can. Linear centred kernel alignment asks whether two layers find the same images alike; no rotation of the channels
and no common factor changes it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .image_set import ImageSet
from .layers import Layer
from .network import Network
from .progress import Clock, Progress

PLACES = 4
FEWEST = 4
"""Images that the estimator without bias needs."""
BATCH = 16


def linear_cka(first: Tensor, second: Tensor, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two sets of features of the same images: 1 where both find the same images alike.

    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited", section 3.

    Parameters
    ----------
    first, second
        (n, p) and (n, q), a row an image, in the same order; further axes are joined.
    debiased
        With the estimator of Song et al. 2012 of the Hilbert-Schmidt independence criterion, which needs 4 images. The plain
        one comes near 1 for any features, related or not, where there are more features than images. May be below 0.

    Returns
    -------
    float
        0 to 1 unless debiased; NaN where a set does not vary at all.

    Raises
    ------
    ValueError
        Not as many rows in both, or too few.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    >>> round(linear_cka(x, 3 * x.flip(1) + 5), 6)
    1.0
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} rows and {len(second)} were given; expected one of each for the same images")
    least = FEWEST if debiased else 2
    if len(first) < least:
        raise ValueError(f"{len(first)} rows were given; expected {least} or more")
    grams = [_gram(_rows(one), _rows(one)).numpy() for one in (first, second)]
    return float(_alignment(grams[:1], grams[1:], debiased)[0, 0])


@dataclass(frozen=True, eq=False, repr=False)
class LayerSimilarity:
    """How alike the layers of two networks see a collection: linear CKA of each layer of one with each of the other.

    Attributes
    ----------
    rows, columns
        Names of layers of the first and of the second network.
    values
        float64 (rows, columns), see `linear_cka`; NaN where a layer gives all images the same or something infinite.
    images
        How many were seen.
    debiased
        Whether `linear_cka` was.

    Examples
    --------
    >>> from torch import nn
    >>> from cnnviz_widgets.engine.network import InputSpec, Network
    >>> net = Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2)), InputSpec(size=(1, 8, 8)))
    >>> found = LayerSimilarity.build(net, net, list(torch.rand(6, 1, 1, 8, 8)))
    >>> found
    LayerSimilarity(2 × 2 layers, 6 images)
    >>> [round(float(value), 6) for value in found.values.diagonal()]
    [1.0, 1.0]
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: npt.NDArray[np.float64]
    images: int
    debiased: bool = True

    @classmethod
    def building(
        cls,
        first: Network,
        second: Network,
        images: Any,
        rows: Sequence[str | Layer] | None = None,
        columns: Sequence[str | Layer] | None = None,
        *,
        places: int | None = PLACES,
        debiased: bool = True,
        batch: int = BATCH,
    ) -> Generator[Progress[LayerSimilarity], None, None]:
        """Compare, batch by batch; each `Progress` holds what the images seen so far give.

        Parameters
        ----------
        images
            An `ImageSet`, or what counts as several images; each network gets them its own way.
        rows, columns
            Layers of the first and of the second network; None: the main ones.
        places
            Maps are averaged over a grid of at most so many places each way, which keeps ``n * C * places ** 2`` numbers for a
            layer in memory; None: all of the map, as in the paper, at 4 bytes a value and image.
        debiased
            See `linear_cka`; leave it on unless there are many more images than features.
        batch
            Images that go through the networks together.

        Raises
        ------
        ValueError
            Fewer than four images, or a number out of its range.
        UnknownNameError
            No such layer.
        """
        collection = ImageSet.of(images)
        least = FEWEST if debiased else 2
        if len(collection) < least:
            raise ValueError(f"{len(collection)} images were given; layers are compared over {least} or more")
        for name, value in (("places", 1 if places is None else places), ("batch", batch)):
            if value < 1:
                raise ValueError(f"{name}={value}; expected 1 or more")
        sides = [_Side(first, rows, places), _Side(second, columns, places)]
        return cls._built(sides, collection, debiased, batch)

    @classmethod
    def _built(
        cls, sides: list[_Side], images: ImageSet, debiased: bool, batch: int
    ) -> Generator[Progress[LayerSimilarity], None, None]:
        clock = Clock(0, len(images))
        try:
            for begin in range(0, len(images), batch):
                numbers = range(begin, min(begin + batch, len(images)))
                for side in sides:
                    side.see(images, numbers)
                seen = numbers.stop
                enough = seen >= (FEWEST if debiased else 2)
                names = [side.names for side in sides]
                values = (
                    _alignment(sides[0].grams, sides[1].grams, debiased)
                    if enough
                    else np.full((len(names[0]), len(names[1])), np.nan)
                )
                yield clock.at(seen, cls(names[0], names[1], values, seen, debiased))
        finally:
            for side in sides:
                side.record.close()

    @classmethod
    def build(cls, first: Network, second: Network, images: Any, **options: Any) -> LayerSimilarity:
        """Compare to the end; takes what `building` takes."""
        *_, last = cls.building(first, second, images, **options)
        return last.result

    def best(self) -> dict[str, str]:
        """For each layer of the first network the layer of the second that is most like it; those without a value are left
        out."""
        known = np.where(np.isnan(self.values), -np.inf, self.values)
        return {
            name: self.columns[int(line.argmax())]
            for name, line in zip(self.rows, known, strict=True)
            if np.isfinite(line).any()
        }

    def __repr__(self) -> str:
        return f"LayerSimilarity({len(self.rows)} × {len(self.columns)} layers, {self.images} images)"


class _Side:
    """One network's features and their inner products, grown batch by batch."""

    def __init__(self, network: Network, layers: Sequence[str | Layer] | None, places: int | None) -> None:
        chosen = network.main_layers if layers is None else [network[layer] for layer in layers]
        if not chosen:
            raise ValueError("no layer was given; None takes the main ones")
        self.network, self.layers, self._places = network, list(chosen), places
        self.names = tuple(layer.name for layer in chosen)
        self.record = network.recording(self.names)
        self._shift: dict[str, Tensor] = {}
        self._features: dict[str, list[Tensor]] = {name: [] for name in self.names}
        self.grams: list[npt.NDArray[np.float64]] = [np.zeros((0, 0))] * len(self.layers)

    def see(self, images: ImageSet, numbers: range) -> None:
        """Take more images in."""
        network = self.network
        batch = torch.stack([images.prepare(number, network.input) for number in numbers])
        with torch.no_grad():
            values = self.record(batch.to(network.device, network.dtype))
        for place, layer in enumerate(self.layers):
            features = self._pooled(values[layer.name].movedim(layer.channel_axis + 1, 1))
            # a common shift changes nothing, and keeps inner products small, hence exact
            shift = self._shift.setdefault(layer.name, features.mean(0))
            self._features[layer.name].append(features - shift)
            self.grams[place] = _grown(self.grams[place], self._features[layer.name])

    def _pooled(self, values: Tensor) -> Tensor:
        floats = values.float().cpu()
        if self._places is not None and floats.dim() == 4:
            high, wide = (min(self._places, size) for size in floats.shape[2:])
            floats = functional.adaptive_avg_pool2d(floats, (high, wide))
        return floats.flatten(1)


def _rows(features: Tensor) -> Tensor:
    rows = features.detach().to("cpu", torch.float64).flatten(1)
    return rows - rows.mean(0)


def _gram(rows: Tensor, others: Tensor) -> Tensor:
    return (rows @ others.T).double()


def _grown(gram: npt.NDArray[np.float64], features: list[Tensor]) -> npt.NDArray[np.float64]:
    """Inner products (n, n) with those of the newest batch added."""
    added = np.concatenate([_gram(features[-1], one).numpy() for one in features], axis=1)
    n, new = added.shape[1], len(added)
    grown = np.empty((n, n))
    grown[: n - new, : n - new] = gram
    grown[n - new :] = added
    grown[: n - new, n - new :] = added[:, : n - new].T
    return grown


def _alignment(
    rows: Sequence[npt.NDArray[np.float64]], columns: Sequence[npt.NDArray[np.float64]], debiased: bool
) -> npt.NDArray[np.float64]:
    """CKA of each pair of matrices of inner products (n, n): the cosine between them, centred."""
    center = _u_centered if debiased else _centered
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = (np.stack([center(gram).ravel() for gram in side]) for side in (rows, columns))
        lengths = [np.sqrt((side**2).sum(1)) for side in (one, other)]
        # what is left of rounding where all images give the same
        least = [1e-9 * np.array([np.abs(gram).max() * len(gram) for gram in side]) for side in (rows, columns)]
        known = [np.where(length > floor, length, np.nan) for length, floor in zip(lengths, least, strict=True)]
        return (one @ other.T) / known[0][:, None] / known[1][None]


def _centered(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()


def _u_centered(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """So that products of two such matrices estimate the criterion without bias: Székely and Rizzo 2014, definition 2."""
    n = len(gram)
    off = gram.copy()
    np.fill_diagonal(off, 0)
    across, down = off.sum(1, keepdims=True) / (n - 2), off.sum(0) / (n - 2)
    found: npt.NDArray[np.float64] = off - across - down + off.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0)
    return found
