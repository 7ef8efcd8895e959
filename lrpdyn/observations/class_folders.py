"""Folders of classes, ``images/ants/0.jpg``, with the order and labels of torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lrpdyn.errors import ObservationError
from lrpdyn.files.nearby import ARRAYS, IMAGES

#: What ImageFolder takes besides: such a picture left out would change the numbers of the samples.
_NOT_READ = (".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """Pictures in folders of classes.

    Attributes
    ----------
    classes
        The names of the folders, sorted: a label is a place among them.
    files
        The pictures, class by class, each class in the order of its files' names.
    labels
        One a file.
    """

    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]


def is_of_classes(folder: Path) -> bool:
    """Tell whether a folder holds folders and no observations of its own."""
    inside = list(folder.iterdir())
    if any(path.suffix.lower() in IMAGES + ARRAYS and not path.is_dir() for path in inside):
        return False
    return any(path.is_dir() for path in inside)


def class_folders(folder: Path) -> ClassFolders:
    """Return the pictures of a folder of class folders.

    Raises
    ------
    ObservationError
        A class has no pictures, or some that are not read, or its folders seem to be the classes.
    """
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(_inside(folder / name, ()), key=lambda path: (str(path.parent), path.name))
        strange = [path for path in found if path.suffix.lower() in _NOT_READ]
        if strange:
            raise ObservationError(
                f"{strange[0]}: expected .png or .jpg pictures; convert it, or move it out of {folder}"
            )
        pictures = [path for path in found if path.suffix.lower() in IMAGES]
        if not pictures:
            raise ObservationError(
                f"{folder / name}: this class folder holds no .png or .jpg picture; add some, or move it "
                f"out of {folder}, whose folders are numbered as classes"
            )
        deeper = sorted({path.relative_to(folder / name).parts[0] for path in pictures})
        if len(deeper) > 1 and all((folder / name / one).is_dir() for one in deeper):
            raise ObservationError(
                f"{folder / name}: holds folders of pictures, {', '.join(deeper[:3])}, and no pictures; if "
                f"these are the classes, give {folder / name}"
            )
        files += pictures
        labels += [label] * len(pictures)
    return ClassFolders(classes=tuple(classes), files=tuple(files), labels=tuple(labels))


def _inside(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files at any depth; a link that leads back to a folder above is not followed."""
    own = folder.resolve()
    for path in [] if own in above else folder.iterdir():
        if path.is_dir():
            yield from _inside(path, (*above, own))
        else:
            yield path
