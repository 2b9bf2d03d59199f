"""Laws of the importance-weighted likelihood: exact where that is known, and looked at without a trace."""

from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import SHAPE, mlps, same, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.likelihood import LogLikelihood
from lightning_modules.gan import GAN
from lightning_modules.losses.likelihoods import Bernoulli, Gaussian
from lightning_modules.metrics import ranks
from lightning_modules.metrics.likelihood import ActiveUnits, log_mean_weights
from lightning_modules.networks.base import Encoder, Generator
from lightning_modules.networks.vae import MLPDecoder, MLPEncoder
from lightning_modules.vae import VAE

D, Z, VARIANCE = 5, 2, 0.3


class LinearDecoder(Generator):
    """x = W z + m."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.z_dim, self.out_shape = Z, (D,)
        self.W, self.m = nn.Parameter(torch.randn(D, Z)), nn.Parameter(torch.randn(D))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z @ self.W.T + self.m


class LinearEncoder(Encoder):
    """The mean of the posterior under ``decoder``, with the variances of its dimensions times ``wider``."""

    def __init__(self, decoder: LinearDecoder, wider: float = 1.0) -> None:
        super().__init__()
        self.z_dim, self.wider, self.decoder = Z, wider, (decoder,)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        G = self.decoder[0]
        precision = torch.eye(Z) + G.W.T @ G.W / VARIANCE
        mean = torch.linalg.solve(precision, (x - G.m) @ G.W / VARIANCE, left=False)
        variance = self.wider * torch.linalg.inv(precision).diagonal()
        return mean, variance.log().expand_as(mean)


def linear_vae(wider: float = 1.0) -> tuple[VAE, Tensor, Tensor]:
    """Probabilistic PCA (Tipping and Bishop 1999) as an autoencoder; points, and their exact log-likelihoods."""
    G = LinearDecoder()
    module = VAE(LinearEncoder(G, wider), G, Gaussian(VARIANCE))
    x = torch.randn(6, D)
    covariance = G.W @ G.W.T + VARIANCE * torch.eye(D)
    exact = torch.distributions.MultivariateNormal(G.m, covariance).log_prob(x).detach()
    return module, x, exact


def estimate(module: VAE, x: Tensor, counts: list[int]) -> list[Tensor]:
    return log_mean_weights(lambda k: module.infer(x, None, k).log_weights, counts, chunk=1000)


# --- the estimate -------------------------------------------------------------------------------------------


def test_many_weights_give_the_exact_likelihood_of_probabilistic_pca() -> None:
    for wider in (1.0, 2.0):
        module, x, exact = linear_vae(wider)
        torch.manual_seed(1)
        few, many = estimate(module, x, [5, 40_000])
        assert (many - exact).abs().max() < 0.02
        assert (few - exact).abs().max() > 0.02  # the law has teeth


def test_the_bounds_grow_with_the_draws_towards_the_likelihood() -> None:
    module, x, exact = linear_vae(wider=3.0)
    torch.manual_seed(1)
    log_weights = module.infer(x, None, 64 * 2000).log_weights.double().view(64, 2000, 6)
    elbo = log_weights.mean((0, 1))
    assert (elbo < exact - 0.05).all()
    before = elbo
    for k in (2, 4, 16, 64):  # the mean of the bound of k draws over 2,000 trials: theorem 1
        bound = (log_weights[:k].logsumexp(0) - log(k)).mean(0)
        assert (bound > before).all()
        before = bound
    assert (before < exact + 0.02).all()


def test_chunks_do_not_matter_and_sums_do_not_overflow() -> None:
    stream = torch.Generator().manual_seed(0)
    given = 50 * torch.randn(10, 3, generator=stream) - 1000

    def found(chunk: int) -> list[Tensor]:
        parts = iter(given.split(chunk)) if 10 % chunk == 0 else None
        rest = [given]

        def draw(k: int) -> Tensor:
            if parts is not None and k == chunk:
                return next(parts)
            head, rest[0] = rest[0][:k], rest[0][k:]
            return head

        return log_mean_weights(draw, [10], chunk)

    wanted = given.double().logsumexp(0) - log(10)
    for chunk in (1, 3, 5, 10, 99):
        assert (found(chunk)[0] - wanted).abs().max() < 1e-9


def test_active_units_by_hand_in_any_batches() -> None:
    mean = torch.tensor([[0.0, 0.0, 5.0], [0.19, 0.21, 5.0]])  # variances 0.009, 0.011 and 0
    whole, parts = ActiveUnits(3), ActiveUnits(3)
    whole.update(mean)
    for row in mean.split(1):
        parts.update(row)
    assert whole.compute() == parts.compute() == 1


# --- the callback -------------------------------------------------------------------------------------------


def vae(binarise: bool = True) -> VAE:
    torch.manual_seed(0)
    return VAE(MLPEncoder(SHAPE, Z, 8), MLPDecoder(SHAPE, Z, 8), Bernoulli(binarise), optimizer=sgd(0.001))


def fit(folder: Path, *callbacks: Any, validations: int = 2) -> VAE:
    module = vae()
    run = trainer(folder, Clock(g_steps=4, validations=validations), *callbacks)
    run.fit(module, datamodule=Digits(size=8, batch_size=8))
    return module


def test_early_validations_are_cheap_the_last_is_whole_and_neither_changes_a_weight(tmp_path: Path) -> None:
    callback = LogLikelihood(samples=20, early_samples=3, images=150)
    module = fit(tmp_path, callback)
    early, last = (row["metrics"] for row in callback.history)
    assert early.keys() == {"nll@3", "elbo", "reconstruction", "kl", "active_units"}
    assert last.keys() == {*early, "nll@20"}
    for row in (early, last):
        assert abs(row["elbo"] + row["reconstruction"] + row["kl"]) < 1e-4
        assert row["nll@3"] < -row["elbo"]
    assert last["nll@20"] < last["nll@3"]
    assert same(weights(module), weights(fit(tmp_path / "without", validations=0)))
    again = LogLikelihood(samples=20, early_samples=3, images=150)
    fit(tmp_path / "again", again)
    assert again.history[-1]["metrics"] == last  # the same pixels and draws
    other = LogLikelihood(samples=20, early_samples=3, images=150, seed=1)
    fit(tmp_path / "other", other)
    assert other.history[-1]["metrics"] != last


def test_the_protocol_says_what_the_number_hangs_on(tmp_path: Path) -> None:
    callback = LogLikelihood(samples=4, early_samples=2, images=100)
    fit(tmp_path, callback)
    data = Digits(size=8).reference("test")
    assert callback.described == {
        "data": "digits",
        "data_sha256": data.sha256,
        "split": "test",
        "images": 100,
        "samples": 4,
        "early_samples": 2,
        "seed": 0,
        "block": 100,
        "chunk": 50,
        "value_range": [-1.0, 1.0],
        "weights": "raw",
        "likelihood": "bernoulli",
        "binarised": True,
        "checkpoint": "last",
    }


def test_ranks_share_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = vae(), Digits(size=8).reference("test")
    callback, seen = LogLikelihood(images=250), {}
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        monkeypatch.setattr("lightning_modules.callbacks.likelihood.rank_and_world", lambda r=rank, w=world: (r, w))
        seen[rank, world] = [x for x, _ in callback.blocks(module, data)]
    whole = seen[0, 1]
    assert [len(x) for x in whole] == [100, 100, 50]
    for part, wanted in ((seen[0, 2], whole[::2]), (seen[1, 2], whole[1::2])):
        assert len(part) == len(wanted)
        assert all(torch.equal(a, b) for a, b in zip(part, wanted, strict=True))
    assert ranks.rank_and_world() == (0, 1)


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="likelihood: scores a variational autoencoder, not a GAN; set it to null"):
        trainer(tmp_path, Clock(g_steps=1), LogLikelihood()).fit(GAN(*mlps()), datamodule=Digits(size=8))
    with pytest.raises(ValueError, match="likelihood: samples must be 1 or more, got 0"):
        LogLikelihood(samples=0)
