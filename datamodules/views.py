"""Scenes of several views as pairs: x the reference view as it should be, y all views small, the reference first.

Two controls say whether a network uses its side views. ``copy_reference`` gives it the reference again in their place,
in training and tests alike: the same network, the same cost, one view. ``shuffled_tests`` adds to each test set one in
which the side views are those of another scene: what they gain there is no use of the scene.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.functional.resize import bicubic_by
from datamodules.pairs import Colour, PairDataModule, PairSet, as_floats, in_colour
from datamodules.patches import Pair, Turns
from datamodules.stream import Batch


class Scene(NamedTuple):
    """Views of one scene at full size."""

    name: str
    place: str  # what it shows: scenes of one clip share it
    views: list[Tensor]  # uint8 [1, C, H, W] each, the reference first


class ViewsDataModule(PairDataModule):
    """Feeds ``(x, y)`` in [0, 1]: x [N, C, H, W] the reference view, y [N, V, C, h, w] all views by MATLAB's bicubic.

    Args:
        scale: how much larger x is.
        images: folders of images below ``root``, of each of which views are made by ``seed``.
        held_out: how many of these, the last by name, are a test set and not trained on.
        copy_reference: give the reference in place of every side view.
        shuffled_tests: add to each test set one whose side views are those of another scene.
        test_seed: by which the views of the test set are made, so that runs of several seeds share it.

    The other arguments are PairDataModule's.

    Attributes:
        views: V.

    Raises:
        ValueError: as the base; a scale below 1; when read, views of different size, named.
    """

    views: int

    def __init__(
        self,
        scale: int,
        images: Sequence[str],
        held_out: int,
        copy_reference: bool,
        shuffled_tests: bool,
        patch: int,
        turns: Turns,
        colour: Colour,
        batch_size: int,
        seed: int,
        device: str,
        root: str | None,
        test_seed: int,
    ) -> None:
        super().__init__(
            patch=patch, turns=turns, colour=colour, batch_size=batch_size, seed=seed, device=device, root=root
        )
        if scale < 1:
            raise ValueError(f"scale is {scale}: set data.init_args.scale to 1 or more.")
        if held_out < 0:
            raise ValueError(f"held_out is {held_out}: set data.init_args.held_out to 0 or more images.")
        self.scales, self.folders, self.held_out = (scale,), tuple(images), held_out
        self.copy_reference, self.shuffled_tests, self.test_seed = copy_reference, shuffled_tests, test_seed

    # --- to be said by a subclass -----------------------------------------------------------------------------

    @abstractmethod
    def make(self, name: str, image: Tensor, number: int, seed: int) -> Scene:
        """The scene of which ``image`` uint8 [1, C, H, W] is a view; ``number`` is its own, ``seed`` its part's."""

    @abstractmethod
    def real_training_scenes(self) -> list[Scene]:
        """Scenes that were photographed, to train on."""

    @abstractmethod
    def real_test_scenes(self) -> Mapping[str, list[Scene]]:
        """Sets of photographed scenes by name, to test on."""

    # --- pairs ------------------------------------------------------------------------------------------------

    @cached_property
    def made(self) -> list[Scene]:
        """The scenes that are made of images, in order of the images' names."""
        images = self.images(self.folders, "images")
        if self.held_out >= len(images) > 0:
            raise ValueError(
                f"{len(images)} images are too few to hold {self.held_out} out: lower data.init_args.held_out."
            )
        seeds = [self.seed] * (len(images) - self.held_out) + [self.test_seed] * self.held_out
        return [self.make(pair.name, pair.x, i, seed) for i, (pair, seed) in enumerate(zip(images, seeds, strict=True))]

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The scenes that are not held out."""
        real = [coloured(scene, self.colour) for scene in self.real_training_scenes()]
        return {self.scales[0]: [self.as_pair(scene) for scene in self.made[: len(self.made) - self.held_out] + real]}

    def pairs(self) -> list[PairSet]:
        """The test sets: what is held out of the made scenes, then the real ones; each followed by its shuffle."""
        return self.test_sets

    @cached_property
    def test_sets(self) -> list[PairSet]:
        """What ``pairs`` gives, made once."""
        scenes = {"synthetic": self.made[len(self.made) - self.held_out :]} if self.held_out else {}
        for name, listed in self.real_test_scenes().items():
            scenes[name] = [coloured(scene, self.colour) for scene in listed]
        everything = [scene for listed in scenes.values() for scene in listed]
        sets = []
        for name, listed in scenes.items():
            sets.append(self.as_set(name, listed))
            if self.shuffled_tests and not self.copy_reference:
                sets.append(self.as_set(f"{name}-shuffled", [shuffled(scene, everything) for scene in listed]))
        return sets

    def as_set(self, name: str, scenes: Sequence[Scene]) -> PairSet:
        """``scenes`` as a test set."""
        pairs = (self.as_pair(scene) for scene in scenes)
        scale = self.scales[0]
        return PairSet(f"{name}-x{scale}", scale, [(pair.x, pair.y) for pair in pairs if pair.y is not None])

    def as_pair(self, scene: Scene) -> Pair:
        """The reference view, and all views small, one after the other in the channels."""
        check_views(scene)
        scale = self.scales[0]
        H, W = (side // scale * scale for side in scene.views[0].shape[2:])
        views = [view[:, :, :H, :W] for view in scene.views]
        small = [bicubic_by(view, 1 / scale) for view in (views[:1] * self.views if self.copy_reference else views)]
        return Pair(scene.name, views[0].contiguous(), torch.cat(small, dim=1))

    # --- batches ----------------------------------------------------------------------------------------------

    def draw(self, item: Tensor) -> Batch:
        """As the base; the views in a dimension of their own."""
        x, y = super().draw(item)
        return x, y.unflatten(1, (self.views, -1))

    def as_given(self, x: Tensor, y: Tensor) -> Batch:
        """As floats, in the colour that they were made in; the views in a dimension of their own."""
        return as_floats(x), as_floats(y).unflatten(1, (self.views, -1))


def coloured(scene: Scene, colour: Colour) -> Scene:
    """``scene`` with its views in ``colour``."""
    return scene._replace(views=[in_colour(view, colour) for view in scene.views])


def shuffled(scene: Scene, scenes: Sequence[Scene]) -> Scene:
    """``scene`` with side views of the next of ``scenes`` that is of another place, fitted to its size.

    Raises:
        ValueError: all are of one place.
    """
    start = next(i for i, other in enumerate(scenes) if other.name == scene.name)
    for other in (*scenes[start:], *scenes[:start]):
        if other.place != scene.place:
            return scene._replace(views=[scene.views[0], *(fitted(view, scene.views[0]) for view in other.views[1:])])
    raise ValueError(
        f"views of one place ({scene.place}) cannot be shuffled: set data.init_args.shuffled_tests to false."
    )


def fitted(view: Tensor, other: Tensor) -> Tensor:
    """``view`` [1, C, H, W] repeated and cropped to the height and width of ``other``."""
    (H, W), (height, width) = other.shape[2:], view.shape[2:]
    return view.repeat(1, 1, -(-H // height), -(-W // width))[:, :, :H, :W]


def check_views(scene: Scene) -> None:
    """Raise ValueError where the views of ``scene`` differ in size or colour."""
    first = tuple(scene.views[0].shape[1:])
    for view in scene.views[1:]:
        if (other := tuple(view.shape[1:])) != first:
            raise ValueError(
                f"{scene.name} has views of {first[2]} x {first[1]} with {first[0]} channels and of {other[2]} x"
                f" {other[1]} with {other[0]}: a scene's views must be of one size and colour."
            )
