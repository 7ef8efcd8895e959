"""Folders of classes, sizes and data sets, held against torchvision and Hugging Face themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

import lrpdyn
from lrpdyn.errors import LrpdynError
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import Observations, load_observations
from lrpdyn.observations.pictures import GREY_AS_COLOURS
from lrpdyn.observations.sizing import parse_sizing

NETWORK = Expected(channels=3)


def _save(path: Path, height: int, width: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(height * 1000 + width)
    shape = (height, width, 3)[: 2 + (mode == "RGB")]
    Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Classes whose sorted order is not that of numbers, a folder within one, sizes that differ."""
    root = tmp_path / "images"
    _save(root / "bees" / "10.png", 40, 31)
    _save(root / "bees" / "9.jpg", 31, 40)
    _save(root / "ants" / "0.png", 35, 50, "L")
    _save(root / "ants-2" / "a" / "x.PNG", 20, 60)
    _save(root / "ants-2" / "b.png", 60, 25)
    (root / "bees" / "Thumbs.db").write_bytes(b"no picture")
    (root / "notes.txt").write_text("loose files are no classes")
    return root


def _as_torchvision(folder: Path, steps: list[Any]) -> tuple[np.ndarray, list[int]]:
    every = [*steps, transforms.ToTensor(), transforms.Normalize(*_IMAGENET)]
    found = [(x.numpy(), y) for x, y in ImageFolder(folder, transforms.Compose(every))]
    return np.stack([x for x, _ in found]), [y for _, y in found]


_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_class_folders_are_what_imagefolder_gives(images: Path) -> None:
    steps = [transforms.Resize(28), transforms.CenterCrop(24)]
    values, labels = _as_torchvision(images, steps)
    found = load_observations([images], NETWORK, resize=28, crop="center:24", scale="imagenet")
    np.testing.assert_allclose(found.values[:], values, atol=1e-6)
    assert list(found.labels) == labels
    assert list(found.classes) == ImageFolder(images).classes
    assert GREY_AS_COLOURS in found.notes
    names = [Path(path).relative_to(images).as_posix() for path, _ in ImageFolder(images).samples]
    assert list(found.sample_names) == names


@pytest.mark.parametrize("size", [(37, 91), (91, 37), (24, 24), (23, 25), (10, 15), (1, 2)])
@pytest.mark.parametrize(
    ("resize", "crop", "steps"),
    [
        (24, None, [transforms.Resize(24)]),
        ("24x31", None, [transforms.Resize((24, 31))]),
        ("25:bicubic", "center:24",
         [transforms.Resize(25, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(24)]),
        (None, "center:21x30", [transforms.CenterCrop((21, 30))]),
    ],
)  # fmt: skip
def test_sizes_are_those_of_torchvision(
    size: tuple[int, int], resize: Any, crop: str | None, steps: list[Any]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    wanted = transforms.Compose(steps)(Image.fromarray(pixels))
    sizing = parse_sizing(resize, crop)
    assert sizing is not None
    found = sizing.apply(pixels)
    np.testing.assert_array_equal(found, np.asarray(wanted))
    assert found.shape[:2] == (sizing.crop or sizing.resized(*size))


def _load(source: Any, **options: Any) -> Observations:
    return load_observations([source], NETWORK, **{"scale": 255, **options})


def test_data_sets_are_read_as_their_loader_reads_them(images: Path) -> None:
    plain = ImageFolder(images)
    found = _load(plain, resize=28, crop="center:24", samples="3,0")
    wanted = _load(images, resize=28, crop="center:24", samples="3,0")
    np.testing.assert_array_equal(found.values[:], wanted.values[:])
    assert found.labels == wanted.labels == (2, 0)
    assert found.classes == wanted.classes
    steps = [transforms.Resize((24, 24)), transforms.ToTensor()]
    tensors = Subset(ImageFolder(images, transforms.Compose(steps)), [4, 1])
    loaded = _load(tensors, scale=None)
    np.testing.assert_array_equal(loaded.values[:], torch.stack([x for x, _ in tensors]).numpy())
    assert loaded.labels == tuple(y for _, y in tensors)


def test_data_sets_of_hugging_face(images: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ants", "bees"])}
    )
    paths = [str(images / "bees" / "10.png"), str(images / "bees" / "9.jpg")]
    data = datasets.Dataset.from_dict({"image": paths, "label": [1, 0]}, features=features)
    found = _load(data, resize="24x24")
    pictures = [
        np.asarray(row["image"].resize((24, 24), Image.Resampling.BILINEAR)) for row in data
    ]
    wanted = np.moveaxis(np.stack(pictures), -1, 1) / np.float32(255)
    np.testing.assert_array_equal(found.values[:], wanted.astype(np.float32))
    assert (found.labels, found.classes) == ((1, 0), ("ants", "bees"))


def test_labels_of_a_file_are_matched_by_name(images: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label\nimages/bees/9.jpg,5\n10.png,ants\nelsewhere/9.jpg,7\n")
    found = _load(images / "bees", resize="24x24", labels=table)
    assert (found.sample_names, found.labels) == (("9.jpg", "10.png"), (5, "ants"))
    table.write_text("label\n3\n4\n")
    assert _load(images / "bees", resize="24x24", labels=table, samples="1").labels == (4,)


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (lambda root: (root / "wasps").mkdir(), {}, "wasps: this class folder holds no .png"),
        (lambda root: (root / "bees" / "a.webp").touch(), {}, "a.webp: expected .png or .jpg"),
        (lambda root: (root / "bees" / "11.png").write_bytes(b"x"), {}, "11.png: cannot be read"),
        (lambda root: [_save(root / "bees" / s / "0.png", 9, 9) for s in "xy"]
         + [(root / "bees" / f).unlink() for f in ("9.jpg", "10.png")], {}, "give .*bees"),
        (lambda root: None, {"resize": None}, "--resize 224 --crop center:224"),
        (lambda root: None, {"resize": "big"}, "--resize big: expected"),
        (lambda root: None, {"crop": "9"}, "--crop 9: expected center"),
        (lambda root: (root.parent / "l.csv").write_text("0.png,1\n"), {"labels": "l.csv"},
         "no row for .*b.png|no row for"),
        (lambda root: (root.parent / "l.csv").write_text("1\n2\n"), {"labels": "l.csv"},
         "has 2 labels, expected 5"),
        (lambda root: (root.parent / "l.csv").write_text("a,1,2\n"), {"labels": "l.csv"},
         "found 3 columns"),
    ],
)  # fmt: skip
def test_what_is_refused(images: Path, change: Any, options: dict[str, Any], says: str) -> None:
    change(images)
    if "labels" in options:
        options = {"labels": images.parent / options["labels"]}
    with pytest.raises(LrpdynError, match=says) as error:
        _load(images, **{"resize": "24x24", **options})
    assert "\n" not in str(error.value)


def test_data_sets_that_are_random_or_no_pictures_are_refused(images: Path) -> None:
    steps = [transforms.Resize((24, 24)), transforms.RandomCrop(9), transforms.ToTensor()]
    with pytest.raises(LrpdynError, match="another each time it is read"):
        _load(ImageFolder(images, transforms.Compose(steps)), scale=None)
    with pytest.raises(LrpdynError, match="entry 1 has shape"):
        _load(ImageFolder(images))
    with pytest.raises(LrpdynError, match="expected a picture"):
        _load(ImageFolder(images, lambda picture: "text"))


class _Small(nn.Module):
    """A classifier of three classes."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 25, classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step in (1, 2):
        torch.manual_seed(step)
        torch.save(_Small().state_dict(), folder / f"step_{step}.pt")
    return folder


def _compute(checkpoints: Path, observations: Any, **options: Any) -> lrpdyn.Run:
    usual = {"resize": 28, "crop": "center:24", "scale": "imagenet", "target": "labels",
             "arch": f"{__file__}:_Small", "out": checkpoints.parent / "run", "workers": 1,
             "faithfulness": "none", "baseline": "none", "quiet": True}  # fmt: skip
    return lrpdyn.compute(checkpoints, observations, **{**usual, **options})


def test_labels_are_explained(images: Path, checkpoints: Path) -> None:
    run = _compute(checkpoints, images)
    labels = [label for _, label in ImageFolder(images).samples]
    assert run.manifest["target"] == {"policy": "labels", "values": labels}
    network = _Small()
    network.load_state_dict(torch.load(checkpoints / "step_2.pt"))
    steps = [transforms.Resize(28), transforms.CenterCrop(24)]
    values, _ = _as_torchvision(images, steps)
    with torch.no_grad():
        outputs = network(torch.from_numpy(values)).numpy()
    scores = outputs[np.arange(5), labels] - outputs.mean(axis=1)
    last = run.metrics[run.metrics["step"] == 2]
    np.testing.assert_allclose(last["score"], scores, atol=1e-5)
    again = _compute(checkpoints, ImageFolder(images), out=checkpoints.parent / "again")
    np.testing.assert_array_equal(again.dynamics, run.dynamics)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"observations": "images/bees"}, "9.jpg has no label"),
        ({"arch_args": {"classes": 4}}, "3 classes .*the head has 4 units"),
        ({"labels": "labels.csv"}, "has the label 9, expected a unit from 0 to 2"),
    ],
)
def test_labels_that_are_no_units(
    images: Path, checkpoints: Path, options: dict[str, Any], says: str
) -> None:
    (checkpoints.parent / "labels.csv").write_text("label\n0\n1\n9\n0\n1\n")
    if "arch_args" in options:
        for step in (1, 2):
            torch.save(_Small(4).state_dict(), checkpoints / f"step_{step}.pt")
    observations = checkpoints.parent / options.pop("observations", "images")
    if "labels" in options:
        options = {"labels": checkpoints.parent / options["labels"]}
    with pytest.raises(LrpdynError, match=says):
        _compute(checkpoints, observations, **options)
