"""``rule_of(call) -> Rule``: from an operation of torch to what the elements of its results depend on.

A rule is a function of a `Call`, and the table at the end names the operations that each one is for. What is not listed there
and is not known to torch as pointwise has no rule. A rule that meets arguments it was not made for raises, whatever the
exception, and its result is then told as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from .field_marks import (
    CUT,
    ROW,
    Marks,
    adaptive_taps,
    gathered,
    joined,
    nothing,
    probed_taps,
    taps,
    tight,
    transposed_taps,
    windowed,
)


class Call:
    """An operation with its arguments by name, and ``of``, which tells the marks of a tensor."""

    def __init__(
        self,
        of: Callable[[Tensor], Marks | None],
        function: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        output: Any,
    ) -> None:
        self.function = function
        self.name = function._schema.name.split("::")[-1]
        self.label = self.name.strip("_").removesuffix("_with_indices")
        if any(
            argument.alias_info is not None and argument.alias_info.is_write for argument in function._schema.arguments
        ):
            self.name = self.name.removesuffix("_")
        names = [argument.name for argument in function._schema.arguments]
        self.values = {argument.name: argument.default_value for argument in function._schema.arguments}
        self.values |= dict(zip(names, args, strict=False)) | keywords
        self.args, self.keywords = args, keywords
        self.of = of
        self.outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def marks(self, name: str) -> Marks | None:
        value = self.values.get(name)
        return self.of(value) if isinstance(value, Tensor) else None

    @property
    def main(self) -> Marks:
        """The marks of the first argument, the only one that may depend on the image."""
        first, *others = [leaf for leaf in tree_leaves((self.args, self.keywords)) if isinstance(leaf, Tensor)]
        if any(self.of(other) is not None for other in others):
            raise NotImplementedError("places that depend on the image")
        return self.of(first) or nothing(first.shape)

    def rerun(self, part: Tensor) -> list[Tensor]:
        """The operation on another tensor in place of the first argument, which it moves about but does not change."""
        others = tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, self.args[1:])
        result = self.function(part, *others, **self.keywords)
        return [result] if isinstance(result, Tensor) else list(result)


Rule = Callable[[Call], list[Marks]]
"""From a call to the marks of its results."""


def _numbers(value: Any, count: int, otherwise: int = 0) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value or [])
    return (listed or [otherwise]) * count if len(listed) <= 1 else listed


def _axes(value: Any, rank: int) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value or range(rank))
    return [axis % rank for axis in listed]


def _pointwise(call: Call) -> list[Marks]:
    leaves = [leaf for leaf in tree_leaves((call.args, call.keywords)) if isinstance(leaf, Tensor)]
    several = [marks for leaf in leaves if (marks := call.of(leaf)) is not None]
    return [joined(several, output.shape) for output in call.outputs]


def _kept(call: Call) -> list[Marks]:
    """The same elements at the same places."""
    return [call.main]


def _written(call: Call) -> list[Marks]:
    """``copy_``: what stood there before is gone."""
    source = call.marks("src")
    return [nothing(call.outputs[0].shape) if source is None else joined([source], call.outputs[0].shape)]


def _reshaped(call: Call) -> list[Marks]:
    return [call.main.each(lambda part: part.reshape(call.outputs[0].shape))]


def _restrided(call: Call) -> list[Marks]:
    """Linear layers restride their result; a plain vector stays what it is."""
    marks = call.main
    if list(marks.shape) != list(call["size"]) or max(marks.shape) != marks.parts[0].numel():
        raise NotImplementedError
    return [marks]


def _moved(call: Call) -> list[Marks]:
    """Elements at other places, some perhaps left out or repeated."""
    marks = call.main
    moved = [call.rerun(part) for part in marks.parts]
    return [replace(marks, parts=parts) for parts in zip(*moved, strict=True)]


def _mirrored(call: Call) -> list[Marks]:
    """Padding that repeats pixels; counts as padding all the same."""
    (marks,) = _moved(call)
    border = nn.functional.pad(torch.zeros(call.main.shape), list(call["padding"]), value=1.0)
    parts = list(marks.parts)
    parts[CUT] = torch.maximum(parts[CUT], border)
    return [replace(marks, parts=tuple(parts))]


def _catenated(call: Call) -> list[Marks]:
    tensors = call["tensors"]
    several = [call.of(tensor) or nothing(tensor.shape) for tensor in tensors if tensor.numel()]
    rank = call.outputs[0].dim()
    axis = (call["dim"] or 0) % rank
    parts = []
    for together in zip(*(marks.parts for marks in several), strict=True):
        constant = [at != axis and all(part.stride(at) == 0 for part in together) for at in range(rank)]
        cut_to = tuple(slice(0, 1) if same else slice(None) for same in constant)
        parts.append(torch.cat([part[cut_to] for part in together], axis).expand(call.outputs[0].shape))
    return [Marks(tuple(parts), next((marks.mixer for marks in several if marks.mixer), ""))]


def _padded(call: Call) -> list[Marks]:
    marks = call.main
    pad = list(call["pad"])
    for number in range(len(pad) // 2):
        before, after = pad[2 * number : 2 * number + 2]
        axis = len(marks.shape) - 1 - number
        if before or after:
            count = marks.shape[axis]
            marks = windowed(marks, axis, taps(count, count + before + after, 1, 1, before, 1), call.name)
    return [marks]


def _convolved(call: Call) -> list[Marks]:
    weight = call["weight"]
    output = call.outputs[0]
    several = [gathered(w, range(len(w.shape)), call.label) for n in ("weight", "bias") if (w := call.marks(n))]
    several = [marks.each(lambda part: part.reshape(())) for marks in several]
    if (marks := call.marks("input")) is not None:
        groups, space = call["groups"], weight.dim() - 2
        channels = weight.shape[1] if call["transposed"] else weight.shape[0] // groups
        grouped = gathered(marks.each(lambda part: part.unflatten(1, (groups, -1))), [2], call.label)
        shape = (len(output), groups, channels, *marks.shape[2:])
        marks = replace(grouped, parts=tuple(_spread(part.expand(shape)) for part in grouped.parts))
        padding, dilation = _numbers(call["padding"], space), _numbers(call["dilation"], space, 1)
        stride = _numbers(call["stride"], space, 1)
        windows = transposed_taps if call["transposed"] else taps
        for at in range(space):
            count, out, kernel = marks.shape[at + 2], output.shape[at + 2], weight.shape[at + 2]
            table = windows(count, out, kernel, stride[at], padding[at], dilation[at])
            marks = windowed(marks, at + 2, table, call.name)
        several.append(marks)
    return [joined(several, output.shape)]


def _spread(part: Tensor) -> Tensor:
    """(B, groups, channels, ...) -> (B, groups * channels, ...), expanded where it can be."""
    if part.stride(1) == 0 or part.shape[1] == 1:
        return part[:, :1].flatten(1, 2)[:, :1].expand(-1, part.shape[1] * part.shape[2], *part.shape[3:])
    small = tight(part)
    small = small.expand(-1, part.shape[1], part.shape[2], *small.shape[3:]).flatten(1, 2)
    return small.expand(len(part), -1, *part.shape[3:])


def _pooled(call: Call) -> list[Marks]:
    marks = call.main
    space = int(next(sign for sign in call.name if sign.isdigit()))
    first = len(marks.shape) - space
    kernel, padding = _numbers(call["kernel_size"], space), _numbers(call["padding"], space)
    stride = _numbers(call["stride"], space) if call["stride"] else kernel
    dilation = _numbers(call["dilation"], space, 1)
    for at in range(space):
        count, out = marks.shape[first + at], call.outputs[0].shape[first + at]
        table = taps(count, out, kernel[at], stride[at], padding[at], dilation[at])
        marks = windowed(marks, first + at, table, call.label, pools=True)
    return [marks] * len(call.outputs)


def _adaptively_pooled(call: Call) -> list[Marks]:
    marks = call.main
    space = int(next(sign for sign in call.name if sign.isdigit()))
    for axis in range(len(marks.shape) - space, len(marks.shape)):
        out = call.outputs[0].shape[axis]
        if out != marks.shape[axis]:
            marks = windowed(marks, axis, adaptive_taps(marks.shape[axis], out), call.label, pools=True)
    return [marks] * len(call.outputs)


def _enlarged(call: Call) -> list[Marks]:
    """Interpolation along two axes, each of which is probed by itself."""
    marks = call.main
    output = call.outputs[0]
    for axis in (2, 3):
        sides = [output.shape[axis] if at == axis else 1 for at in (2, 3)]

        def run(eye: Tensor, axis: int = axis, sides: list[int] = sides) -> Tensor:
            values = call.values | {"self": eye.unsqueeze(5 - axis), "output_size": sides}
            return call.function(**values).squeeze(5 - axis)

        marks = windowed(marks, axis, probed_taps(run, marks.shape[axis]), call.name)
    return [marks]


def _reduced(call: Call) -> list[Marks]:
    marks = call.main
    axes = _axes(call["dim"], len(marks.shape))
    reduced = gathered(marks, axes, call.label)
    if not call["keepdim"]:
        reduced = reduced.each(lambda part: part.squeeze(tuple(axes)))
    return [reduced] * len(call.outputs)


def _mixed_along(call: Call) -> list[Marks]:
    """Every element along an axis is made of all of them, as in a softmax."""
    marks = call.main
    mixed = gathered(marks, _axes(call["dim"], len(marks.shape)), call.label)
    if call.outputs[0].shape == marks.shape:
        return [_with_positions(mixed, marks)] * len(call.outputs)
    return [joined([mixed], output.shape) for output in call.outputs]


def _with_positions(marks: Marks, before: Marks) -> Marks:
    """Elements that were gathered and given back to their places still have places."""
    parts = [part.expand(before.shape) for part in marks.parts[:ROW]]
    return replace(marks, parts=(*parts, *before.parts[ROW:]))


def _normalized_batch(call: Call) -> list[Marks]:
    training = bool(call["training"]) or call.name == "_batch_norm_with_update"
    first = next(name for name in ("input", "self") if name in call.values)
    marks = call.marks(first)
    assert marks is not None
    if training:
        axes = [axis for axis in range(len(marks.shape)) if axis != 1]
        marks = _with_positions(gathered(marks, axes, call.label), marks)
    return [marks]


def _normalized_groups(call: Call) -> list[Marks]:
    marks = call.main
    count = math.prod(marks.shape[2:])
    if count > 1 or call["group"] != marks.shape[1]:
        grouped = marks.each(lambda part: part.unflatten(1, (call["group"], -1)))
        mixed = gathered(grouped, range(2, len(grouped.shape)), call.label)
        shape = grouped.shape
        marks = _with_positions(joined([mixed], shape), grouped).each(lambda part: part.reshape(marks.shape))
    return [marks]


def _normalized_layers(call: Call) -> list[Marks]:
    marks = call.main
    axes = range(len(marks.shape) - len(call["normalized_shape"]), len(marks.shape))
    return [joined([_with_positions(gathered(marks, axes, call.label), marks)], marks.shape)]


def _multiplied(call: Call) -> list[Marks]:
    """Matrix products, (..., n, k) by (..., k, m) with or without a summand."""
    names = [name for name in call.values if isinstance(call.values[name], Tensor)]
    *summand, left, right = names
    several = []
    if (marks := call.marks(left)) is not None:
        several.append(gathered(marks, [len(marks.shape) - 1], call.label))
    if (marks := call.marks(right)) is not None:
        several.append(gathered(marks, [len(marks.shape) - 2], call.label))
    several += [marks for name in summand if (marks := call.marks(name)) is not None]
    return [joined(several, call.outputs[0].shape)]


def _attended(call: Call) -> list[Marks]:
    several = []
    for name, axes in (
        ("query", (-1,)),
        ("key", (-2, -1)),
        ("value", (-2,)),
        ("attn_mask", (-1,)),
        ("attn_bias", (-1,)),
    ):
        if (marks := call.marks(name)) is not None:
            several.append(gathered(marks, _axes(axes, len(marks.shape)), "attention"))
    return [joined(several, call.outputs[0].shape)]


def constant(call: Call) -> list[Marks]:
    if (value := call.marks("value")) is not None:
        return [joined([value], call.outputs[0].shape)]
    return [nothing(output.shape) for output in call.outputs]


_NAMES: dict[Rule, str] = {
    _kept: "clone _to_copy detach alias lift lift_fresh contiguous",
    _pointwise: "hardswish hardtanh masked_fill _prelu_kernel where log_sigmoid_forward rrelu_with_noise",
    _written: "copy",
    _reshaped: "view _unsafe_view _reshape_alias reshape",
    _restrided: "as_strided",
    _moved: (
        "permute transpose t slice select expand squeeze unsqueeze split split_with_sizes unbind flip roll repeat unfold "
        "diagonal index_select index _unsafe_index gather pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle upsample_nearest1d upsample_nearest2d _upsample_nearest_exact2d upsample_nearest3d"
    ),
    _mirrored: "reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d",
    _catenated: "cat",
    _padded: "constant_pad_nd",
    _convolved: "convolution",
    _pooled: "max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d",
    _adaptively_pooled: "_adaptive_avg_pool2d adaptive_max_pool2d _adaptive_avg_pool3d adaptive_max_pool3d",
    _enlarged: "upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
    _reduced: (
        "mean sum amax amin max min var std var_mean std_mean prod logsumexp linalg_vector_norm any all argmax argmin"
    ),
    _mixed_along: "_softmax _log_softmax cumsum cumprod sort topk",
    _normalized_batch: (
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "miopen_batch_norm _batch_norm_no_update _batch_norm_with_update"
    ),
    _normalized_groups: "native_group_norm",
    _normalized_layers: "native_layer_norm _fused_rms_norm",
    _multiplied: "mm addmm bmm baddbmm",
    _attended: (
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_attention_math_for_mps _scaled_dot_product_fused_attention_overrideable"
    ),
    constant: (
        "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full "
        "new_empty_strided zero fill"
    ),
}
_RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}
_MOVING = (_kept, _moved, _reshaped)


def rule_of(call: Call) -> Rule | None:
    """The rule for an operation, None where it is not known."""
    rule = _RULES.get(call.name) if call.function.namespace == "aten" else None
    if rule is None and torch.Tag.pointwise in call.function.tags:
        rule = _pointwise
    return rule


def only_moves(call: Call) -> bool:
    """Whether an operation gives elements other places and leaves them what they are, so that `Call.rerun` finds them."""
    return _RULES.get(call.name) in _MOVING
