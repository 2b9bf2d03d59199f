"""Directions in a generator's space along which its images change in one respect.

- ``sefa``: what changes the layers' styles most, from the weights alone (Shen and Zhou 2021, "Closed-form factorization
  of latent semantics in GANs", eq. 5): eigenvectors of A^T A, each style's row of A of length 1 as in the paper's code.
- ``ganspace``: where drawn codes spread most (Haerkoenen et al. 2020, "GANSpace", section 2.1): principal components.
- ``attribute``: what parts codes with a property from those without (Shen et al. 2020, "Interpreting the latent space
  of GANs", section 2.1): the normal of a linear separator.
- ``towards_mean``: from the mean of the codes without a property to that of those with it, which is the normal of a
  separator too, of the nearest mean. It parts codes less well, and a step along it keeps nearer to drawn ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from lightning_modules.networks.base import StyledGenerator
from lightning_modules.tools.spaces import Space, WPlusSpace


class Directions(NamedTuple):
    """Unit vectors, the strongest first."""

    vectors: Tensor  # [k, dim]
    strengths: Tensor  # [k]: eigenvalue, deviation of codes, or balanced accuracy on codes that were not looked at


Separator = tuple[Tensor, Tensor]  # normal [dim] and threshold []: with the property where codes @ normal is above it


def sefa(G: StyledGenerator, k: int) -> Directions:
    """``k`` directions of w that change what all layers make of it most.

    Raises:
        ValueError: w has fewer dimensions, or ``k`` is below 1.
    """
    A = torch.cat([weight / weight.norm(dim=1, keepdim=True).clamp_min(1e-12) for weight in G.affine_weights()])
    require(k, A.shape[1])
    values, vectors = torch.linalg.eigh((A.T @ A).double())
    return Directions(vectors.T.flip(0)[:k].to(A), values.flip(0)[:k].to(A))


def ganspace(space: Space, k: int, codes: int = 10_000) -> Directions:
    """``k`` principal components of drawn ``codes``; of a z that is drawn evenly they say nothing.

    Raises:
        ValueError: as ``sefa``; or a space of a code for each layer.
    """
    if isinstance(space, WPlusSpace):
        raise ValueError("components of w+ are those of w: take that space")
    drawn = space.draw(codes).double()
    require(k, drawn.shape[1])
    _, deviations, vectors = torch.linalg.svd(drawn - drawn.mean(0), full_matrices=False)
    return Directions(vectors[:k].float(), (deviations[:k] / (codes - 1) ** 0.5).float())


def attribute(codes: Tensor, has: Tensor) -> Directions:
    """The one direction towards ``codes`` [N, dim] of which ``has`` (bool [N]) is true: a linear separator's normal.

    Raises:
        ValueError: fewer than two codes have it, or have it not.
    """
    return _parting(_logistic, codes, has)


def towards_mean(codes: Tensor, has: Tensor) -> Directions:
    """The one direction to the mean of those ``codes`` [N, dim] of which ``has`` (bool [N]) is true.

    Raises:
        ValueError: fewer than two codes have it, or have it not.
    """
    return _parting(_nearest_mean, codes, has)


def _logistic(codes: Tensor, has: Tensor) -> Separator:
    fitted = LogisticRegression(max_iter=1000, class_weight="balanced").fit(codes.cpu().numpy(), has.cpu().numpy())
    return torch.as_tensor(fitted.coef_[0]).to(codes), torch.as_tensor(-fitted.intercept_[0]).to(codes)


def _nearest_mean(codes: Tensor, has: Tensor) -> Separator:
    without, with_it = codes[~has].mean(0), codes[has].mean(0)
    normal = with_it - without
    return normal, (with_it + without) / 2 @ normal


def _parting(fit: Callable[[Tensor, Tensor], Separator], codes: Tensor, has: Tensor) -> Directions:
    """The direction of all ``codes``; its strength is that of every other one's, measured on those between."""
    counts = [int(has.sum()), int((~has).sum())]
    if min(counts) < 2:
        said = {0: "none"}.get(counts[0], "all" if counts[1] == 0 else f"{counts[0]}")
        raise ValueError(f"{said} of {len(has)} codes have it: nothing to part them by")
    normal, _ = fit(codes, has)
    looked_at = torch.empty_like(has)
    for side in (has, ~has):  # as many of either on both sides
        looked_at[side] = torch.arange(int(side.sum()), device=has.device) % 2 == 0
    vector, threshold = fit(codes[looked_at], has[looked_at])
    above, held = codes[~looked_at] @ vector > threshold, has[~looked_at]
    balanced = (above[held].float().mean() + (~above[~held]).float().mean()) / 2
    return Directions((normal / normal.norm())[None], balanced[None])


def require(k: int, dimensions: int) -> None:
    """Raise ValueError where there are no ``k`` directions."""
    if not 1 <= k <= dimensions:
        raise ValueError(f"{k} directions are asked for: give 1 up to {dimensions}")
