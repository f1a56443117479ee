"""A saved picture tells how it was made, well enough to make it again; what is no such picture is refused."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import nn

from cnnviz_widgets.engine.best import maximize
from cnnviz_widgets.engine.network import InputSpec, Network
from cnnviz_widgets.engine.objectives import activation, deep_dream, direction, others
from cnnviz_widgets.engine.origin import origin
from cnnviz_widgets.engine.parameterizations import Fourier, Pixels
from cnnviz_widgets.engine.recipes import Recipe
from cnnviz_widgets.engine.regularizers import GaussianBlur, Jitter, L2Decay, Noise
from cnnviz_widgets.engine.steppers import Adam, Constant, ProbabilityProgress, Progress


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(seed: int = 0, channels: int = 4) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Tanh(), nn.Flatten(), nn.Linear(channels * 100, 3))
    return Network(module, InputSpec(size=(3, 12, 12), mean=(0.4, 0.5, 0.6)), labels=["owl", "Uhu", "ウフ"])


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


PHOTOGRAPH = torch.rand(3, 14, 12, generator=torch.Generator().manual_seed(1))
RECIPES = {
    "plain": Recipe(stepper=Progress(0.05), steps=4, seed=3),
    "random": Recipe(Fourier(), (Jitter(3), Noise(3.0), L2Decay(0.01)), Adam(0.05), steps=4, draws=2, chunk=2),
    "probability": Recipe(stepper=ProbabilityProgress(), steps=3),
    "tried": Recipe(regularizers=(L2Decay(0.3),), stepper=Constant(10.0, probe=True), steps=3),
    "photograph": Recipe(Pixels(3.0, photograph=PHOTOGRAPH), (GaussianBlur(0.5),), Progress(0.05), steps=2),
    "full": Recipe(stepper=Progress(0.05), steps=3, canvas="full"),
}


def goals(net: Network) -> list[Any]:
    return [
        net.unit("ウフ"),
        net["0"][2, "center"],
        activation(net["0"][1], at="post") - 0.25 * others(net["0"][1], "max"),
        direction(net["1"], [0.5, -1, 0.25, 1], 1.5) + deep_dream(net["0"]),
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_read_makes_the_same_file_again(net: Network, name: str, tmp_path: Path) -> None:
    result = maximize(net, goals(net), RECIPES[name])
    files = result.save(tmp_path / "first.png", "none")
    for number, file in enumerate(files):
        found = origin(file, net)
        assert found.objective == result.objectives[number]
        assert found.recipe == RECIPES[name]
        assert found.same_weights
        assert found.facts["path"] == str(result.paths[number])
        again = maximize(net, found.objective, found.recipe)
        assert torch.equal(again.image[0], result.image[number])
        (copy,) = again.save(tmp_path / "again.png", "none")
        assert copy.read_bytes() == file.read_bytes()


def test_a_copy_and_another_recipe_of_a_list_are_made_again_too(net: Network, tmp_path: Path) -> None:
    given = [RECIPES["plain"], RECIPES["full"].replace(stepper=Progress(0.1))]
    result = maximize(net, net["0"][2, "center"], given, copies=2)
    files = result.save(tmp_path / "first.png")
    assert len({file.read_bytes() for file in files}) == 4
    for number, file in enumerate(files):
        found = origin(file, net)
        assert found.recipe.seed == [3, 4, 0, 1][number]
        (copy,) = maximize(net, found.objective, found.recipe).save(tmp_path / "again.png")
        assert copy.read_bytes() == file.read_bytes()


@pytest.fixture(scope="module")
def written(net: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (file,) = maximize(net, net.unit("owl"), RECIPES["plain"]).save(tmp_path_factory.mktemp("origin") / "owl.png")
    return file


def test_from_a_path_its_text_bytes_or_a_picture(net: Network, written: Path) -> None:
    with Image.open(written) as picture:
        given = [written, str(written), written.read_bytes(), picture]
        found = [origin(one, net) for one in given]  # type: ignore[arg-type]
    assert len({one.objective for one in found}) == len({one.recipe for one in found}) == 1
    assert found[0].facts.keys() >= {"objective", "goals", "recipe", "path", "network", "stretch", "torch"}


def test_other_weights_are_told(written: Path) -> None:
    other = network(seed=1)
    found = origin(written, other)
    assert not found.same_weights
    assert maximize(other, found.objective, found.recipe.replace(steps=1)).image.shape == (1, 3, 12, 12)


def test_the_sheet_tells_of_its_first_image(net: Network) -> None:
    result = maximize(net, goals(net), RECIPES["plain"])
    found = origin(result._repr_png_(), net)
    assert found.objective == result.objective
    assert len(json.loads(found.facts["goals"])) == 4


def told(written: Path) -> dict[str, str]:
    with Image.open(written) as picture:
        return {key: str(value) for key, value in picture.text.items()}  # type: ignore[attr-defined]


def png(facts: dict[str, str], size: tuple[int, int] = (12, 12), *, compressed: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in facts.items():
        info.add_itxt(key, value, zip=compressed)
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_a_picture_that_was_rewritten_with_its_text_is_as_good(net: Network, written: Path) -> None:
    assert origin(png(told(written), (3, 5)), net).recipe == RECIPES["plain"]
    assert origin(png(told(written), compressed=True), net).recipe == RECIPES["plain"]


NEST = '{"class": "Weighted", "weight": 1.0, "objective": '
GOAL = '{"class": "Activation", "unit": {"unit": ["0", 1, null]}}'


@pytest.mark.parametrize(
    "changed",
    [
        {"cnnviz:recipe": None},
        {"cnnviz:goals": None},
        {"cnnviz:recipe": None, "cnnviz:goals": None},
        {"cnnviz:recipe": ""},
        {"cnnviz:recipe": "Recipe(steps=3)"},
        {"cnnviz:recipe": "null"},
        {"cnnviz:recipe": "[]"},
        {"cnnviz:recipe": '{"steps": "3"}'},
        {"cnnviz:recipe": '{"steps": 1' + "0" * 5000 + "}"},
        {"cnnviz:recipe": '{"stepper": {"class": "os.system", "command": "true"}}'},
        {"cnnviz:recipe": '{"regularizers": [{"class": "MyOwn", "strength": 1.0}]}'},
        {"cnnviz:recipe": '{"parameterization": {"class": "Pixels", "photograph": "/etc/passwd"}}'},
        {"cnnviz:recipe": '{"parameterization": {"class": "Pixels", "photograph": {"values": "float32 9999x9999 "}}}'},
        {"cnnviz:recipe": '{"a":' * 50_000},
        {"cnnviz:goals": ""},
        {"cnnviz:goals": "0[1]"},
        {"cnnviz:goals": "null"},
        {"cnnviz:goals": "[]"},
        {"cnnviz:goals": "{}"},
        {"cnnviz:goals": "3"},
        {"cnnviz:goals": "[3]"},
        {"cnnviz:goals": "[[]]"},
        {"cnnviz:goals": '["0[1]"]'},
        {"cnnviz:goals": "[" * 50_000},
        {"cnnviz:goals": f"[{NEST * 400}{GOAL}{'}' * 400}]"},
        {"cnnviz:goals": '[{"class": "Regularizer"}]'},
        {"cnnviz:goals": f"[{NEST}3}}]"},
        {"cnnviz:goals": '[{"class": "Activation", "unit": {"unit": ["conv9", 1, null]}}]'},
        {"cnnviz:goals": '[{"class": "Activation", "unit": {"unit": ["0", 4, null]}}]'},
        {"cnnviz:goals": '[{"class": "Activation", "unit": {"unit": ["2", 1, null]}, "at": "post"}]'},
        {"cnnviz:goals": '[{"class": "Probability", "unit": {"unit": ["0", 1, null]}}]'},
        {"cnnviz:goals": '[{"class": "Diversity", "layer": {"layer": "3"}}]'},
    ],
    ids=lambda changed: str(changed)[:60],
)
def test_text_that_tells_no_picture_is_refused(net: Network, written: Path, changed: dict[str, str | None]) -> None:
    facts = {key: value for key, value in {**told(written), **changed}.items() if value is not None}
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs from case to case
        origin(png(facts), net)


def itxt(key: str, size: int) -> bytes:
    """A text chunk of that many compressed characters."""
    data = key.encode() + b"\x00\x01\x00\x00\x00" + zlib.compress(b" " * size, 9)
    return len(data).to_bytes(4, "big") + b"iTXt" + data + zlib.crc32(b"iTXt" + data).to_bytes(4, "big")


def test_giant_texts_are_refused(net: Network, written: Path) -> None:
    plain = written.read_bytes()
    behind = plain.index(b"IDAT") - 4
    for parts in ([itxt("cnnviz:more", 80_000_000)], [itxt(f"cnnviz:{n}", 1_000_000) for n in range(80)]):
        with pytest.raises(ValueError):  # noqa: PT011 - Pillow's text or ours
            origin(plain[:behind] + b"".join(parts) + plain[behind:], net)


@pytest.mark.parametrize("cut", [0, 4, 30, 200])
def test_a_file_that_is_not_whole_is_refused(net: Network, written: Path, cut: int) -> None:
    with pytest.raises(ValueError, match=r"no PNG picture|tells no recipe"):
        origin(written.read_bytes()[:cut], net)


def test_what_is_no_such_picture_is_told(net: Network, written: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the file is no PNG picture"):
        origin(tmp_path / "nowhere.png", net)
    with pytest.raises(ValueError, match="the file is no PNG picture"):
        origin(tmp_path, net)
    Image.new("RGB", (3, 3)).save(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match="the file is no PNG picture"):
        origin(tmp_path / "photo.jpg", net)
    with Image.open(written) as picture:
        Image.fromarray(np.asarray(picture)).save(tmp_path / "screenshot.png")
    with pytest.raises(ValueError, match=r"tells no recipe.*screenshots and most messengers drop the text inside"):
        origin(tmp_path / "screenshot.png", net)


def test_a_layer_that_another_network_has_not_is_told(net: Network, tmp_path: Path) -> None:
    (file,) = maximize(net, net["0"][3], RECIPES["plain"], steps=1).save(tmp_path / "unit.png")
    with pytest.raises(ValueError, match=r"Activation can't be made of what was read: .*0 to 2"):
        origin(file, network(channels=3))
    other = Network(nn.ModuleDict({"first": nn.Conv2d(3, 4, 3)})["first"], InputSpec(size=(3, 12, 12)))
    assert origin(png({"cnnviz:recipe": "{}", "cnnviz:goals": f"[{GOAL}]"}), net).objective == activation(net["0"][1])
    with pytest.raises(ValueError, match="no layer '0'"):
        origin(file, other)
