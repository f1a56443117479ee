"""``Recording(images) -> {layer name: tensor}``: a forward pass that ends at the deepest layer asked for.

One recording is one run's: it has its own shadow of the network and its own hooks, so runs in several threads do not meet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .folding import Folding, Weights
from .shadow import borrowed
from .tracing import Calls, tensors_in

if TYPE_CHECKING:
    from .network import Network


class _Reached(BaseException):
    """Ends the forward pass. No ``Exception``, so that the user's own handlers let it through."""


class Recording:
    """Runs a network on images in display range and gives the values of some layers.

    A recorded value is the layer's own output, also where an in-place operation follows: all but the last are copied.
    Gradients flow back to the images, never to weights.

    Parameters
    ----------
    fold
        Fold batch normalisations into the layers before them (`cnnviz_widgets.engine.folding`): passes take up to a third less
        time, and values keep about six digits. Opening takes three passes more, so it pays where many follow. What is written
        through ``tensor.data`` meanwhile shows only with the next change that is not.

    Attributes
    ----------
    path
        ``"shadow"``: a copy of the module on the same storage is run; ``"borrowed"``: the module can't be copied and is
        run itself, under a lock, and handed back between passes.
    cut
        The layer that the pass ends at; empty where it is complete.
    folded
        How many normalisations are folded.
    unfolded
        Why none is although that was asked for; empty where some are, or where there is none to fold.
    layout
        ``"channels-last"`` or ``"contiguous"``: how images lie in memory during the pass. What is handed out after a
        channels-last pass is contiguous.
    complete
        Whether the pass goes on to the network's output; ``output`` then holds the class scores of the last pass.
    """

    def __init__(self, network: Network, names: Sequence[str], *, fold: bool = False) -> None:
        self.network = network
        self.names = tuple(dict.fromkeys(network[name].name for name in names))
        order = list(network.layers)
        self.deepest = max(self.names, key=order.index) if self.names else network.output.name
        self.complete = order.index(self.deepest) >= order.index(network.output.name)
        self.output: Tensor | None = None
        self._modules = {network.owner(name) for name in self.names} - {""}
        self._values: dict[str, Tensor] = {}
        self._take: Callable[[str, Tensor], None] | None = None
        self._calls = Calls()
        self._entries = Calls()
        self._runs = 0
        self.cut = "" if self.complete else self.deepest
        self._fold = fold
        self._open()
        self._closed = False

    def _open(self) -> None:
        """Take a shadow, hook it, and fold it where that is wanted."""
        self.folded, self.unfolded, self.layout = 0, "", "contiguous"
        # before the shadow is made, so that a change in between is seen
        self._weights = Weights(self.network.bare) if self._fold else None
        self._shadow = shadow = self.network.shadow()
        self.path = "borrowed" if shadow is None else "shadow"
        self._folding = Folding(shadow) if self._fold and shadow is not None else None
        self._handles = [] if shadow is None else self._hook(shadow)
        if self._fold:
            self.unfolded = self._folded()

    def _folded(self) -> str:
        """Fold the shadow; why that was not possible."""
        folding = self._folding
        if folding is None:
            return "the module can't be copied, and one that is borrowed is never folded"
        if self.network.written:
            return f"the forward pass writes {min(self.network.written)!r}, so trial passes would change it"
        folding.apply(self._trial)
        self.folded, self.layout = folding.norms, "channels-last" if folding.channels_last else "contiguous"
        return folding.why

    def _trial(self, channels_last: bool) -> dict[str, Tensor]:
        """All values of a pass on one random image, always the same; the network's output under an empty name."""
        random = torch.rand((1, *self.network.input.size), generator=torch.Generator().manual_seed(0))
        self.layout = "channels-last" if channels_last else "contiguous"
        self._pass(random.to(self.network.device, self.network.dtype))
        values, self._values = self._values, {}
        output, self.output = self.output, None
        return values if output is None else {**values, "": output}

    def _follow(self) -> None:
        """Let changes of the user's weights show where they are folded into others."""
        change = "" if self._weights is None else self._weights.change()
        if change == "tensors":
            for handle in self._handles:
                handle.remove()
            self._open()
        elif change and self._folding is not None:
            self._folding.refresh()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the shadow; nothing of ours is left on the user's module."""
        for handle in self._handles:
            handle.remove()
        self._closed = True
        self._handles = []
        self._shadow = None
        self._folding = None
        self._weights = None
        self._values = {}
        self.output = None

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, C, H, W) in [0, 1] -> the layers' outputs (B, ...) by name.

        Raises
        ------
        RuntimeError
            A layer was not reached in this pass, or does not keep images apart along its first axis; or the recording is
            closed.
        """
        if self._closed:
            raise RuntimeError("this recording is closed; net.recording(names) opens another")
        self._follow()
        self._pass(images)
        values, self._values = self._values, {}
        for name in self.names:
            if name not in values:
                raise RuntimeError(
                    f"the layer {name!r} was not reached in this pass; the network's path depends on its input"
                )
            if len(values[name]) != len(images):
                raise RuntimeError(
                    f"the layer {name!r} gives the shape {tuple(values[name].shape)} for {len(images)} images; expected the "
                    "images along the first axis"
                )
        return values

    def each(self, images: Tensor, take: Callable[[str, Tensor], None]) -> None:
        """Images (B, C, H, W) in [0, 1] -> ``take(name, output)`` for each layer, the moment that the layer gives it.

        What follows may overwrite an output in place, so ``take`` must be done with it when it returns. Nothing is copied, which
        makes it the way to reduce many large layers. A layer that the pass does not reach is not told.
        """
        if self._closed:
            raise RuntimeError("this recording is closed; net.recording(names) opens another")
        self._follow()
        self._take = take
        try:
            self._pass(images)
        finally:
            self._take = None

    def _pass(self, images: Tensor) -> None:
        self._values = {}
        self.output = None
        fed = self.network.input.normalized(images)
        if fed is images:
            fed = images.clone()  # the module may begin with something in place
        if self.layout == "channels-last":
            fed = fed.contiguous(memory_format=torch.channels_last)
        self._calls.begin()
        self._entries.begin()
        self._runs = threading.get_ident()
        if self._shadow is not None:
            self._run(self._shadow, fed)
        else:
            with borrowed(self.network.bare, self._hook, self.network.written) as module:
                self._run(module, fed)

    def _run(self, module: nn.Module, fed: Tensor) -> None:
        try:
            output = module(fed)
        except _Reached:
            return
        found = dict(tensors_in(output))
        for suffix, tensor in found.items():
            if (name := self.network.root_name + suffix) in self.names:
                self._keep(name, tensor)
        scores = next((tensor for tensor in found.values() if tensor.dim() == 2), next(iter(found.values()), None))
        self.output = None if scores is None else self._plain(scores)

    def _hook(self, module: nn.Module) -> list[Any]:
        handles: list[Any] = []
        for name, part in module.named_modules():
            if name in self._modules:
                handles.append(part.register_forward_hook(self._after(name)))
                handles.append(part.register_forward_pre_hook(self._before(name), with_kwargs=True))
        return handles

    def _after(self, name: str) -> Callable[..., None]:
        def told(module: nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() != self._runs:
                return  # the user's own pass through a module that is borrowed
            # checkpointing runs parts again in the backward pass; those calls have numbers that nobody asked for
            call = self._calls.name(name)
            for suffix, tensor in tensors_in(output):
                self._record(call + suffix, tensor)

        return told

    def _before(self, name: str) -> Callable[..., None]:
        def told(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            if threading.get_ident() != self._runs:
                return
            call = self._entries.name(name)
            for _, tensor in tensors_in([*inputs, keywords]):
                self._record(f"{call}:input", tensor)
                break

        return told

    def _record(self, name: str, tensor: Tensor) -> None:
        if name not in self.names:
            return
        stops = name == self.deepest and not self.complete
        # what follows may overwrite it in place; after the last one nothing follows
        self._keep(name, tensor if stops or self._take is not None else tensor.clone())
        if stops:
            raise _Reached

    def _keep(self, name: str, tensor: Tensor) -> None:
        if self._take is not None:
            self._take(name, tensor)
        else:
            self._values[name] = self._plain(tensor)

    def _plain(self, tensor: Tensor) -> Tensor:
        return tensor.contiguous() if self.layout == "channels-last" else tensor
