"""The samples of one view between those of another: registration below a pixel, then shift and add.

Attention finds the pixel that is alike; how far between two pixels it lies decides what a second view adds. Lucas and
Kanade (1981, "An iterative image registration technique with an application to stereo vision") measure that from the
images' slopes, with nothing to learn. Shift and add (Elad and Hel-Or 2001, "A fast super-resolution reconstruction
algorithm for pure translational motion and common space-invariant blur") then lays each sample down at its place.
Nothing here passes a gradient to the shift.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, pad, pixel_shuffle, pixel_unshuffle, unfold

from datamodules.functional.resize import bicubic_floats

DAMPING = 1e-6  # of the squared slopes of images in [0, 1]: where there are fainter ones the shift stays
FARTHEST = 0.5  # pixels, of one round: slopes say no more
FINER = 5  # times as many pixels, to sample an image between its own; odd, so that its own are among them
ALIKE = 0.03  # of [0, 1]: how much what is coarse may differ between views of one place
LITTLE = 0.1  # weight of samples below which their mean is drawn to 0


def places(shift: Tensor) -> Tensor:
    """Rows and columns that ``shift`` [N, 2, h, w] leads to from each pixel: [N, 2, h, w]."""
    lines = (torch.arange(side, device=shift.device, dtype=shift.dtype) for side in shift.shape[2:])
    return torch.stack(torch.meshgrid(*lines, indexing="ij")) + shift


def sampled(fine: Tensor, place: Tensor) -> Tensor:
    """An image at rows and columns ``place`` [N, 2, h, w]; beyond the border its pixels.

    ``fine`` is the image enlarged, among whose pixels it is interpolated linearly: torch's own bicubic sampling
    (a = -3/4) bends straight slopes, by as much as the shifts that are measured here.
    """
    h, w = place.shape[2:]
    grid = torch.stack([(2 * place[:, 1] + 1) / w - 1, (2 * place[:, 0] + 1) / h - 1], dim=-1)
    return grid_sample(fine, grid, mode="bilinear", padding_mode="border", align_corners=False)


def median(shift: Tensor, reach: int = 2) -> Tensor:
    """Each component of ``shift`` [N, 2, h, w] by its median over a square: single mistakes vanish, edges stay."""
    side = 2 * reach + 1
    around = unfold(pad(shift, (reach,) * 4, mode="replicate"), side).unflatten(1, (2, side * side))
    return around.median(dim=2).values.unflatten(-1, shift.shape[2:])


def smooth(image: Tensor) -> Tensor:
    """``image`` [N, C, h, w] without what is finer than about four pixels: there slopes mislead, and views alias."""
    return avg_pool2d(avg_pool2d(pad(image, (2,) * 4, mode="replicate"), 3, 1), 3, 1)


@torch.no_grad()
def refined(target: Tensor, other: Tensor, shift: Tensor, in_rows: bool, reach: int = 3, rounds: int = 6) -> Tensor:
    """``shift`` [N, 2, h, w] from ``other`` to ``target`` [N, C, h, w] in [0, 1], to a fraction of a pixel.

    Args:
        target: where it leads to.
        other: where it starts from.
        shift: rows, columns; right to about a pixel.
        in_rows: leave the rows as they are: rectified views.
        reach: of the square over which it is taken to be one.
        rounds: of measuring what is left.
    """
    with torch.autocast(target.device.type, enabled=False):
        target, other = (smooth(image.float().mean(1, keepdim=True)) for image in (target, other))
        shift, fine = median(shift.float()), bicubic_floats(target, FINER)
        for _ in range(rounds):
            seen = sampled(fine, places(shift))
            around = pad(seen, (1,) * 4, mode="replicate")
            down = (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
            right = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
            left_over = other - seen
            products = (down * down, right * right, down * right, down * left_over, right * left_over)
            yy, xx, yx, y, x = avg_pool2d(
                torch.cat(products, dim=1), 2 * reach + 1, 1, reach, count_include_pad=False
            ).split(1, dim=1)
            yy, xx = yy + DAMPING, xx + DAMPING
            if in_rows:
                step = torch.cat([torch.zeros_like(x), x / xx], dim=1)
            else:
                step = torch.cat([y * xx - x * yx, x * yy - y * yx], dim=1) / (yy * xx - yx * yx)
            shift = median(shift + step.clamp(-FARTHEST, FARTHEST))
        return shift


def scattered(target: Tensor, other: Tensor, shift: Tensor, valid: Tensor, scale: int) -> Tensor:
    """What the samples of ``other`` tell beyond ``target``, each laid down between the pixels where it was found.

    A view whose pixels fall between those of ``target`` saw the image there, where ``target`` can only be interpolated.
    The difference is shared among the four nearest pixels of the large grid by bilinear weights. A sample counts for
    little where the views differ in what is coarse, too: there it was found at a wrong place, or nowhere.

    Args:
        target: [N, C, h, w].
        other: [N, C, h, w].
        shift: [N, 2, h, w], from each pixel of ``other`` to its place in ``target``: rows, columns; no gradient.
        valid: [N, 1, h, w], which samples count.
        scale: of the large grid.

    Returns:
        [N, (C + 1) scale^2, h, w]: mean difference and how much there is of it, for each of a pixel's scale^2 parts.
    """
    with torch.autocast(target.device.type, enabled=False):
        N, C, h, w = target.shape
        H, W = h * scale, w * scale
        place = places(shift.detach().float())
        known = sampled(bicubic_floats(target.float(), FINER), place).flatten(2)
        coarse = smooth(other.float()) - sampled(bicubic_floats(smooth(target.float()), FINER), place)
        valid = valid * (-(coarse.square().mean(1, keepdim=True) / ALIKE**2)).exp()
        row, column = ((place + 0.5) * scale - 0.5).flatten(2).unbind(1)  # [N, h w], on the large grid
        difference = torch.cat([other.float().flatten(2) - known, torch.ones_like(known[:, :1])], dim=1)
        total = difference.new_zeros(N, C + 1, H * W)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y, x = row.floor() + i, column.floor() + j
            weight = (1 - (row - y).abs()) * (1 - (column - x).abs()) * valid.flatten(1)
            weight = weight * ((y >= 0) & (y < H) & (x >= 0) & (x < W))
            index = y.long().clamp(0, H - 1) * W + x.long().clamp(0, W - 1)
            total = total.scatter_add(2, index[:, None].expand(-1, C + 1, -1), difference * weight[:, None])
        total = total.unflatten(2, (H, W))
        mean = total[:, :C] / (total[:, C:] + LITTLE)
        return pixel_unshuffle(torch.cat([mean, total[:, C:]], dim=1), scale)


class Given(nn.Module):
    """What ``scattered`` laid down, added to the large image as it is: better than interpolation before any training.

    Args:
        sides: views beside the reference, each with a weight of its own.
        channels: of the images.
        scale: of the large grid.
    """

    def __init__(self, sides: int, channels: int, scale: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((sides,), 1 / sides))
        self.planes, self.scale = channels * scale**2, scale

    def forward(self, laid: Sequence[Tensor]) -> Tensor:
        """What ``scattered`` gives for each side view to one image [N, C, h scale, w scale]."""
        differences = [weight * each[:, : self.planes] for weight, each in zip(self.weights, laid, strict=True)]
        return pixel_shuffle(torch.stack(differences).sum(0), self.scale)
