"""Images that a generator made earlier, so that D does not forget them (Shrivastava et al. 2017, section 2.3).

As CycleGAN uses it (Zhu et al. 2017, section 4): while fewer than ``size`` images are held, each new one is kept and
shown to D; then half of the new ones, drawn at random, take the place of an old one, which is shown instead.
Deviation: the new images of one batch take different places.
"""

import torch
from torch import Tensor


class History:
    """Images of a generator's past.

    Args:
        size: how many are held; 0 shows new ones alone.

    Raises:
        ValueError: a size below 0.
    """

    def __init__(self, size: int = 50) -> None:
        if size < 0:
            raise ValueError(f"history is {size}: give the number of images that are kept, 0 or more")
        self.size = size
        self.images: Tensor | None = None  # [held, C, H, W], as the last ones were

    def __len__(self) -> int:
        return 0 if self.images is None else len(self.images)

    @torch.no_grad()
    def exchange(self, new: Tensor) -> Tensor:
        """Take in ``new`` [N, C, H, W] and give what D is to see: [N, C, H, W]. Draws from the global stream."""
        if self.images is not None:  # a checkpoint's may be of another device or precision
            self.images = self.images.to(new)
        free = min(len(new), self.size - len(self))
        kept, rest = new[:free], new[free:]
        if free:
            self.images = kept.clone() if self.images is None else torch.cat([self.images, kept])
        if self.images is None or not len(rest):
            return new
        many = min(len(rest), self.size)
        place = torch.randperm(self.size, device=new.device)[:many]
        old = (torch.rand(many, device=new.device) < 0.5)[:, None, None, None]
        shown = torch.where(old, self.images[place], rest[:many])
        self.images[place] = torch.where(old, rest[:many], self.images[place])
        return torch.cat([kept, shown, rest[many:]])
