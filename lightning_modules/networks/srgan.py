"""SRGAN's discriminator (Ledig et al. 2017, figure 4): eight 3x3 convolutions, two dense layers.

The widths are 64, 64, 128, 128, ... 512, every second convolution halves the sides, LeakyReLU has slope 0.2, all
convolutions but the first are followed by batch norm. The first dense layer fixes the side of its patches.
Deviation: it returns the logit, without the sigmoid.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator


class SRGANDiscriminator(Discriminator):
    """Patches [N, channels, size, size] to logits [N].

    Args:
        size: side of the patches in px.
        channels: of the images.
        width: of the first convolution; the last has eight times as many channels.
        dense: width of the hidden dense layer.
        batch_norm: normalise; to be off under a gradient penalty, which is defined for single samples.
    """

    def __init__(
        self, size: int = 96, channels: int = 3, width: int = 64, dense: int = 1024, batch_norm: bool = True
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be 1 or more, got {size}")
        self.image_shape = (channels, size, size)
        widths = [width * 2 ** (i // 2) for i in range(8)]
        blocks = [
            block(before, after, stride=1 + i % 2, batch_norm=batch_norm and i > 0)
            for i, (before, after) in enumerate(zip([channels, *widths[:-1]], widths, strict=True))
        ]
        side = -(-size // 16)  # each stride rounds up
        hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * side * side, dense), nn.LeakyReLU(0.2, inplace=True)
        )
        self.blocks = nn.Sequential(*blocks, hidden)
        self.head = nn.Linear(dense, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not looked at."""
        return self.verdict(self.features(x))


def block(before: int, after: int, stride: int, batch_norm: bool) -> nn.Sequential:
    """One convolution and what follows it."""
    layers: list[nn.Module] = [nn.Conv2d(before, after, 3, stride, padding=1, bias=not batch_norm)]
    layers += [nn.BatchNorm2d(after)] if batch_norm else []
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))
