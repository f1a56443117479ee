"""``Folding(module).apply(run)``: batch normalisation folded into the convolution or dense layer before it.

    norm(conv(x)) = s (w * x + b - mean) + bias = (s w) * x + s (b - mean) + bias,    s = weight / sqrt(variance + eps)

In evaluation a batch normalisation is one multiplication and one addition per channel, yet it reads and writes the whole map,
forwards and backwards. A run makes hundreds of passes, so the product is taken once and the norm passes its input on.

What may be folded is found by watching a pass, not by reading the module's code: a norm is a convolution's where its input is
the very tensor that the convolution returned, both are called once, and nothing but the norm reads that tensor. What the pass
hands out counts as a reader, so no recorded layer lies between the two. Each pair, and the pass as a whole, must give the
values that it gave before.

Layout
------
With a depthwise convolution among those folded, float32 on a CPU, weights and images are laid out channels-last. Measured as
the processor time of a forward pass and its gradient with respect to the images, against the module as it is; medians of
alternating passes in one thread, for one image and for four:

====================  ==================  =====================
network               folded, contiguous  folded, channels-last
====================  ==================  =====================
EfficientNet-Lite0    0.85, 0.74          0.73, 0.62
MobileNet-V2          0.83, 0.75          0.71, 0.70
ResNet-18             0.97, 0.92          0.95, 0.86
VGG-16 at 112 pixels  nothing to fold     0.99, 0.94
two small layers      0.88, 0.91          0.95, 0.99
====================  ==================  =====================

In two threads, by the clock, channels-last gains a fifth to a quarter on the first two, a tenth on ResNet-18 and nothing or a
tenth on VGG-16, and loses 3 to 6 % on the small layers. Clear in each case is the gain with depthwise convolutions alone, hence
the rule.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode

from .tracing import version

TOLERANCE = 1e-4

Values = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class _Pair:
    """A convolution or dense layer and the norm after it, with the weights that the norm is folded into."""

    linear: nn.Module
    norm: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter | None

    def product(self) -> tuple[nn.Parameter, nn.Parameter]:
        norm: Any = self.norm
        statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        weight, bias = fuse_conv_bn_weights(self.weight, self.bias, *statistics)
        return nn.Parameter(weight.detach(), requires_grad=False), nn.Parameter(bias.detach(), requires_grad=False)

    @property
    def depthwise(self) -> bool:
        linear = self.linear
        if not isinstance(linear, nn.Conv2d) or self.weight.device.type != "cpu" or self.weight.dtype != torch.float32:
            return False
        return linear.groups == linear.in_channels > 1

    def fold(self, channels_last: bool) -> None:
        weight, bias = self.product()
        if channels_last and weight.dim() == 4:
            weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        # tensors of its own, not new values in the old ones: a graph that waits for its backward pass keeps what it read
        self.linear.weight, self.linear.bias = weight, bias
        self.norm.forward = _rest(self.norm)

    def unfold(self) -> None:
        self.linear.weight, self.linear.bias = self.weight, self.bias  # type: ignore[assignment]
        vars(self.norm).pop("forward", None)

    def agrees(self, entering: Tensor, expected: Tensor) -> bool:
        """Whether the two give ``expected`` for ``entering`` with the norm folded; a layer that scales its weights in its own
        forward, or a norm that does more than normalise, does not."""
        statistics: Any = self.norm.running_mean
        if len(self.weight) != statistics.numel():  # it normalises along another axis
            return False
        self.linear.weight, self.linear.bias = self.product()
        try:
            # forward and not a call: the hooks on these modules are not meant
            value = self.linear.forward(entering)
            for part in _activating(self.norm):
                value = part.forward(value)
        finally:
            self.linear.weight, self.linear.bias = self.weight, self.bias  # type: ignore[assignment]
        return _alike(expected, value)


def _activating(norm: nn.Module) -> list[nn.Module]:
    """What a norm does after normalising: some have their dropout and activation inside."""
    parts = dict(norm.named_children())
    return [parts["drop"], parts["act"]] if set(parts) == {"drop", "act"} else []


def _rest(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    # holds the parts and not the norm, whose attribute it becomes: no cycle keeps a run's copy of the network alive
    return functools.partial(_through, _activating(norm))


def _through(parts: list[nn.Module], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


class Folding:
    """The norms of a module that are folded, and how to bring them up to date.

    Made before hooks of ours are on the module, for modules that have hooks are left alone, as are weights that a
    parametrization, weight norm or pruning computes, and norms without running statistics or in training mode.

    Parameters
    ----------
    module
        A copy that nobody else runs: its convolutions get weights of their own, its norms another ``forward``.

    Attributes
    ----------
    channels_last
        Whether weights are laid out channels-last, as the images should be then.
    why
        Why none is folded; empty where some are, or where there is nothing to fold.
    """

    def __init__(self, module: nn.Module) -> None:
        free = [part for part in module.modules() if not _hooked(part)]
        self._linears = [part for part in free if _is_linear(part)]
        self._norms = [part for part in free if _is_norm(part)]
        self._pairs: list[_Pair] = []
        self.channels_last = False
        self.why = ""

    @property
    def norms(self) -> int:
        """How many norms are folded."""
        return len(self._pairs)

    def apply(self, run: Callable[[bool], Values]) -> None:
        """Fold what can be folded.

        Parameters
        ----------
        run
            One forward pass on some fixed image, channels-last or not, giving all values that anybody will ask for.
        """
        watch, drawn = _Watch(), torch.get_rng_state()
        try:
            with torch.inference_mode(False), torch.no_grad():
                self._apply(watch, run)
        finally:
            if watch.draws:  # only then, since others may draw meanwhile
                torch.set_rng_state(drawn)

    def _apply(self, watch: _Watch, run: Callable[[bool], Values]) -> None:
        try:
            before = self._watched(watch, run)
        except Exception as error:  # whatever the user's forward raises; the next real pass will tell its own
            self.why = f"the trial pass raised {type(error).__name__}: {error}"
            return
        pairs = watch.pairs(before)
        if not pairs:
            if watch.refused:
                self.why = "folding would change the values of each norm that follows a convolution"
            return
        layouts = [True, False] if any(pair.depthwise for pair in pairs) else [False]
        for channels_last in layouts:
            self._set(pairs, channels_last)
            if self._same(run, before):
                self.why = ""
                return
        self._set([], channels_last=False)

    def _set(self, pairs: list[_Pair], channels_last: bool) -> None:
        for pair in self._pairs:
            pair.unfold()
        self._pairs, self.channels_last = pairs, channels_last
        self.refresh()

    def refresh(self) -> None:
        """Take the products anew, from what the weights and statistics are by now."""
        with torch.inference_mode(False), torch.no_grad():
            for pair in self._pairs:
                pair.fold(self.channels_last)

    def _same(self, run: Callable[[bool], Values], before: Values) -> bool:
        try:
            after = run(self.channels_last)
        except Exception as error:  # such as a view that only one layout allows
            self.why = f"the folded pass raised {type(error).__name__}: {error}"
            return False
        differing = [name for name in before if name not in after or not _alike(before[name], after[name])]
        if differing:
            self.why = f"folding would change the values of {differing[0] or 'output'!r}"
        return not differing

    def _watched(self, watch: _Watch, run: Callable[[bool], Values]) -> Values:
        handles = [part.register_forward_hook(watch.made, prepend=True) for part in self._linears]
        # after the hooks that hand out what enters the norm, and before those that end the pass there
        handles += [part.register_forward_pre_hook(watch.entered) for part in self._norms]
        handles += [part.register_forward_hook(watch.left, prepend=True) for part in self._norms]
        try:
            with watch:
                values = run(False)
        finally:
            for handle in handles:
                handle.remove()
        return values


class _Watch(TorchDispatchMode):
    """Sees in a forward pass who reads what a convolution has made, and whether it draws from torch's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[nn.Module] = Counter()
        # storage -> who made it, from what, and it; held, so that no storage is given out again
        self.outputs: dict[int, tuple[nn.Module, Tensor, Tensor]] = {}
        self.shared: set[int] = set()
        self.inside: tuple[nn.Module, int] | None = None
        self.found: list[tuple[_Pair, int]] = []
        self.refused = False
        self.paused = False
        self.draws = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.paused:
            allowed = self.inside[1] if self.inside else None
            for tensor in _tensors((args, kwargs or {})):
                storage = _storage(tensor)
                if storage in self.outputs and storage != allowed:
                    self.shared.add(storage)
        if torch.Tag.nondeterministic_seeded in func.tags and (kwargs or {}).get("generator") is None:
            self.draws = True
        return func(*args, **(kwargs or {}))

    def made(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.calls[module] += 1
        if isinstance(output, Tensor) and len(inputs) == 1 and isinstance(inputs[0], Tensor):
            self.outputs[_storage(output)] = (module, inputs[0], output)

    def entered(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.calls[norm] += 1
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            self.inside = norm, _storage(inputs[0])

    def left(self, norm: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self.inside is None or self.inside[0] is not norm:
            return
        storage, self.inside = self.inside[1], None
        linear, entering, value = self.outputs.get(storage, (None, None, None))
        if linear is None or entering is None or value is not inputs[0] or not isinstance(output, Tensor):
            return
        pair = _Pair(linear, norm, linear.weight, linear.bias)  # type: ignore[arg-type]
        self.paused = True
        try:
            if pair.agrees(entering, output):
                self.found.append((pair, storage))
            else:
                self.refused = True
        finally:
            self.paused = False

    def pairs(self, values: Values) -> list[_Pair]:
        """The pairs that nothing else has a part in, ``values`` being what the pass handed out."""
        shared = self.shared | {_storage(tensor) for tensor in values.values()}
        once = [(p, s) for p, s in self.found if self.calls[p.linear] == 1 and self.calls[p.norm] == 1]
        return [pair for pair, storage in once if storage not in shared]


class Weights:
    """Tells whether a module's tensors were changed or exchanged since last asked.

    As `Network.stamp` does, but at a fifth of its cost: it looks into the same dictionaries again, without walking through
    the module. What is written through ``tensor.data`` goes unseen.
    """

    def __init__(self, module: nn.Module) -> None:
        parts = list(module.modules())
        self._tensors = [kept for part in parts for kept in (part._parameters, part._buffers) if kept]
        self._parts = [part._modules for part in parts if part._modules]
        self._now = self._look()

    def change(self) -> str:
        """``"tensors"`` where parts or tensors are others or elsewhere, ``"values"`` where they were written in place, else
        empty."""
        before, now = self._now, self._look()
        self._now = now
        # the objects are compared, and held until then: the id of one that is gone is given out again
        if len(before[0]) != len(now[0]) or not all(map(operator.is_, before[0], now[0])) or before[1] != now[1]:
            return "tensors"
        return "values" if before[2] != now[2] else ""

    def _look(self) -> tuple[list[Any], list[int], list[int]]:
        tensors = [tensor for kept in self._tensors for tensor in kept.values() if tensor is not None]
        held = [*tensors, *(part for kept in self._parts for part in kept.values())]
        return held, [tensor.data_ptr() for tensor in tensors], [version(tensor) for tensor in tensors]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _hooked(part: nn.Module) -> bool:
    return any((part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks))


def _is_linear(part: nn.Module) -> bool:
    if not isinstance(part, nn.modules.conv._ConvNd | nn.Linear) or getattr(part, "transposed", False):
        return False
    # a computed weight is an attribute or a property, no parameter
    return part._parameters.get("weight") is not None and "bias" in part._parameters


def _is_norm(part: nn.Module) -> bool:
    """By what it has, for not every batch normalisation inherits from the one of torch."""
    if "forward" in vars(part):
        return False
    has = all(hasattr(part, name) for name in ("running_mean", "running_var", "eps", "weight", "bias"))
    return has and part.running_mean is not None and part.running_var is not None and not part.training


def _alike(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return before.numel() == 0 or bool((before - after).abs().max() <= TOLERANCE * before.abs().max())
