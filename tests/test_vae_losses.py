"""Laws of likelihoods and bounds: values by hand, densities that integrate to 1, the order of the bounds."""

from collections.abc import Callable
from math import exp, log, pi

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.losses.bounds import ELBO, Bound, ImportanceWeighted, Inference, gaussian_kl
from lightning_modules.losses.likelihoods import Bernoulli, Gaussian
from lightning_modules.networks.mlp import MLPGenerator


def inference(k: int = 3, n: int = 4, d: int = 5, dtype: torch.dtype = torch.float64) -> Inference:
    stream = torch.Generator().manual_seed(k)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=dtype)

    mean, log_variance, noise = draw(n, d), draw(n, d), draw(k, n, d)
    return Inference(10 * draw(k, n) - 50, mean + noise * torch.exp(0.5 * log_variance), noise, mean, log_variance)


# --- KL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "variance", "wanted"),
    [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, exp(1.0), 0.5 * (exp(1.0) - 2)), (1.0, 0.25, 0.5 * (0.25 + log(4.0)))],
)
def test_kl_by_hand(mean: float, variance: float, wanted: float) -> None:
    found = gaussian_kl(torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64).log())
    assert abs(float(found) - wanted) < 1e-12


def test_the_ratio_of_densities_is_that_of_torch_and_its_mean_is_kl() -> None:
    found = inference(k=200_000, n=1, d=2)
    q = torch.distributions.Normal(found.mean, torch.exp(0.5 * found.log_variance))
    p = torch.distributions.Normal(0.0, 1.0)
    assert (found.log_ratio - (q.log_prob(found.z) - p.log_prob(found.z))).abs().max() < 1e-10
    deviation = found.log_ratio.std(0) / 200_000**0.5
    assert ((found.log_ratio.mean(0) - found.kl).abs() < 4 * deviation).all()
    assert (found.kl - torch.distributions.kl_divergence(q, p)).abs().max() < 1e-12


# --- likelihoods --------------------------------------------------------------------------------------------


def test_bernoulli_by_hand() -> None:
    logits = torch.tensor([log(3.0), 0.0]).view(1, 1, 2)  # probabilities 3/4 and 1/2
    for pixels, wanted in (((1, 1), 3 / 8), ((0, 1), 1 / 8), ((0, 0), 1 / 8)):
        x = 2.0 * torch.tensor([pixels]) - 1
        for binarise in (False, True):
            assert abs(float(Bernoulli(binarise).log_prob(logits, x)) - log(wanted)) < 1e-6
    grey = Bernoulli().log_prob(logits, torch.tensor([[0.5, 0.0]]))  # pixels 3/4 and 1/2: the entropies
    assert abs(float(grey) - (0.75 * log(0.75) + 0.25 * log(0.25) + log(0.5))) < 1e-6


def test_bernoulli_stays_finite_where_a_probability_would_not() -> None:
    logits = torch.tensor([[[200.0]], [[-200.0]]])
    for binarise in (False, True):
        assert Bernoulli(binarise).log_prob(logits, torch.tensor([[1.0]])).tolist() == [[0.0], [-200.0]]


def test_pixels_are_drawn_with_their_value_as_the_probability_and_anew_each_time() -> None:
    torch.manual_seed(0)
    x = torch.tensor([-1.0, -0.5, 0.0, 0.8, 1.0]).expand(40_000, 5)
    drawn, again = Bernoulli(True).observe(x), Bernoulli(True).observe(x)
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert (drawn[:, 0] == -1).all()
    assert (drawn[:, 4] == 1).all()
    assert (drawn.mean(0) - x[0]).abs().max() < 4 / 200  # four standard deviations of a mean of 40,000
    assert (drawn != again).any()
    assert Bernoulli().observe(x) is x


def test_gaussian_by_hand_and_as_a_scaled_squared_error() -> None:
    mean, x = torch.tensor([[[0.5, -1.0]], [[0.0, 0.0]]]), torch.tensor([[0.0, 1.0]])
    found = Gaussian(variance=2.0).log_prob(mean, x)
    constant = log(2 * pi * 2.0)  # of two values
    wanted = torch.tensor([[-(0.25 + 4) / 4 - constant], [-1 / 4 - constant]])
    assert (found - wanted).abs().max() < 1e-6


def test_a_learned_variance_is_learned_to_be_the_error_s() -> None:
    likelihood = Gaussian(variance=1.0, learned=True)
    torch.manual_seed(0)
    x = 0.3 * torch.randn(100, 7)
    wanted = x.square().mean()
    with torch.no_grad():
        likelihood.log_variance.copy_(wanted.log())
    likelihood.log_prob(torch.zeros(1, 100, 7), x).mean().backward()
    assert likelihood.log_variance.grad is not None
    assert likelihood.log_variance.grad.abs() < 1e-5  # the likelihood is stationary there
    assert not Gaussian(1.0).log_variance.requires_grad


def test_a_protocol_says_which_likelihood() -> None:
    assert Bernoulli(True).described == {"likelihood": "bernoulli", "binarised": True}
    assert Gaussian(0.25).described == {"likelihood": "gaussian", "variance": 0.25}
    assert Gaussian(0.25, learned=True).described == {"likelihood": "gaussian", "variance": "learned"}


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="variance must be above 0"):
        Gaussian(0.0)
    with pytest.raises(ValueError, match="Bernoulli reads logits, which MLPGenerator does not state"):
        Bernoulli().check(MLPGenerator())
    Gaussian().check(nn.Identity())


# --- bounds -------------------------------------------------------------------------------------------------


def total(bound: Bound, given: Inference, progress: float = 1.0) -> Tensor:
    return torch.stack(list(bound(given, progress).values())).sum()


def test_the_elbo_s_terms_are_means_of_nats() -> None:
    given = inference()
    found = ELBO(beta=3.0)(given, 1.0)
    assert found.keys() == {"reconstruction", "kl"}
    assert abs(found["reconstruction"] + given.log_px.mean()) < 1e-12
    assert abs(found["kl"] - 3 * given.kl.sum(1).mean()) < 1e-12


def test_warm_up_is_linear_over_its_share_of_the_run() -> None:
    bound = ELBO(beta=2.0, warm_up=0.2)
    assert [bound.weight(progress) for progress in (0.0, 0.05, 0.1, 0.2, 0.6, 1.0)] == [0.0, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert ELBO().weight(0.0) == 1.0


def test_free_nats_by_hand() -> None:
    mean = torch.tensor([[2.0, 0.2, 0.0], [0.0, 0.2, 0.0]], requires_grad=True)  # KL a half of squares
    zeros = torch.zeros(1, 2, 3)
    given = Inference(torch.zeros(1, 2), zeros, zeros, mean, torch.zeros(2, 3))
    found = ELBO(free_nats=0.5)(given, 1.0)["kl"]
    assert abs(found.item() - (1.0 + 0.5 + 0.5)) < 1e-6  # the batch's means are 1, 0.02 and 0
    found.backward()
    assert mean.grad is not None
    assert torch.equal(mean.grad, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))  # below the floor nothing presses


@pytest.mark.parametrize("make", [lambda: ELBO(beta=-1), lambda: ELBO(free_nats=-1), lambda: ELBO(warm_up=1.5)])
def test_bounds_that_make_no_sense_are_refused(make: Callable[[], Bound]) -> None:
    with pytest.raises(ValueError, match=r"^ELBO: "):
        make()


def test_one_weight_is_the_elbo_with_kl_from_the_draw() -> None:
    given = inference(k=1)
    assert abs(total(ImportanceWeighted(), given) - total(ELBO(analytic=False), given)) < 1e-12


def test_more_weights_by_hand() -> None:
    zeros = torch.zeros(2, 1, 1)
    given = Inference(torch.tensor([[log(0.1)], [log(0.3)]]), zeros, zeros, zeros[0], zeros[0])
    assert abs(float(total(ImportanceWeighted(), given)) + log(0.2)) < 1e-6  # a mean of probabilities, not of logs


def test_the_bound_lies_above_the_elbo_for_any_draws() -> None:
    for k in (2, 3, 50):
        given = inference(k=k)
        assert total(ImportanceWeighted(), given) <= total(ELBO(analytic=False), given)  # Jensen
