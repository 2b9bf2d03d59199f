"""Laws of batch normalisation over ranks: two ranks normalise as one does, to the second derivative."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_ranks import STEPS, WORLD, both, strategy
from torch import Tensor, nn
from toys import Finite, ToldGAN, WithNoise, batches_with_noise, distance, sgd, trainer, weights

from lightning_modules.callbacks.layer_sync import RankBatchNormSync
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.feedback import FeedbackDCGANGenerator
from lightning_modules.networks.sync_norm import RankBatchNorm, over_ranks


class ToldDCGAN(DCGANGenerator):
    """Draws the noise that it is told."""

    told: Tensor

    def sample_z(self, n: int) -> Tensor:
        return self.told


def normalised() -> ToldGAN:
    torch.manual_seed(0)
    G, D = ToldDCGAN(8, 1, z_dim=4, width=4), DCGANDiscriminator(8, 1, width=4)
    D.blocks.append(nn.BatchNorm2d(4))
    return ToldGAN(G, D, penalties=[R1(2.0)], d_optimizer=sgd(0.01), g_optimizer=sgd(0.01))


def on_a_share(rank: int, folder: Path) -> dict[str, Any]:
    """Train on every second image."""
    module = normalised()
    share = [WithNoise(*(part[rank::WORLD] for part in batch)) for batch in batches_with_noise(STEPS)]
    settings = {"sync_batchnorm": True, "plugins": [RankBatchNormSync()]}
    run = trainer(folder, max_steps=STEPS, devices=WORLD, strategy=strategy(), **settings)
    run.fit(module, datamodule=Finite(share))
    return {"weights": weights(module), "kind": type(module.D.blocks[-1]).__name__}


def test_two_ranks_normalise_as_one(tmp_path: Path) -> None:
    one, untrained = normalised(), weights(normalised())
    trainer(tmp_path, max_steps=STEPS).fit(one, datamodule=Finite(batches_with_noise(STEPS)))
    for found in both(on_a_share, tmp_path):
        assert found["kind"] == "RankBatchNorm"
        assert distance(found["weights"], weights(one)) < 1e-5
    assert distance(weights(one), untrained) > 1e-2


@pytest.mark.parametrize("training", [True, False])
def test_one_rank_alone_is_plain_batch_norm(training: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.BatchNorm2d(3)).train(training)
    x = torch.randn(4, 3, 5, 5)
    expected = plain(x)
    statistics = plain[0].running_mean
    converted = over_ranks(plain)
    assert isinstance(converted[0], RankBatchNorm)  # type: ignore[index]
    assert converted[0].running_mean is statistics  # type: ignore[index]
    assert torch.equal(converted(x), expected)


def test_feedback_is_the_same_over_ranks() -> None:
    torch.manual_seed(0)
    G = FeedbackDCGANGenerator(16, 1, z_dim=4, width=4, signal=2)
    for modulation in G.modulations:
        nn.init.normal_(modulation.gate.weight)  # type: ignore[union-attr, arg-type]
    z, signal = torch.randn(4, 4), torch.randn(4, 2, 4, 4)
    expected = G.again(z, signal)
    again = over_ranks(G).again(z, signal)
    assert any(isinstance(layer, RankBatchNorm) for layer in G.layers)
    assert torch.equal(again, expected)
    again.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in G.modulations.parameters())
