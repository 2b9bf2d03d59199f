"""InceptionV3 (Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", table 1), to look.

The TensorFlow graph of 2015-12-05 that published scores are measured with. It differs from the paper in its pools:
averages leave out the border, and the last block takes the maximum. Built from torch-fidelity's port, whose function
it is, in less time:

- batch norms are folded into the convolutions, in float64;
- 1x1 convolutions that read the same input are one, and averages come after them, where there are fewer maps;
- ReLU comes after maxima and joins, with which it commutes;
- on a CPU the image passes in portions whose maps stay in the cache and in memory that the process holds already:
  larger ones are mapped anew for each convolution, and touching them costs more than computing them.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from datamodules.functional.pillow import resize_bytes, resize_floats

SIZE = 299
EARLY, LATE = 4, 20  # images of a portion on a CPU: before the second max pool, and after it


Resize = Callable[[Tensor], Tensor]  # uint8 [N, C, H, W] to float32 [N, C, 299, 299], bytes from 128 by 128


def tensorflow_bilinear(image: Tensor, size: int = SIZE) -> Tensor:
    """As in TensorFlow 1, whose corner pixels are not aligned and whose kernel never widens: in [-1, 1)."""
    x = (image.permute(0, 2, 3, 1).float() - 128) / 128  # float32 is exact here
    for dim in (2, 1):
        side = x.shape[dim]
        # In float32, as there: in float64 some places fall on the other side of a pixel.
        place = torch.arange(size, device=x.device) * torch.tensor(side / size, device=x.device)
        low = place.long()
        high = (low + 1).clamp_max(side - 1)
        weight = (place - low).reshape(-1, *[1] * (3 - dim))
        x = torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)
    return x.permute(0, 3, 1, 2)


def pillow_bilinear(image: Tensor) -> Tensor:
    """Pillow's, antialiased and rounded to bytes: in [-1, 1)."""
    return (resize_bytes(image, SIZE).float() - 128) / 128


def pillow_bicubic(image: Tensor) -> Tensor:
    """clean-fid's (Parmar et al. 2022): Pillow's, antialiased, clamped to the range of bytes, not rounded."""
    return (resize_floats(image.float(), SIZE).clamp(0, 255) - 128) / 128


class Conv(nn.Module):
    """Convolutions of one input with their batch norms, as one convolution.

    Args:
        units: torch-fidelity's ``BasicConv2d``, alike but for weights and number of maps.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, *units: Any) -> None:
        super().__init__()
        self.stride, self.padding = units[0].conv.stride, units[0].conv.padding
        weights, biases = zip(*map(_folded, units), strict=True)
        self.register_buffer("weight", torch.cat(weights).float().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", torch.cat(biases).float())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the maps of all units, one after another."""
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)


def _folded(unit: Any) -> tuple[Tensor, Tensor]:
    norm = unit.bn
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return unit.conv.weight.double() * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class Join(nn.Module):
    """Branches side by side.

    Args:
        branches: each reads the input.
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of all branches [N, sum of C, h, w]."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class Mixed(nn.Module):
    """A block whose branches begin with 1x1 convolutions, ended by ReLU.

    Args:
        branches: of each the first ``BasicConv2d``, and what follows it.
        other: a branch that begins otherwise, after all those.
    """

    def __init__(self, branches: Iterable[tuple[Any, nn.Module]], other: nn.Module | None = None) -> None:
        super().__init__()
        units, rests = zip(*branches, strict=True)
        self.widths = [unit.conv.out_channels for unit in units]
        self.first = Conv(*units)
        self.rests = nn.ModuleList(rests)
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        """The maps of all branches."""
        maps = [rest(part) for rest, part in zip(self.rests, self.first(x).split(self.widths, 1), strict=True)]
        return torch.cat(maps if self.other is None else [*maps, self.other(x)], 1).relu_()


def _chain(*units: Any) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for unit in units:
        layers += [Conv(unit), nn.ReLU(inplace=True)]
    return layers[:-1]


def _after(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), *layers)  # not in place: it also makes the part of the first maps a whole


def _mean() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _block_a(its: Any) -> nn.Module:
    five, three = _after(Conv(its.branch5x5_2)), _after(*_chain(its.branch3x3dbl_2, its.branch3x3dbl_3))
    return Mixed(
        [
            (its.branch1x1, nn.Identity()),
            (its.branch5x5_1, five),
            (its.branch3x3dbl_1, three),
            (its.branch_pool, _mean()),
        ]
    )


def _block_b(its: Any) -> nn.Module:
    three = nn.Sequential(*_chain(its.branch3x3dbl_1, its.branch3x3dbl_2, its.branch3x3dbl_3))
    return nn.Sequential(Join(Conv(its.branch3x3), three, nn.MaxPool2d(3, 2)), nn.ReLU(inplace=True))


def _block_c(its: Any) -> nn.Module:
    seven = _after(*_chain(its.branch7x7_2, its.branch7x7_3))
    twice = _after(*_chain(its.branch7x7dbl_2, its.branch7x7dbl_3, its.branch7x7dbl_4, its.branch7x7dbl_5))
    return Mixed(
        [
            (its.branch1x1, nn.Identity()),
            (its.branch7x7_1, seven),
            (its.branch7x7dbl_1, twice),
            (its.branch_pool, _mean()),
        ]
    )


def _block_d(its: Any) -> nn.Module:
    three = _after(Conv(its.branch3x3_2))
    seven = _after(*_chain(its.branch7x7x3_2, its.branch7x7x3_3, its.branch7x7x3_4))
    return Mixed([(its.branch3x3_1, three), (its.branch7x7x3_1, seven)], nn.MaxPool2d(3, 2))


def _branches_e(its: Any) -> list[tuple[Any, nn.Module]]:
    three = _after(Join(Conv(its.branch3x3_2a), Conv(its.branch3x3_2b)))
    twice = _after(
        *_chain(its.branch3x3dbl_2), nn.ReLU(inplace=True), Join(Conv(its.branch3x3dbl_3a), Conv(its.branch3x3dbl_3b))
    )
    return [(its.branch1x1, nn.Identity()), (its.branch3x3_1, three), (its.branch3x3dbl_1, twice)]


def _block_e(its: Any) -> nn.Module:
    return Mixed([*_branches_e(its), (its.branch_pool, _mean())])


def _last_block_e(its: Any) -> nn.Module:
    return Mixed(_branches_e(its), nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(its.branch_pool)))


def _ending_in_maximum(*units: Any) -> nn.Sequential:
    return nn.Sequential(*_chain(*units), nn.MaxPool2d(3, 2), nn.ReLU(inplace=True))


class InceptionNetwork(nn.Module):
    """uint8 RGB images of any size to features, and logits where it goes to the end.

    Args:
        its: torch-fidelity's ``FeatureExtractorInceptionV3``, whose weights are copied.
        tap: width of the features: 64 and 192 after the max pools, 768 and 2048 after the blocks of these widths,
            each the mean over the image. Nothing beyond is computed.
        resize: brings the images to 299 pixels.

    Raises:
        ValueError: for another tap.
    """

    classes: Tensor | None

    def __init__(self, its: Any, tap: int = 2048, resize: Resize = tensorflow_bilinear) -> None:
        super().__init__()
        self.resize = resize
        early: dict[int, list[nn.Module]] = {
            64: [_ending_in_maximum(its.Conv2d_1a_3x3, its.Conv2d_2a_3x3, its.Conv2d_2b_3x3)],
            192: [_ending_in_maximum(its.Conv2d_3b_1x1, its.Conv2d_4a_3x3)],
        }
        late: dict[int, list[nn.Module]] = {
            768: [
                *map(_block_a, (its.Mixed_5b, its.Mixed_5c, its.Mixed_5d)),
                _block_b(its.Mixed_6a),
                *map(_block_c, (its.Mixed_6b, its.Mixed_6c, its.Mixed_6d, its.Mixed_6e)),
            ],
            2048: [_block_d(its.Mixed_7a), _block_e(its.Mixed_7b), _last_block_e(its.Mixed_7c)],
        }
        if tap not in (*early, *late):
            raise ValueError(f"Inception is tapped at one of {[*early, *late]}, not at {tap}.")
        self.early, self.late = _until(tap, early), _until(tap, late)
        self.register_buffer("classes", its.fc.weight.detach() if tap == 2048 else None)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 [N, 3, H, W] to features [N, tap], and logits without bias [N, 1008] of tap 2048."""
        features = torch.cat([self.features(part) for part in _portions(image, LATE)])
        return features, None if self.classes is None else features @ self.classes.T

    def brought(self, image: Tensor) -> Tensor:
        """To size, channels last in memory."""
        return self.resize(image).contiguous(memory_format=torch.channels_last)

    def features(self, image: Tensor) -> Tensor:
        """Those of one portion."""
        x = torch.cat([self.early(self.brought(part)) for part in _portions(image, EARLY)])
        return self.late(x).mean((2, 3))


def _until(tap: int, stages: dict[int, list[nn.Module]]) -> nn.Sequential:
    return nn.Sequential(*(layer for width, layers in stages.items() if width <= tap for layer in layers))


def _portions(image: Tensor, count: int) -> tuple[Tensor, ...]:
    return image.split(count) if image.device.type == "cpu" else (image,)
