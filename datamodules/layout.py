"""Which file belongs to which split and class, read from the names alone.

Three layouts are known, in folders and archives alike; a single folder around everything is stepped into:

- ``train/`` and ``test/`` (else ``val/``) at the top, each with class folders or flat; ``Training`` and the like too;
- class folders at the top;
- all images at the top: no classes, every label is 0.

The first has its split. In the other two, of each class the ``round(share * n)`` files with the smallest sha256 of
"seed/name" are the test split (of the name below the single folder around everything), so that adding or removing a
file leaves most others where they were. A class's number is its place among the sorted class names, as in
torchvision's ImageFolder.

Whatever the layout, a data set has the images of a split in the order of the sha256 of their names (again below the
single folder around everything), not of the names (``mixed``). Files lie class by class, shot by shot, and what looks
at the first so many of a split (a floor, a reference of fixed count, a panel, the parts of an Inception score) would
see one class. The order hangs on nothing but the names: folder and archive, memory and disk, any machine have the
same, and another file is put somewhere between the others, whose order stays.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from posixpath import splitext

from datamodules.open_image import SUFFIXES

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")


@dataclass(frozen=True)
class Layout:
    """The images of both splits.

    Args:
        images: for "train" and "test", pairs of a file's number in its source and its label: in order of names as it
            is read, mixed as a data set has it.
        classes: names of the labels, None where there are none.
        split_by: how train and test were told apart.
        others: files that no image would be called, counted by suffix.
    """

    images: dict[str, list[tuple[int, int]]]
    classes: tuple[str, ...] | None
    split_by: str
    others: Counter[str]


def layout_of(names: list[str], test_share: float, split_seed: int) -> Layout:
    """The layout of the files ``names``.

    Args:
        test_share: share of each class that is for test where the names tell no split.
        split_seed: which files those are.

    Raises:
        ValueError: no layout of the three, or an empty split.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share is {test_share}: set data.init_args.test_share between 0 and 1.")
    suffixes = map(_suffix, names)
    others = Counter(suffix or "without suffix" for suffix in suffixes if suffix not in SUFFIXES)
    numbered = [(i, tuple(name.split("/"))) for i, name in enumerate(names) if _suffix(name) in SUFFIXES]
    if not numbered:
        raise ValueError(f"there is no file with the suffix of an image ({', '.join(SUFFIXES)}).")
    inside = _unwrapped(numbered)
    tops = {parts[0] for _, parts in inside if len(parts) > 1}
    train, test = _called(tops, TRAIN), _called(tops, TEST)
    if train is not None and test is not None:
        parts_of = {"train": _below(inside, train), "test": _below(inside, test)}
        classes = _classes([pair for pairs in parts_of.values() for pair in pairs])
        images = {split: _labelled(pairs, classes) for split, pairs in parts_of.items()}
        others.update(f"in {top}/" if top else "at the top" for top in _left_out(inside, train, test))
        return Layout(images, classes, f"{train}/ and {test}/", others)
    classes = _classes(inside)
    by = f"{test_share:g} of each class for test, seed {split_seed}"
    names_inside = {i: "/".join(parts) for i, parts in inside}
    images = _shared_out(_labelled(inside, classes), names_inside, test_share, split_seed)
    if not all(images.values()):
        raise ValueError(
            f"{len(inside)} images shared out by test_share {test_share} leave a split empty: change "
            "data.init_args.test_share or add images."
        )
    return Layout(images, classes, by, others)


def mixed(layout: Layout, names: Sequence[str]) -> Layout:
    """``layout`` with each split in the order of the sha256 of its files' names.

    Args:
        names: of all files of the source, by number.
    """
    parts = [(i, tuple(names[i].split("/"))) for images in layout.images.values() for i, _ in images]
    drawn = {i: _sha256("/".join(inside)) for i, inside in _unwrapped(parts)}
    images = {split: sorted(pairs, key=lambda pair: drawn[pair[0]]) for split, pairs in layout.images.items()}
    return replace(layout, images=images)


def _called(tops: set[str], names: Sequence[str]) -> str | None:
    """The folder of ``tops`` that has the first of ``names``, however it is written."""
    return next((top for name in names for top in sorted(tops) if top.casefold() == name), None)


Files = list[tuple[int, tuple[str, ...]]]  # numbers in the source, and the parts of the names below the top


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()  # a name on a disk may be any bytes


def _suffix(name: str) -> str:
    return splitext(name)[1].casefold()


def _unwrapped(files: Files) -> Files:
    while len({parts[0] for _, parts in files}) == 1 and all(len(parts) > 1 for _, parts in files):
        files = [(i, parts[1:]) for i, parts in files]
    return files


def _below(files: Files, top: str) -> Files:
    return [(i, parts[1:]) for i, parts in files if parts[0] == top and len(parts) > 1]


def _left_out(files: Files, train: str, test: str) -> list[str]:
    tops = [parts[0] if len(parts) > 1 else "" for _, parts in files]
    return [top for top in tops if top not in (train, test)]


def _classes(files: Files) -> tuple[str, ...] | None:
    depths = {len(parts) > 1 for _, parts in files}
    if len(depths) > 1:
        example = next(parts[0] for _, parts in files if len(parts) == 1)
        raise ValueError(
            f"images such as {example} lie beside class folders: put every image into a class folder, or all of "
            "them at the top."
        )
    return tuple(sorted({parts[0] for _, parts in files})) if depths == {True} else None


def _labelled(files: Files, classes: tuple[str, ...] | None) -> list[tuple[int, int]]:
    number = {name: label for label, name in enumerate(classes or ())}
    return [(i, number.get(parts[0], 0)) for i, parts in files]


def _shared_out(
    images: list[tuple[int, int]], names: dict[int, str], share: float, seed: int
) -> dict[str, list[tuple[int, int]]]:
    by_class: dict[int, list[int]] = {}
    for i, label in images:
        by_class.setdefault(label, []).append(i)

    def drawn(i: int) -> bytes:
        return _sha256(f"{seed}/{names[i]}")

    test: set[int] = set()
    for members in by_class.values():
        test.update(sorted(members, key=drawn)[: round(share * len(members))])
    return {
        "train": [image for image in images if image[0] not in test],
        "test": [image for image in images if image[0] in test],
    }
