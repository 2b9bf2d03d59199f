"""Fast Fourier convolutions (Chi et al. 2020) and LaMa's generator of them (Suvorov et al. 2022, section 2.1).

A layer's maps are in two parts, local and global. Three of the four ways between them are plain 3x3 convolutions; from
global to global leads the spectral transform, which sees the whole image at once:

    x -> 1x1 convolution h (norm, ReLU) -> FFT, a 1x1 convolution (norm, ReLU) of real and imaginary parts, inverse FFT
      -> + h -> 1x1 convolution

so periodic structures, such as windows, go on across a hole. Deviations: no local Fourier units (LaMa has none either);
the FFT is computed in full precision whatever the rest is, since half precision knows powers of two alone.
"""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Filler
from lightning_modules.networks.hole_inputs import masked_beside
from lightning_modules.networks.spectral import full_precision

Parts = tuple[Tensor, Tensor]  # local and global


class FourierUnit(nn.Module):
    """A 1x1 convolution of the spectrum: a convolution that wraps around and is as large as the image.

    Args:
        channels: of what it is given and makes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 1, bias=False), nn.BatchNorm2d(2 * channels), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to the same shape."""
        with full_precision(x.device):
            spectrum = torch.fft.rfft2(x.float(), norm="ortho")
            mixed = self.mix(torch.cat([spectrum.real, spectrum.imag], 1))
            real, imaginary = mixed.chunk(2, 1)
            return torch.fft.irfft2(torch.complex(real, imaginary), x.shape[2:], norm="ortho")


class SpectralTransform(nn.Module):
    """From global maps to global maps.

    Args:
        before: maps that it is given.
        after: maps that it makes.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        inner = max(after // 2, 1)
        self.first = nn.Sequential(nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        self.unit = FourierUnit(inner)
        self.last = nn.Conv2d(inner, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, H, W]."""
        h = self.first(x)
        return self.last(h + self.unit(h))


class FourierConv(nn.Module):
    """A layer of a local and a global part, each with norm and ReLU.

    Args:
        local: local maps, of what it is given and makes.
        spread: global maps, of what it is given and makes.
    """

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.local = reflecting(local + spread, local)  # both ways to the local part, as one convolution
        self.cross = reflecting(local, spread)
        self.transform = SpectralTransform(spread, spread)
        self.norms = nn.ModuleList([nn.BatchNorm2d(local), nn.BatchNorm2d(spread)])

    def forward(self, parts: Parts) -> Parts:
        """Maps [N, local, H, W] and [N, spread, H, W] to the same shapes."""
        local, spread = parts
        near = self.local(torch.cat(parts, 1))
        far = self.cross(local) + self.transform(spread)
        return self.norms[0](near).relu(), self.norms[1](far).relu()


class FourierBlock(nn.Module):
    """Two layers around which both parts are carried.

    Args:
        local: local maps.
        spread: global maps.
    """

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(FourierConv(local, spread), FourierConv(local, spread))

    def forward(self, parts: Parts) -> Parts:
        """Maps [N, local, H, W] and [N, spread, H, W] to the same shapes."""
        local, spread = self.layers(parts)
        return parts[0] + local, parts[1] + spread


class FourierNetwork(Filler):
    """An image with holes to a whole one in [0, 1]: halvings, blocks of Fourier convolutions, enlargements.

    Args:
        depth: how often the sides are halved; they are multiples of 2^depth.
        blocks: of two layers each; 9, and 18 in Big-LaMa.
        width: feature maps of the first convolution, doubled by each halving.
        spread: share of the blocks' maps that are global.

    Raises:
        ValueError: a share that leaves one part without maps; in ``forward``, sides that cannot be halved so often.
    """

    def __init__(self, depth: int = 3, blocks: int = 9, width: int = 64, spread: float = 0.75) -> None:
        super().__init__()
        maps = [width * 2**i for i in range(depth + 1)]
        far = int(maps[-1] * spread)
        if not 0 < far < maps[-1]:
            raise ValueError(f"spread is {spread}: give a share of the maps that leaves some to either part")
        self.multiple, self.sizes = 2**depth, (maps[-1] - far, far)
        self.down = nn.Sequential(
            *normed(reflecting(4, width, 7)),
            *(layer for i in range(depth) for layer in normed(reflecting(maps[i], maps[i + 1], 3, 2))),
        )
        self.blocks = nn.Sequential(*(FourierBlock(*self.sizes) for _ in range(blocks)))
        doubling = [
            nn.ConvTranspose2d(maps[i + 1], maps[i], 3, 2, 1, output_padding=1, bias=False) for i in range(depth)
        ]
        self.up = nn.Sequential(*(layer for double in reversed(doubling) for layer in normed(double)))
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid())

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, 3, H, W] and ``hole`` [N, 1, H, W], True where it is missing, to x [N, 3, H, W]."""
        self.check(*y.shape[2:])
        local, spread = self.down(masked_beside(y, hole)).split(self.sizes, 1)
        parts = self.blocks((local, spread))
        return self.last(self.up(torch.cat(parts, 1)))


def reflecting(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias; beyond the edge the image is mirrored."""
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False, padding_mode="reflect")


def normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """``convolution``, batch norm, ReLU."""
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]
