"""Connected components of a mask, in torch: a metric on the device needs no copy to the host."""

import torch
from torch import Tensor


def largest_component(mask: Tensor) -> Tensor:
    """The largest 4-connected component of bool ``mask`` [H, W]: bool [H, W].

    Of several equally large the one whose first pixel in reading order comes first. Nothing of an empty mask.
    """
    if not mask.any():
        return mask
    roots = component_roots(mask)
    labels, sizes = roots[mask].unique(return_counts=True)
    return mask & (roots == labels[sizes.argmax()])


def component_roots(mask: Tensor) -> Tensor:
    """Label each pixel of ``mask`` [H, W] with the first pixel of its component, by index in reading order: [H, W].

    Union by hooking and pointer jumping (Shiloach and Vishkin 1982): each round every root hooks onto a smaller
    neighbouring one, so that few rounds are needed however winding a component is. Pixels outside label themselves.
    """
    root = torch.arange(mask.numel(), device=mask.device)
    index = root.view(mask.shape)
    below, right = mask[1:] & mask[:-1], mask[:, 1:] & mask[:, :-1]
    a = torch.cat((index[1:][below], index[:, 1:][right]))
    b = torch.cat((index[:-1][below], index[:, :-1][right]))
    while len(a):
        root.scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
        root = _flatten(root)
        a, b = root[a], root[b]
        a, b = a[a != b], b[a != b]
    return root.view(mask.shape)


def _flatten(root: Tensor) -> Tensor:
    while not torch.equal(root, higher := root[root]):
        root = higher
    return root
