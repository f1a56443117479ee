"""``Network(module, InputSpec, labels)``: a module together with what it takes to ask it questions.

The network owns the normalisation, the names of layers and classes, and the promise that the user's module stays as it was:
what runs is a shadow of it (`cnnviz_widgets.engine.shadow`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from .errors import UnknownNameError, near
from .images import prepare
from .input_spec import InputSpec
from .layers import Layer, Layers, Unit, shape_text
from .recording import Recording
from .shadow import recomputed, shadow, unwrapped
from .tracing import Trace, trace, version

__all__ = ["InputSpec", "Layer", "Layers", "Network", "Source", "Unit"]


@dataclass(frozen=True)
class Source:
    """How a network can be loaded again: what `cnn.load` took, and the `Network.stamp` of the weights that it gave."""

    arguments: Mapping[str, Any]
    stamp: int


class Network:
    """A convolutional network to look into.

    Parameters
    ----------
    module
        Any ``nn.Module`` that takes images (B, C, H, W) and returns a tensor, or a tuple or mapping with tensors. It is
        borrowed: never run, hooked, frozen or switched to evaluation.
    input
        Its `InputSpec`.
    labels
        The class names, one per output unit; None or empty: the units' numbers.
    name
        How panels and figures call it.

    Raises
    ------
    TypeError
        ``module`` is no ``nn.Module``, or one of TorchScript, whose inside can't be looked into.
    ValueError
        The module can't run on an image of the given size, or the labels do not fit its output.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> net = Network(module, InputSpec(size=(1, 8, 8)))
    >>> net.layers
    layer  kind     shape
    0      Conv2d   4 × 6 × 6
    1      ReLU     4 × 6 × 6
    2      Flatten  144
    3      Linear   10
    >>> net["1"][2]
    1[2]
    """

    def __init__(
        self,
        module: nn.Module,
        input: InputSpec | None = None,
        labels: Sequence[str] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"{type(module).__name__} was given; expected a torch.nn.Module, or use cnn.load(source)")
        self.module = module
        self.input = input if input is not None else InputSpec()
        self.name = name or type(module).__name__
        self.source: Source | None = None
        self._lock = threading.RLock()
        self._seen: tuple[list[Any], list[Any]] | None = None
        self._trace: Trace
        self._known: dict[Any, _Fact] = {}
        self._refresh()
        self.labels = self._checked(labels)

    def _checked(self, labels: Sequence[str] | None) -> tuple[str, ...]:
        given = () if labels is None else tuple(str(label) for label in labels)
        if given and len(given) != self.output.channels:
            raise ValueError(
                f"{len(given)} labels were given; the output {self.output.name!r} has {self.output.channels} units"
            )
        return given

    @property
    def bare(self) -> nn.Module:
        """The module without what ``torch.compile`` and ``DataParallel`` put around it."""
        return unwrapped(self.module)

    @property
    def device(self) -> torch.device:
        """Where the module's weights are; images are brought there."""
        return self._any_weight().device

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the module's weights."""
        return self._any_weight().dtype

    def _any_weight(self) -> Tensor:
        tensors = [*self.bare.parameters(), *self.bare.buffers()]
        return next((t for t in tensors if t.is_floating_point()), torch.zeros(()))

    def shadow(self) -> nn.Module | None:
        """A runnable copy on the module's own storage, in evaluation mode and without gradients of weights; None where the
        module can't be copied."""
        self._refresh()
        return shadow(self.bare, self.written)

    @property
    def copies(self) -> bool:
        """Whether the module can be copied, so that what runs is never the user's own; tried once."""
        return self.once("copies", lambda: self.path == "shadow")

    @property
    def path(self) -> str:
        """``"shadow"`` or, where the module can't be copied, ``"borrowed"``."""
        return "borrowed" if shadow(self.bare) is None else "shadow"

    def _refresh(self) -> None:
        """List the layers anew where parts of the module were exchanged since."""
        with self._lock:
            # the parts themselves, not their ids, which are given out again once a part is gone
            parts = [part for named in self.bare.named_modules() for part in named]
            shapes = [(name, tuple(p.shape)) for name, p in self.bare.named_parameters() if _filled(p)]
            if self._seen is None or self._seen[1] != shapes or not _identical(self._seen[0], parts):
                self._trace = self._traced()
                self._seen = (parts, shapes)
                self._known = {}

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What ``compute`` gives, kept under ``key`` until parts of the module are exchanged: for facts of the structure,
        whatever the weights. Only who asks for the same meanwhile waits for it."""
        self._refresh()
        with self._lock:
            fact = self._known.setdefault(key, _Fact())
        with fact.lock:
            if not fact.told:
                fact.told.append(compute())
            return fact.told[0]

    def _traced(self) -> Trace:
        if isinstance(self.bare, torch.jit.ScriptModule):
            raise TypeError(
                "a TorchScript module was given, whose inside can't be looked into; give the nn.Module that it was made from"
            )
        parameters = [*self.bare.named_parameters(), *self.bare.named_buffers()]
        if empty := [name for name, parameter in parameters if not _filled(parameter)]:
            raise ValueError(f"the lazy parameter {empty[0]!r} has no shape yet; run the module once on an image first")
        image = self.input.neutral_image(self._any_weight()).expand(self.input.size)[None].clone()
        return trace(self.bare, self.input.normalized(image))

    def owner(self, layer: str) -> str:
        """The dotted name of the module behind a layer; empty for the network itself."""
        return self._trace.owners[layer]

    @property
    def written(self) -> frozenset[str]:
        """The parameters and buffers that a forward pass writes although in evaluation mode; runs have their own."""
        return self._trace.written

    @property
    def layers(self) -> Layers:
        """Name -> `Layer`, one per call of each module that returns tensors, in execution order; prints as a table."""
        self._refresh()
        return Layers(self._trace.layers)

    def __getitem__(self, name: str | Layer) -> Layer:
        return self.layers[name]  # type: ignore[index]

    @property
    def main_layers(self) -> tuple[Layer, ...]:
        """The ends of the conv-norm-activation chains and the dense layers."""
        layers = self.layers
        return tuple(layers[name] for name in self._trace.main)

    def beside_nonlinearity(self, layer: str | Layer, side: str) -> Layer:
        """The layer whose value is that before (``"pre"``) or behind (``"post"``) the nonlinearity of a chain.

        Raises
        ------
        ValueError
            Another side, or no module of the layer's chain gives that value: a nonlinearity may be called as a function, which
            leaves no layer, and follow an addition of branches.
        """
        name = self[layer].name
        if side not in ("pre", "post"):
            raise ValueError(f"at={side!r}; expected 'pre' or 'post', before or behind the nonlinearity")
        found = self._trace.sides.get(name, (None, None))[side == "post"]
        if found is None:
            where = "before" if side == "pre" else "behind"
            raise ValueError(
                f"no layer gives the value {where} a nonlinearity of the chain that {name!r} is in: none may follow it, or "
                "it is no module of its own. net.layers lists what there is; choose the layer by its name instead of at="
            )
        return self[found]

    @property
    def convolutions(self) -> tuple[Layer, ...]:
        """The layers whose module is a ``Conv2d``, those with a kernel to look at."""
        modules = dict(self.bare.named_modules())
        found: dict[str, Layer] = {}
        for layer in self.layers.values():
            if isinstance(modules.get(self.owner(layer.name)), nn.Conv2d) and layer.kind != "input":
                found.setdefault(self.owner(layer.name), layer)
        return tuple(found.values())

    @property
    def last_hidden(self) -> Layer:
        """What enters the last dense layer: the features that neighbours and maps use."""
        return self.layers[self._trace.last_hidden]

    @property
    def output(self) -> Layer:
        """The layer whose value is the network's output, the class scores of a classifier."""
        return self.layers[self._trace.output]

    @property
    def root_name(self) -> str:
        """Under which name the network's own return value is listed where no module's output is it."""
        return self._trace.root

    @property
    def gives_probabilities(self) -> bool:
        """Whether the output is a probability per class already, as of a network that ends in a softmax."""
        return self._trace.probabilities

    @property
    def is_classifier(self) -> bool:
        """Whether the output is one score per class."""
        return not any(size != 1 for size in self.output.positions) and self.output.channels > 1

    def label(self, unit: int) -> str:
        """The class name of an output unit, or its number."""
        return self.labels[unit] if self.labels else str(unit)

    def unit(self, label: str) -> Unit:
        """The output unit of a class: exact, else unique ignoring case.

        Raises
        ------
        UnknownNameError
            No such class, or several that differ in case only; a ``KeyError`` that tells near names.
        """
        names = self.labels or tuple(str(number) for number in range(self.output.channels))
        exact = [number for number, name in enumerate(names) if name == label]
        found = exact or [number for number, name in enumerate(names) if name.lower() == str(label).lower()]
        if len(found) == 1:
            return self.output[found[0]]
        if found:
            raise UnknownNameError(
                f"{len(found)} classes are called {label!r}: use net.output[{found[0]}] and so on, of {found}"
            )
        raise UnknownNameError(f"no class {label!r}{near(str(label), names)} net.labels lists all {len(names)}")

    def recording(self, names: Sequence[str | Layer] | str | Layer, *, fold: bool = False) -> Recording:
        """Values of layers in forward passes: ``with net.recording(["conv1"]) as record: record(images)["conv1"]``.

        ``fold=True`` folds batch normalisations for speed, which pays where many passes follow; see `Recording`.
        """
        listed = [names] if isinstance(names, str | Layer) else list(names)
        return Recording(self, [self[name].name for name in listed], fold=fold)

    def prepare(self, images: Any) -> Tensor:
        """Whatever counts as images -> (B, C, H, W) in [0, 1] on the network's device; see `images.prepare`."""
        return prepare(images, self.input).to(self.device, self.dtype)

    def activations(self, images: Any, names: Sequence[str | Layer] | str | Layer) -> dict[str, Tensor]:
        """The outputs of some layers for some images, all from one forward pass.

        Returns
        -------
        dict
            Layer name -> (B, C, H, W), (B, C) for a dense layer; channels first, whatever the layer's own order.
        """
        batch = self.prepare(images)
        with self.recording(names) as record, torch.no_grad():
            values = record(batch)
            return {name: values[name].movedim(self[name].channel_axis + 1, 1) for name in record.names}

    def probabilities(self, scores: Tensor) -> Tensor:
        """The network's output (B, C[, 1, 1]) -> a probability per class (B, C), by softmax unless it ends in one.

        Raises
        ------
        ValueError
            The output is no score per class.
        """
        if not self.is_classifier:
            raise ValueError(
                f"the network gives no class scores: its output {self.output.name!r} has the shape {self.output.shape}"
            )
        scores = scores.flatten(1).float()
        return scores if self._trace.probabilities else scores.softmax(1)

    def classify(self, images: Any, k: int = 5) -> list[list[tuple[str, float]]]:
        """Per image the ``k`` most probable classes, as (label, probability)."""
        batch = self.prepare(images)
        with self.recording(self.output) as record, torch.no_grad():
            record(batch)
            assert record.output is not None
            best = self.probabilities(record.output).topk(min(k, self.output.channels))
        return [
            [(self.label(unit), value) for value, unit in zip(values, units, strict=True)]
            for values, units in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def kernel_module(self, name: str | Layer) -> nn.Conv2d:
        """The ``Conv2d`` behind a layer, a shadow of it (the user's own where it can't be copied): for reading.

        Raises
        ------
        TypeError
            The layer is no ``Conv2d``.
        """
        layer = self[name]
        found = dict(self.bare.named_modules()).get(self.owner(layer.name))
        if not isinstance(found, nn.Conv2d):
            listed = [known.name for known in self.convolutions]
            told = f"net.convolutions lists all {len(listed)}" if listed else "this network has no convolutions"
            raise TypeError(f"{layer.name!r} is {layer.kind}, which has no 2D kernel{near(layer.name, listed)} {told}")
        copied = shadow(found)
        return found if copied is None else cast(nn.Conv2d, recomputed(copied))

    def filters(self, name: str | Layer) -> Tensor:
        """A convolution's kernel (out, in / groups, kh, kw), a copy on the CPU."""
        return self.kernel_module(name).weight.detach().cpu().clone()

    def stamp(self) -> int:
        """A number that changes when weights are exchanged or changed in place, as a step of training does; cheap, where
        `digest` reads every value. What is written through ``tensor.data`` goes unseen."""
        tensors = [*self.bare.parameters(), *self.bare.buffers()]
        return hash(tuple((id(tensor), version(tensor), tensor.data_ptr()) for tensor in tensors))

    def digest(self) -> str:
        """A SHA-256 over names, types, shapes and values of parameters and buffers, and over the preprocessing."""
        told = hashlib.sha256(repr(self.input).encode())
        for name, tensor in sorted(self.bare.state_dict().items()):
            if isinstance(tensor, Tensor):
                told.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                told.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return told.hexdigest()

    def __repr__(self) -> str:
        size = shape_text(Layer("", "", self.input.size))
        return f"Network {self.name}: input {size}, {len(self.layers)} layers, output {self.output.name!r}\n{self.layers!r}"


class _Fact:
    """What `Network.once` keeps: nothing yet, or one thing."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.told: list[Any] = []


def _identical(before: list[Any], now: list[Any]) -> bool:
    same = (one is other or (isinstance(one, str) and one == other) for one, other in zip(before, now, strict=False))
    return len(before) == len(now) and all(same)


def _filled(parameter: Tensor) -> bool:
    return not isinstance(parameter, nn.parameter.UninitializedParameter | nn.parameter.UninitializedBuffer)
