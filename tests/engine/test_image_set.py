from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from cnnviz_widgets.engine import images as module
from cnnviz_widgets.engine.errors import UnknownNameError
from cnnviz_widgets.engine.images import ImageError, ImageSet, prepare
from cnnviz_widgets.engine.input_spec import InputSpec


def test_samples_are_real_photographs() -> None:
    samples = ImageSet.samples()
    assert {"flower", "china", "chelsea"} <= set(samples.ids)
    assert len(set(samples.ids)) == len(samples) == len(samples.labels)
    assert all(picture.mode == "RGB" and min(picture.size) >= 300 for picture in samples)
    assert samples.labels[samples.ids.index("chelsea")] == "a cat"
    assert samples["chelsea"].tobytes() == samples[samples.ids.index("chelsea")].tobytes()
    assert samples[1:3].ids == samples.ids[1:3]
    assert prepare(samples[:2], InputSpec(size=(3, 32, 32))).shape == (2, 3, 32, 32)
    with pytest.raises(UnknownNameError, match="no image 'chelsie'; did you mean 'chelsea'"):
        samples["chelsie"]
    with pytest.raises(IndexError):
        samples[99]


def test_samples_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.importlib.util.find_spec
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "skimage" else real(name))
    assert set(ImageSet.samples().ids) == {"flower", "china"}


def test_a_set_of_whatever_counts_as_images(tmp_path: Path) -> None:
    path = tmp_path / "tree.png"
    Image.new("RGB", (7, 5), "red").save(path)
    made = ImageSet.of([path, torch.rand(3, 8, 8), str(tmp_path / "missing.png"), Image.new("RGB", (7, 5), "red")])
    assert made.labels == ("tree", "image 1", "missing", "image 3")
    assert made.ids == ("0", "1", "2", "3")
    assert made[0].size == (7, 5)
    assert prepare([made[0], made[1]], InputSpec(size=(3, 8, 8))).shape == (2, 3, 8, 8)
    with pytest.raises(ImageError, match="no file"):
        made[2]
    assert ImageSet.of(made) is made
    assert len(ImageSet.of(torch.rand(4, 3, 8, 8))) == 4
    assert len(ImageSet.of(torch.rand(3, 8, 8))) == len(ImageSet.of(path)) == 1
