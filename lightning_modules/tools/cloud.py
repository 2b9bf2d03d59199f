"""Images as points: t-SNE of their features (van der Maaten and Hinton 2008), drawn at their places.

``same_kind`` is the classifier two-sample test by nearest neighbours (Lopez-Paz and Oquab 2017, section 3): the share
of images whose nearest other one is of their own kind, 0.5 where real and generated ones cannot be told apart.
"""

import torch
from sklearn.manifold import TSNE
from torch import Tensor

FRAME = 2  # px around an image
REAL, MADE = (60, 120, 220), (240, 120, 20)  # colours of the frames


def places(features: Tensor, seed: int = 0, perplexity: float = 30.0) -> Tensor:
    """A place [N, 2] in [0, 1] for each of ``features`` [N, d].

    Raises:
        ValueError: fewer than 4 of them.
    """
    if len(features) < 4:
        raise ValueError(f"t-SNE places 4 images and more, got {len(features)}")
    perplexity = min(perplexity, (len(features) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(features.float().cpu().numpy())
    place = torch.from_numpy(found)
    low, high = place.amin(0), place.amax(0)
    return (place - low) / (high - low).clamp_min(1e-12)


def same_kind(features: Tensor, made: Tensor) -> float:
    """The share of ``features`` [N, d] whose nearest other one is alike in ``made`` (bool [N])."""
    apart = torch.cdist(features.double(), features.double()).fill_diagonal_(torch.inf)
    return float((made[apart.argmin(1).cpu()] == made).double().mean())


def drawn(images: Tensor, made: Tensor, place: Tensor, side: int = 1024) -> Tensor:
    """uint8 ``images`` [N, 3, H, W] at ``place`` [N, 2] on one picture [3, side, side], framed by their kind."""
    _, _, H, W = images.shape
    sheet = torch.full((3, side, side), 255, dtype=torch.uint8)
    room = torch.tensor([side - W - 2 * FRAME, side - H - 2 * FRAME])
    corners = (place * room).round().int().tolist()
    for image, generated, (left, top) in zip(images.cpu(), made.tolist(), corners, strict=True):
        colour = torch.tensor(MADE if generated else REAL, dtype=torch.uint8)[:, None, None]
        sheet[:, top : top + H + 2 * FRAME, left : left + W + 2 * FRAME] = colour
        sheet[:, top + FRAME : top + FRAME + H, left + FRAME : left + FRAME + W] = image
    return sheet
