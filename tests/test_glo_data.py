"""What GLO asks of data: batches that tell which images they hold, and a look at all of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from toys import Finite, batches, dcgans, trainer

from datamodules.digits import Digits
from datamodules.functional.quantise import from_uint8
from datamodules.mixtures import Ring
from datamodules.stream import IndexedBatch
from lightning_modules.glo import GLO, principal_codes
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.networks.mlp import MLPGenerator

DIGITS = 1437


def glo(images: int = DIGITS, **settings: Any) -> GLO:
    return GLO(dcgans()[0], images, losses=[MSE()], **settings)


# --- which images -------------------------------------------------------------------------------------------


def test_batches_tell_which_images_they_hold() -> None:
    plain, data = Digits(size=8, batch_size=100, seed=5), Digits(size=8, batch_size=100, seed=5)
    data.indexed = True
    images = data.reference("train")
    for _, known, batch in zip(range(40), plain.train_dataloader(), data.train_dataloader(), strict=False):
        assert isinstance(batch, IndexedBatch)
        assert torch.equal(batch.x, known[0])  # the order is what it was
        assert torch.equal(batch.y, known[1])
        assert torch.equal(images.images[batch.item], batch.x)
        assert torch.equal(images.labels[batch.item], batch.y)
        shown = data.on_after_batch_transfer(batch, 0)
        assert isinstance(shown, IndexedBatch)
        assert torch.equal(shown.x, from_uint8(images.images[batch.item]))
        assert torch.equal(shown.item, batch.item)


def test_points_are_numbered_too(tmp_path: Path) -> None:
    module = GLO(MLPGenerator((2,), width=4), 80, losses=[MSE()])
    trainer(tmp_path, max_steps=2).fit(module, datamodule=Ring(points_per_mode=10, batch_size=16))
    assert module.images_seen == 32


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Digits(size=8, batch_size=4), "noise of 7 images, the data module trains on 1437: set model.init_args.images"),
        (Finite(batches(1)), "which images a batch holds, which Finite cannot tell"),
    ],
)
def test_data_without_numbers_or_of_another_number_are_refused(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        trainer(tmp_path, max_steps=1).fit(glo(7), datamodule=data)


# --- all of them --------------------------------------------------------------------------------------------


def test_principal_codes_by_another_route_and_in_the_order_of_the_images() -> None:
    torch.manual_seed(0)
    x = torch.randn(1500, 6) @ torch.diag(torch.tensor([9.0, 5.0, 3.0, 0.1, 0.1, 0.1])) + 4
    codes = principal_codes(x, 3)
    assert torch.cov(codes.T).trace().item() == pytest.approx(1, abs=1e-4)
    centred = x - x.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:3]
    exact = centred @ axes.T
    exact = exact / exact.var(0).sum().sqrt()
    signs = (codes * exact).sum(0).sign()
    assert torch.allclose(codes * signs, exact, atol=1e-2)
    with pytest.raises(ValueError, match="7 principal components are more than 1500 images of 6 have"):
        principal_codes(x, 7)


def test_a_run_starts_from_the_images(tmp_path: Path) -> None:
    module = glo(code_lr=0.0, pca_start=True)
    data = Digits(size=8, batch_size=50)
    trainer(tmp_path, max_steps=1).fit(module, datamodule=data)
    same_class = data.reference("train").labels[:, None] == data.reference("train").labels
    distances = torch.cdist(module.codes, module.codes)
    assert distances[same_class].mean() < 0.8 * distances[~same_class].mean()
    assert module.codes.norm(dim=1).max() <= 1 + 1e-6


def test_data_that_cannot_be_shown_are_refused(tmp_path: Path) -> None:
    class Unseen(Finite):
        indexed, images_per_epoch = False, 8

    with pytest.raises(ValueError, match="pca_start asks Unseen for all training images, and it has no reference"):
        trainer(tmp_path, max_steps=1).fit(glo(8, pca_start=True), datamodule=Unseen(batches(1)))
