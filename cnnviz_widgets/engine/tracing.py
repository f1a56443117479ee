"""``trace(module, image) -> Trace``: one forward pass that lists the layers and how they hang together.

Hooks on every module see what is called, in which order, with which tensors. That works for any code that calls modules,
with branches and conditions, where symbolic tracing does not; what happens in functions between the modules stays unseen.
A layer is named when its module returns, so a block stands after its parts, and everything before a layer's line has been
computed when the layer has.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from .layers import Layer, shape_text
from .shadow import borrowed, differing, named_tensors, shadow

NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)

_WEIGHING = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class Trace:
    """What one forward pass told.

    ``main`` are the names of the ends of conv-norm-activation chains and of the dense layers; ``last_hidden`` what enters
    the last dense layer; ``output`` the layer whose value is the network's output; ``root`` the name under which the
    network's own return value is listed where no module made it; ``probabilities`` whether the output is a probability per
    class already; ``owners`` the dotted name of each layer's module; ``written`` the parameters, buffers and other tensors
    that the pass wrote although in evaluation mode; ``sides`` for each layer beside a nonlinearity the layer before it and the
    layer behind it, None where no module gives that value.
    """

    layers: Mapping[str, Layer]
    main: tuple[str, ...]
    last_hidden: str
    output: str
    root: str
    probabilities: bool
    owners: Mapping[str, str]
    written: frozenset[str] = frozenset()
    sides: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)


def tensors_in(value: Any, suffix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(suffix, tensor) for each floating tensor with a channel axis in what a module returned: ``""`` for a tensor itself,
    ``"[0]"``, ``"[aux]"`` inside tuples, lists and mappings."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.dim() >= 2:
            yield suffix, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors_in(part, f"{suffix}[{key}]")
    elif isinstance(value, tuple | list):
        for number, part in enumerate(value):
            yield from tensors_in(part, f"{suffix}[{number}]")


class Calls:
    """Hands out each call's name: ``relu``, then ``relu@2`` and so on; `begin` starts a new forward pass."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def begin(self) -> None:
        self._seen.clear()

    def name(self, module: str) -> str:
        self._seen[module] += 1
        number = self._seen[module]
        return module if number == 1 else f"{module}@{number}"


def trace(module: nn.Module, image: Tensor) -> Trace:
    """List the layers of the user's ``module`` from a pass of a copy of it on ``image`` (1, C, H, W).

    Raises
    ------
    ValueError
        The module can't run on such an image, or returns no tensor.
    """
    with torch.inference_mode(False), torch.no_grad():
        # storage of its own, for it is not known yet what the pass writes
        if (copied := shadow(module, private=None)) is not None:
            before = dict(named_tensors(module))
            found = _watched(copied, image.clone())
            return replace(found, written=differing(before, copied))
        with borrowed(module, lambda part: []) as lent:
            before = {name: tensor.detach().clone() for name, tensor in named_tensors(lent)}
            found = _watched(lent, image.clone())
            return replace(found, written=differing(before, lent))


def _watched(module: nn.Module, image: Tensor) -> Trace:
    watch = _Watch()
    handles = [
        part.register_forward_hook(watch.hook(name), with_kwargs=True) for name, part in module.named_modules() if name
    ]
    try:
        output = module(image)
    except Exception as error:  # whatever the user's forward raises
        size = shape_text(Layer("", "", tuple(image.shape[1:])))
        raise ValueError(
            f"{type(module).__name__} can't run on an image of the size {size}: {error}. Give the size it wants: "
            "cnn.InputSpec(size=(channels, height, width))"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return watch.finished(module, image, output)


class _Watch:
    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.owners: dict[str, str] = {}
        self.calls = Calls()
        self.axes = WeakIdKeyDictionary()  # tensor -> its channel axis
        self.chain_of = WeakIdKeyDictionary()  # tensor -> index into self.ends
        self.ends: list[str] = []
        self.chains: list[list[str]] = []  # as the ends' chains, but dense layers begin one too
        self.linked = WeakIdKeyDictionary()  # tensor -> index into self.chains
        self.before: dict[str, str | None] = {}  # nonlinearity -> the layer that enters it
        self.nonlinear = WeakIdKeyDictionary()  # tensor -> the nonlinearity that made it
        self.made_by: dict[str, str] = {}  # layer -> the nonlinearity whose value it is
        self.recent: deque[tuple[str, Tensor, int]] = deque(maxlen=16)  # held, so that no storage is given out again
        self.classifier: tuple[str, Tensor | None] = ("", None)
        self.dense_seen = False

    def hook(self, name: str) -> Any:
        def told(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            call = self.calls.name(name)
            entering = [tensor for _, tensor in tensors_in([*inputs, keywords])]
            for suffix, tensor in tensors_in(output):
                self.add(call + suffix, name, module, entering, tensor)

        return told

    def add(self, name: str, owner: str, module: nn.Module, entering: list[Tensor], tensor: Tensor) -> None:
        source = next((given for given in entering if given in self.axes or given in self.chain_of), None)
        if source is None and entering:
            source = entering[0]
        axis = self.axis(module, source, tensor)
        self.axes[tensor] = axis
        if len(tensor) != 1:  # windows or patches along the first axis, as in attention: no value per image
            return
        self.owners[name] = owner
        self.layers[name] = Layer(name, type(module).__name__, tuple(tensor.shape[1:]), axis)
        self.follow(name, module, source, tensor)
        self.note_nonlinearity(name, module, source, tensor)
        self.recent.append((name, tensor, version(tensor)))

    def axis(self, module: nn.Module, source: Tensor | None, tensor: Tensor) -> int:
        """Which axis of one image's output counts channels; by the kind of module, else as in what entered it."""
        last = tensor.dim() - 2
        if tensor in self.axes:
            return self.axes[tensor]
        if isinstance(module, nn.Linear):
            return last
        if isinstance(module, nn.modules.conv._ConvNd):
            return 0
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
            # subclasses that permute to and fro (LayerNorm2d) keep their channels first
            return 0 if type(module) is not nn.LayerNorm and type(module).__name__.endswith("2d") else last
        if source is not None and source in self.axes:
            before = self.axes[source]
            dims = getattr(module, "dims", None)
            if type(module).__name__ == "Permute" and dims is not None and len(dims) == tensor.dim():
                return list(dims).index(before + 1) - 1
            if source.shape == tensor.shape:
                return before
        return last if tensor.dim() == 3 else 0

    def follow(self, name: str, module: nn.Module, source: Tensor | None, tensor: Tensor) -> None:
        """Keep the chains conv - norm - activation up to date."""
        dense = isinstance(module, nn.Linear) and tensor.dim() == 2
        convolution = isinstance(module, nn.modules.conv._ConvNd)
        if dense or (convolution and not self.dense_seen):
            self.classifier = (name, source)
            self.dense_seen = self.dense_seen or dense
        if dense:
            self.ends.append(name)
        elif convolution or isinstance(module, nn.Linear):
            self.chain_of[tensor] = len(self.ends)
            self.ends.append(name)
        elif source is not None and source in self.chain_of and source.shape == tensor.shape and _continues(module):
            self.chain_of[tensor] = self.chain_of[source]
            self.ends[self.chain_of[source]] = name

    def note_nonlinearity(self, name: str, module: nn.Module, source: Tensor | None, tensor: Tensor) -> None:
        """Keep what lies before and behind each nonlinearity."""
        if isinstance(module, _WEIGHING):
            self.linked[tensor] = len(self.chains)
            self.chains.append([name])
        nonlinear = source is not None and _is_nonlinear(module)
        if nonlinear:
            assert source is not None
            self.before[name] = self.entered(source, tensor)
            self.nonlinear[tensor] = name
        if source is not None and source in self.linked and source.shape == tensor.shape and _continues(module):
            chain = self.chains[self.linked[source]]
            # a branch may have been added in place since
            if not nonlinear or self.before[name] == chain[-1]:
                self.linked[tensor] = self.linked[source]
                chain.append(name)
        if tensor in self.nonlinear:
            self.made_by[name] = self.nonlinear[tensor]

    def entered(self, source: Tensor, tensor: Tensor) -> str | None:
        """The layer whose value entered a nonlinearity, which may have overwritten it just now."""
        own = int(source.data_ptr() == tensor.data_ptr())
        for name, made, written in reversed(self.recent):
            if made.data_ptr() == source.data_ptr() and written == version(source) - own:
                return name
        return None

    def sides(self) -> dict[str, tuple[str | None, str | None]]:
        """Layer -> the layers before and behind the nonlinearity that it is or that follows it in its chain."""
        found: dict[str, tuple[str | None, str | None]] = {
            name: (self.before[nonlinearity], name) for name, nonlinearity in self.made_by.items()
        }
        for chain in self.chains:
            behind = next((name for name in chain if name in self.made_by), None)
            for name in chain[: chain.index(behind)] if behind else chain:
                found.setdefault(name, (found[behind][0] if behind else chain[-1], behind))
        for before, behind in list(found.values()):
            if before is not None:
                found.setdefault(before, (before, behind))
        return found

    def producer(self, tensor: Tensor) -> str | None:
        """The first layer whose value ``tensor`` is, perhaps in another shape: the module that made it, not the blocks around.

        A layer that was overwritten in place since, as a convolution by its ReLU, had another version then.
        """
        for name, made, written in self.recent:
            same = made.data_ptr() == tensor.data_ptr() and made.numel() == tensor.numel()
            if same and written == version(tensor):
                return name
        return None

    def finished(self, module: nn.Module, image: Tensor, output: Any) -> Trace:
        found = list(tensors_in(output))
        if not found:
            raise ValueError(
                f"the module {type(module).__name__} returns {type(output).__name__} without a tensor of the shape "
                f"(images, channels, ...) for an input of the shape {tuple(image.shape)}; expected class scores or maps"
            )
        hidden = self.last_hidden(image)
        suffix, logits = next(((s, t) for s, t in found if t.dim() == 2), found[0])
        name = self.producer(logits)
        root = "output" if "output" not in self.layers else "(output)"
        if name is None:
            for part, tensor in found:
                self.layers[root + part] = Layer(root + part, type(module).__name__, tuple(tensor.shape[1:]))
                self.owners[root + part] = ""
            name = root + suffix
            hidden = hidden or name
        order = list(self.layers)
        main = sorted(set(self.ends), key=order.index) or [name]
        return Trace(
            self.layers,
            tuple(main),
            hidden or main[-1],
            name,
            root,
            _is_probability(logits),
            self.owners,
            sides=self.sides(),
        )

    def last_hidden(self, image: Tensor) -> str | None:
        """The layer that enters the last dense layer (the last convolution where none is dense).

        Where a function made it (``x.mean((2, 3))``), it gets a line of its own, ``classifier:input``. None where it is the
        image itself, which is no feature.
        """
        name, entering = self.classifier
        if entering is None:
            return None
        if found := self.producer(entering):
            return found
        if entering.data_ptr() == image.data_ptr():
            return None
        tap = Layer(f"{name}:input", "input", tuple(entering.shape[1:]), 0 if entering.dim() != 3 else 1)
        rows = list(self.layers.items())
        at = [row for row, _ in rows].index(name)
        self.layers = dict([*rows[:at], (tap.name, tap), *rows[at:]])
        self.owners[tap.name] = self.owners[name]
        return tap.name


def _continues(module: nn.Module) -> bool:
    """Whether a chain that began with a convolution goes on through this module."""
    kind = type(module)
    return (
        isinstance(module, NORMALIZATIONS)
        or kind.__module__ == "torch.nn.modules.activation"
        or ("Norm" in kind.__name__ and not any(isinstance(part, _WEIGHING) for part in module.modules()))
        or _is_activation(module)
    )


def _is_nonlinear(module: nn.Module) -> bool:
    plain = not any(True for _ in module.children()) and not isinstance(module, nn.Softmax | nn.Softmin | nn.LogSoftmax)
    return plain and (type(module).__module__ == "torch.nn.modules.activation" or _is_activation(module))


def _is_activation(module: nn.Module) -> bool:
    """A module of the user's own with neither parts nor weights beyond a slope, and a name of an activation."""
    names = ("relu", "elu", "swish", "silu", "mish", "sigmoid", "tanh", "softplus", "activation", "act")
    plain = not any(True for _ in module.children()) and sum(p.numel() for p in module.parameters()) <= 4096
    return plain and any(part in type(module).__name__.lower() for part in names)


def version(tensor: Tensor) -> int:
    """How often it was written in place; tensors from a user's own ``inference_mode`` do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _is_probability(output: Tensor) -> bool:
    """Whether class scores are probabilities already, as from a network that ends in a softmax."""
    if output.dim() != 2 or output.shape[1] < 2:
        return False
    sums = output.float().sum(1)
    return bool((output >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3))
