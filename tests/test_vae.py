"""Laws of the variational autoencoder: what it trains, what it evaluates, and that its settings are its relatives."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import CutOff
from torch import Tensor
from torch.optim import Adam
from toys import SHAPE, Finite, Rates, batches, distance, same, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.ema import EMASettings
from lightning_modules.losses.bounds import ELBO, ImportanceWeighted
from lightning_modules.losses.likelihoods import Bernoulli, Gaussian
from lightning_modules.networks.latents import Uniform
from lightning_modules.networks.mlp import MLPGenerator
from lightning_modules.networks.vae import DCGANDecoder, DCGANEncoder, MLPDecoder, MLPEncoder
from lightning_modules.schedules import Linear
from lightning_modules.vae import VAE

Z = 3


def mlp_vae(num_classes: int | None = None, width: int = 8, **settings: Any) -> VAE:
    torch.manual_seed(0)
    shared: dict[str, Any] = {"z_dim": Z, "width": width, "num_classes": num_classes}
    return VAE(MLPEncoder(SHAPE, **shared), MLPDecoder(SHAPE, **shared), **settings)


def dcgan_vae(num_classes: int | None = None, **settings: Any) -> VAE:
    torch.manual_seed(0)
    shared: dict[str, Any] = {"size": 8, "channels": 1, "z_dim": Z, "width": 4, "num_classes": num_classes}
    return VAE(DCGANEncoder(**shared), DCGANDecoder(**shared), **settings)


def batch(n: int = 8) -> tuple[Tensor, Tensor]:
    return batches(1, n)[0]


def loss(module: VAE, x: Tensor, y: Tensor, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.stack(list(module.terms(x, y).values())).sum()


# --- the objective ------------------------------------------------------------------------------------------


def test_the_objective_is_the_bound_of_an_independent_route() -> None:
    module, (x, y) = mlp_vae(), batch()
    found = loss(module, x, y)
    torch.manual_seed(1)
    mean, log_variance = module.E(x)
    q = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    z = q.rsample()
    p = torch.distributions.Bernoulli((module.G(z) + 1) / 2, validate_args=False)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert abs(found + (p.log_prob((x + 1) / 2).flatten(1).sum(1) - kl).mean()) < 1e-3


@pytest.mark.parametrize("binarise", [False, True])
def test_iwae_of_one_sample_is_the_vae_in_value_and_gradient(binarise: bool) -> None:
    x, y = batch()
    found = []
    for bound in (ELBO(analytic=False), ImportanceWeighted()):
        module = mlp_vae(likelihood=Bernoulli(binarise), bound=bound)
        value = loss(module, x, y)
        value.backward()
        found.append((value.item(), {name: p.grad for name, p in module.named_parameters()}))
    assert abs(found[0][0] - found[1][0]) < 1e-4
    assert distance(found[0][1], found[1][1]) < 1e-4  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [mlp_vae, dcgan_vae])
@pytest.mark.parametrize("bound", [ELBO(), ImportanceWeighted()])
@pytest.mark.parametrize("num_classes", [None, 10])
def test_every_parameter_gets_a_gradient(make: Any, bound: Any, num_classes: int | None) -> None:
    module = make(num_classes, bound=bound, samples=3, likelihood=Gaussian(learned=True))
    x, _ = batch(20)
    loss(module, x, torch.arange(20) % 10).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_draws_of_an_image_stay_its_own() -> None:
    module, (x, y) = mlp_vae(num_classes=10), batch()
    torch.manual_seed(1)
    many = module.net(x, y, 5)
    assert many.log_px.shape == (5, 8)
    assert (many.z - many.mean - many.noise * torch.exp(0.5 * many.log_variance)).abs().max() < 1e-6
    for i in range(5):
        alone = module.likelihood.log_prob(module.G.logits(many.z[i], y)[None], x)[0]  # type: ignore[attr-defined]
        assert (alone - many.log_px[i]).abs().max() < 1e-4


# --- classes ------------------------------------------------------------------------------------------------


def test_a_conditional_mlp_with_constant_labels_is_the_unconditional_one() -> None:
    """A constant one-hot code beside the input is a bias of the first layer."""
    with_classes, without = mlp_vae(num_classes=10, likelihood=Gaussian()), mlp_vae(likelihood=Gaussian())
    with torch.no_grad():
        for name, net in {"E": without.E, "G": without.G}.items():
            theirs = getattr(with_classes, name).state_dict()
            first, bias = [key for key in theirs if key.endswith("0.0.weight") or key.endswith("0.0.bias")]
            theirs[bias] = theirs[bias] + theirs[first][:, -10 + 4]
            theirs[first] = theirs[first][:, :-10]
            net.load_state_dict(theirs)
    x, _ = batch()
    y = torch.full((8,), 4)
    values = [loss(module, x, y) for module in (with_classes, without)]
    for value in values:
        value.backward()
    assert abs(values[0] - values[1]) < 1e-3
    ours, others = with_classes.G.state_dict(keep_vars=True), without.G.state_dict(keep_vars=True)
    assert (ours["layers.1.weight"].grad - others["layers.1.weight"].grad).abs().max() < 1e-3
    assert (loss(with_classes, x, torch.full((8,), 5)) - values[1]).abs() > 1e-3  # the law has teeth


def test_a_conditional_dcgan_whose_label_weights_are_zero_is_the_unconditional_one() -> None:
    with_classes, without = dcgan_vae(num_classes=10), dcgan_vae()
    for name, net in {"E": without.E, "G": without.G}.items():
        theirs = getattr(with_classes, name).state_dict()
        first = next(iter(theirs))
        if name == "E":
            theirs[first][:, 1:] = 0
            net.load_state_dict(theirs | {first: theirs[first][:, :1]})
        else:
            theirs[first][Z:] = 0
            net.load_state_dict(theirs | {first: theirs[first][:Z]})
        getattr(with_classes, name).load_state_dict(theirs)
    x, _ = batch()
    values = [loss(module, x, torch.full((8,), 4)) for module in (with_classes, without)]
    assert abs(values[0] - values[1]) < 1e-3


def test_a_conditional_decoder_is_sampled_by_class() -> None:
    module = mlp_vae(num_classes=10)
    z = torch.randn(4, Z)
    assert not torch.equal(
        module.generate_image(z, torch.zeros(4, dtype=torch.int64)),
        module.generate_image(z, torch.ones(4, dtype=torch.int64)),
    )
    assert module.sample(5).shape == (5, *SHAPE)


# --- training -----------------------------------------------------------------------------------------------


def train(folder: Path, *callbacks: L.Callback, validations: int = 0, **settings: Any) -> VAE:
    """Twelve steps with all that draws or changes over the run, from a checkpoint where there is one."""
    module = dcgan_vae(
        num_classes=10,
        bound=ELBO(warm_up=0.5, free_nats=0.1),
        likelihood=Bernoulli(binarise=True),
        samples=2,
        ema=EMASettings(decay=0.5),
        schedule=Linear(),
        **settings,
    )
    last = folder / "checkpoints" / "last.ckpt"
    run = trainer(folder, Clock(g_steps=12, validations=validations), Checkpoints(every_steps=5), *callbacks)
    data = Digits(size=8, batch_size=200)
    run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    return module


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut off"):
        train(tmp_path / "cut", CutOff(7))
    assert same(weights(train(tmp_path / "cut")), weights(whole))
    assert distance(weights(train(tmp_path / "other", seed=1)), weights(whole)) > 0


def test_rates_follow_the_schedule_without_a_warm_up_too(tmp_path: Path) -> None:
    module, rates = dcgan_vae(schedule=Linear(), optimizer=sgd(1e-3)), Rates()
    trainer(tmp_path, rates, max_steps=4).fit(module, datamodule=Digits(size=8, batch_size=200))
    [used] = rates.used.values()
    assert used == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_looking_changes_no_weight_and_shows_three_sheets(tmp_path: Path) -> None:
    looked = train(tmp_path, ImageGrid(), validations=2)
    assert same(weights(looked), weights(train(tmp_path / "without")))
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert [name.split("-")[0] for name in names] == ["reconstructions"] * 2 + ["samples"] * 3 + ["traversals"] * 2


def test_the_average_is_that_of_both_networks_and_saved_once() -> None:
    module = mlp_vae(ema=EMASettings(decay=0.5))
    before = weights(module.net)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1.0 if parameter.requires_grad else 0.0
    module.g_step = 1
    module.update_ema()
    wanted = {name: value + 0.5 for name, value in before.items()}
    assert distance(weights(module.evaluated), wanted) < 1e-6
    assert module.evaluated_generator is module.evaluated_pair.G
    x, y = batch()
    mean, _ = module.evaluated_pair.E(x)
    assert torch.equal(module(x, y), module.evaluated_generator(mean))
    prefixes = {name.split(".")[0] for name in module.state_dict()}
    assert prefixes == {"E", "G", "ema"}
    module.load_state_dict(module.state_dict())


def test_a_few_images_are_learnt_by_heart(tmp_path: Path) -> None:
    data = Finite(batches(1, 4))
    images = data.train[0][0]
    module = mlp_vae(width=64, likelihood=Gaussian(0.01), optimizer=lambda p: Adam(p, lr=1e-2))
    before = (module(images) - images).square().mean()
    trainer(tmp_path, Clock(g_steps=300, validations=0)).fit(module, datamodule=data)
    assert (module(images) - images).square().mean() < 0.02 * before


def test_the_elbo_s_parts_are_watched_where_a_row_is_logged(tmp_path: Path) -> None:
    module = mlp_vae(bound=ELBO(beta=4.0), optimizer=sgd(0.0))
    trainer(tmp_path, Clock(g_steps=2, validations=0), log_every_n_steps=2).fit(module, datamodule=Finite(batches(2)))
    row = {name: float(value) for name, value in module.row.items()}
    assert abs(row["nats/kl"] - row["train/kl"] / 4) < 1e-4
    assert abs(row["nats/reconstruction"] - row["train/reconstruction"]) < 1e-4
    assert abs(row["nats/elbo"] + row["nats/reconstruction"] + row["nats/kl"]) < 1e-4


def test_warm_up_follows_the_run(tmp_path: Path) -> None:
    seen = []

    class Look(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
            seen.append(float(pl_module.row["train/kl"]))

    module = mlp_vae(bound=ELBO(warm_up=0.5), optimizer=sgd(0.0))
    same_batch = [batches(1)[0]] * 8
    trainer(tmp_path, Clock(g_steps=8, validations=0), Look()).fit(module, datamodule=Finite(same_batch))
    full = seen[-1]
    assert seen == pytest.approx([0.0, full / 4, full / 2, 3 * full / 4, full, full, full, full], rel=1e-5)
    with pytest.raises(ValueError, match="a KL warm-up needs the run's length"):
        trainer(tmp_path, max_epochs=1).fit(mlp_vae(bound=ELBO(warm_up=0.5)), datamodule=Finite(batches(2)))


def test_a_centred_decoder_starts_at_the_mean_image(tmp_path: Path) -> None:
    module = mlp_vae(centre=True, optimizer=sgd(0.0), ema=EMASettings(decay=0.5))
    data = Digits(size=8, batch_size=8)
    trainer(tmp_path, Clock(g_steps=1, validations=0)).fit(module, datamodule=data)
    mean = (data.reference("train").images.double() / 255).mean(0).clamp(0.001, 0.999)
    for net in (module.G, module.evaluated_generator):
        assert (net.output_bias.double().sigmoid() - mean.flatten()).abs().max() < 1e-6  # type: ignore[union-attr,operator]


# --- mistakes -----------------------------------------------------------------------------------------------


def test_networks_that_do_not_belong_together_are_refused() -> None:
    for other in (MLPDecoder(SHAPE, z_dim=4), MLPDecoder(SHAPE, z_dim=Z, num_classes=10)):
        with pytest.raises(ValueError, match="make z_dim and num_classes of both agree"):
            VAE(MLPEncoder(SHAPE, Z), other)
    with pytest.raises(ValueError, match=r"an autoencoder's z is N\(0, I\), not Uniform"):
        VAE(MLPEncoder(SHAPE, Z), MLPGenerator(SHAPE, Z, latent=Uniform()), Gaussian())
    with pytest.raises(ValueError, match="DCGANDecoder has no output bias to centre"):
        dcgan_vae(centre=True)
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        mlp_vae(samples=0)
    with pytest.raises(ValueError, match="needs the label of each sample"):
        mlp_vae(num_classes=10).G(torch.zeros(1, Z))
