"""Patches of images of any sizes: cut, turned and stacked by one indexing operation a batch, wherever the bytes lie."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from datamodules.functional.devices import sent
from datamodules.stream import Batch, Feed, ItemSet

Turns = Literal["all", "flips", "vertical", "mirror", "none"]
TURNS: dict[str, tuple[int, ...]] = {
    "all": tuple(range(8)),
    "flips": (0, 1, 2, 3),
    "vertical": (0, 1),
    "mirror": (0, 2),
    "none": (0,),
}


class Pair(NamedTuple):
    """An image to be produced and what it is produced from."""

    name: str
    x: Tensor  # uint8 [1, C, H, W]
    y: Tensor | None  # uint8 [1, D, H / scale, W / scale]; None where it is made of x, patch by patch


class Places(NamedTuple):
    """Where patches lie: each of them int64 [N]."""

    image: Tensor
    top: Tensor
    left: Tensor


class Canvas:
    """Images with equal channels and any sizes, their bytes laid end to end.

    Args:
        images: uint8 [1, C, H, W] each.
    """

    def __init__(self, images: Sequence[Tensor]) -> None:
        self.channels = images[0].shape[1]
        self.pixels = torch.cat([image.flatten() for image in images])
        self.size = torch.tensor([image.shape[2:] for image in images])  # int64 [n, 2]
        ends = torch.tensor([image.numel() for image in images]).cumsum(0)
        self.start = torch.cat([ends.new_zeros(1), ends[:-1]])

    def to(self, device: str) -> Self:
        """This canvas, its tensors on ``device``."""
        self.pixels, self.size, self.start = (t.to(device) for t in (self.pixels, self.size, self.start))
        return self

    def cut(self, places: Places, side: int, turn: Tensor) -> Tensor:
        """The squares of ``side`` pixels at ``places``, each turned by its ``turn`` [N] in 0 to 7: uint8 [N, C, s, s].

        A turn's first bit flips top and bottom, its second left and right, and its third exchanges rows and columns.
        """
        height, width = self.size[places.image].unbind(1)
        down, right, across = (1 - 2 * (turn & 1)) * width, 1 - (turn & 2), (turn & 4).bool()  # steps of one pixel
        corner = self.start[places.image] + places.top * width + places.left
        corner = corner + (side - 1) * ((turn & 1) * width + (turn >> 1 & 1))  # where the turned patch begins
        line = torch.arange(side, device=turn.device)
        rows = corner[:, None] + torch.where(across, right, down)[:, None] * line  # [N, s]
        columns = torch.where(across, down, right)[:, None] * line
        index = rows[:, :, None] + columns[:, None]
        if self.channels > 1:
            planes = torch.arange(self.channels, device=turn.device)[:, None] * (height * width)  # [C, N]
            index = index[:, None] + planes.T[:, :, None, None]
        return self.pixels[index].view(len(turn), self.channels, side, side)


class Grid:
    """Every place of a patch on a grid: ``stride`` pixels from one to the next in each image.

    Args:
        size: height and width of each image, int64 [n, 2].
        side: of a patch.
        stride: between two.
    """

    def __init__(self, size: Tensor, side: int, stride: int) -> None:
        self.steps = (size - side) // stride + 1  # int64 [n, 2]
        self.stride = stride
        self.ends = self.steps.prod(1).cumsum(0)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def places(self, item: Tensor) -> Places:
        """Those of the numbers ``item`` [N]: image after image, row after row."""
        ends, steps = self.ends.to(item.device), self.steps.to(item.device)
        image = torch.searchsorted(ends, item, right=True)
        rest = item - (ends - steps.prod(1))[image]
        columns = steps[image, 1]
        return Places(image, rest // columns * self.stride, rest % columns * self.stride)


class Patches(ItemSet):
    """What training patches are cut from. An item is a place on the grid; without a stride an image, cut anywhere.

    Args:
        name: of the data.
        pairs: at one scale.
        scale: how much larger x is than y.
        side: of a patch of x; the scale divides it.
        stride: between two places on the grid, in pixels of x; the scale divides it. None draws the place.
        turns: which of the eight turns are drawn.

    Raises:
        ValueError: a side or stride that the scale does not divide, or an image smaller than a patch, named.
    """

    split = "train"

    def __init__(
        self,
        name: str,
        pairs: Sequence[Pair],
        scale: int,
        side: int,
        stride: int | None = None,
        turns: Turns = "all",
    ) -> None:
        for what, length in (("patch", side), ("stride", scale if stride is None else stride)):
            if length < 1 or length % scale:
                raise ValueError(f"{what} is {length}: set data.init_args.{what} to a multiple of the scale, {scale}.")
        for pair in pairs:
            if pair.x.shape[1] != pairs[0].x.shape[1]:
                raise ValueError(
                    f"{pair.name} has {pair.x.shape[1]} channels and {pairs[0].name} {pairs[0].x.shape[1]}: set "
                    "data.init_args.colour to rgb, luma or grey."
                )
            if min(pair.x.shape[2:]) < side:
                height, width = pair.x.shape[2:]
                raise ValueError(
                    f"{pair.name} is {width} x {height}, smaller than a patch of {side}: set data.init_args.patch "
                    "below, or leave it out."
                )
        self.name, self.scale, self.side = name, scale, side
        self.turn = torch.tensor(TURNS[turns])
        self.x = Canvas([pair.x for pair in pairs])
        conditions = [pair.y for pair in pairs if pair.y is not None]
        self.y = Canvas(conditions) if conditions else None
        self.small = self.x.size // scale  # int64 [n, 2]: places count in pixels of y
        self.grid = None if stride is None else Grid(self.small, side // scale, stride // scale)

    def __len__(self) -> int:
        return len(self.small) if self.grid is None else len(self.grid)

    def __getitem__(self, index: slice) -> Tensor:
        return torch.arange(len(self))[index]

    def take(self, index: Tensor) -> Batch:
        """The numbers ``index`` themselves: what they stand for is cut on the device, by what is drawn there."""
        return index, index

    def feed(self, indices: Iterable[Tensor], pinned: bool = False) -> Feed:
        """As ``take``."""
        return Numbers(indices)

    def to(self, device: str) -> Self:
        """This set, its bytes on ``device``."""
        for canvas in (self.x, self.y):
            if canvas is not None:
                canvas.to(device)
        self.turn, self.small = self.turn.to(device), self.small.to(device)
        return self

    def cut(self, item: Tensor, device: torch.device | None = None) -> tuple[Tensor, Tensor | None]:
        """Patches of x and y for the numbers ``item`` [N], drawn from the global stream: uint8 [N, C, side, side] each,
        those of y smaller by the scale, on ``device``, that of ``item`` unless given."""
        device, item = device or item.device, item.to(self.x.pixels.device)
        places = self._anywhere(item) if self.grid is None else self.grid.places(item)
        turn = self.turn[torch.randint(len(self.turn), item.shape, device=item.device)]
        large = Places(places.image, places.top * self.scale, places.left * self.scale)
        x = sent(self.x.cut(large, self.side, turn), device)
        return x, None if self.y is None else sent(self.y.cut(places, self.side // self.scale, turn), device)

    def _anywhere(self, image: Tensor) -> Places:
        free = self.small[image] - self.side // self.scale + 1  # [N, 2]
        corner = (torch.rand(free.shape, device=free.device) * free).long()
        return Places(image, corner[:, 0], corner[:, 1])

    @cached_property
    def sha256(self) -> str:
        """Hash of the images' sizes and bytes, those of x and of y."""
        digest = hashlib.sha256()
        for canvas in (self.x, self.y):
            if canvas is not None:
                digest.update(str(canvas.size.tolist()).encode())
                digest.update(canvas.pixels.cpu().numpy().data)
        return digest.hexdigest()


class Numbers:
    """Batches of numbers, as x and as y."""

    def __init__(self, indices: Iterable[Tensor]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[Batch]:
        return ((index, index) for index in self.indices)

    def close(self) -> None:
        """Nothing was begun."""
