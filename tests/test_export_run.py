"""Export: what is reloaded gives the run's images to the last bit; the card says what it is; nothing half-written."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fit, place, runs
from restore_runs import FAMILY as SR
from restore_runs import run as restore_run
from safetensors.torch import load_file
from torch import Tensor

from datamodules.functional.quantise import to_uint8
from experiments import export as exporting
from experiments import onnx_file
from experiments.cli import main
from experiments.errors import RunError
from experiments.export import load_export
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from experiments.weights import load_weights
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.dcgan import DCGANGenerator

pytestmark = pytest.mark.usefixtures(place.__name__)
LACKING = onnx_file.what_onnx_lacks()
needs_onnx = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


class Labelled(DCGANGenerator):
    """A generator that shifts its noise by the class."""

    num_classes = 10

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return super().forward(z + y[:, None].to(z.dtype))


class Secretive(GAN):
    """A family that exchanges the generator it was given."""

    def __init__(self, generator: Generator, discriminator: Discriminator, **settings: Any) -> None:
        super().__init__(DCGANGenerator(8, 1, z_dim=5, width=4), discriminator, **settings)


def module_of(run: Path):
    cli = AtelierCLI([("config.yaml", read_layer(run / "config.yaml"))], [])
    cli.build()
    load_weights(cli.model, run / "checkpoints" / "last.ckpt")
    return cli.model


def exported(run: Path, *options: str) -> Path:
    assert main(["export", str(run), "--out", "out", *options]) == 0
    return Path("out")


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


# --- the way back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", ["null", "{half_life_kimg: 1}"])
def test_the_reloaded_generator_gives_the_runs_images_to_the_bit(ema):
    run = fit("--model.ema", ema)
    network, card = load_export(exported(run, "--onnx", "no"))
    module = module_of(run)
    z = torch.randn(16, 4)
    assert torch.equal(to_uint8(network(z), tuple(card["value_range"])), module.generate_image(z))
    assert torch.equal(network(z), module(z))
    assert card["weights"]["which"] == ("raw" if ema == "null" else "ema")
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_the_weights_are_the_averaged_ones_and_in_full():
    run = fit()
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    own = load_file(exported(run, "--onnx", "no") / "model.safetensors")
    averaged = {name.removeprefix("ema.net."): value for name, value in state.items() if name.startswith("ema.net.")}
    assert own.keys() == averaged.keys()
    assert all(torch.equal(own[name], averaged[name]) for name in own)
    assert any(not torch.equal(own[name], state[f"G.{name}"]) for name in own)


def test_loading_draws_nothing_from_the_random_streams():
    folder = exported(fit(), "--onnx", "no")
    before = torch.get_rng_state()
    load_export(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_not_as_the_card_says_is_refused():
    folder = exported(fit(), "--onnx", "no")
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="sha256 is another"):
        load_export(folder)
    weights.unlink()
    with pytest.raises(ValueError, match="is no export"):
        load_export(folder)


# --- the card -------------------------------------------------------------------------------------------------


def test_the_card_says_what_the_files_are():
    run = fit("--seed_everything", "2")
    folder = exported(run, "--onnx", "no")
    card = json.loads((folder / "card.json").read_text())
    assert (card["experiment"], card["seed"], card["checkpoint"], card["counters"]["g_step"]) == ("tiny", 2, "last", 4)
    assert card["network"]["class_path"] == "lightning_modules.networks.dcgan.DCGANGenerator"
    assert card["network"]["init_args"]["width"] == 4
    assert card["network"]["parameters"] == sum(p.numel() for p in module_of(run).G.parameters())
    normal = {"class_path": "lightning_modules.networks.latents.Gaussian", "init_args": {}}
    assert card["inputs"] == {"z": {"dtype": "float32", "shape": ["N", 4], "distribution": normal}}
    assert card["output"] == {"name": "x", "dtype": "float32", "shape": ["N", 1, 8, 8]}
    assert card["weights"]["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert card["versions"]["torch"] == torch.__version__.split("+")[0]
    assert card["scores"] == []
    assert str(Path.cwd()) not in json.dumps(card)
    assert "onnx" not in card


def test_the_card_says_how_z_is_drawn():
    latent = {"class_path": "lightning_modules.networks.latents.Clustered", "init_args": {"modes": 2, "deviation": 0.3}}
    run = fit("--model.generator.latent", json.dumps(latent))
    _, card = load_export(exported(run, "--onnx", "no"))
    assert card["inputs"]["z"]["distribution"] == latent
    module = module_of(run)

    class Fitted(GAN):
        def sample_z(self, n: int) -> Tensor:
            return torch.ones(n, 4)

    class Seeded(DCGANGenerator):
        def sample_z(self, n: int) -> Tensor:
            return torch.zeros(n, 4)

    own = {Fitted.sample_z: Fitted(module.G, module.D), Seeded.sample_z: GAN(Seeded(8, 1, z_dim=4, width=4), module.D)}
    for drawing, other in own.items():  # whose latent says nothing of how they draw
        assert exporting.distribution(other) == {"drawn_by": f"{__name__}.{drawing.__qualname__}"}


def test_a_classifier_is_exported_with_its_scores_and_their_protocol():
    options = ["--config", "smoke", "--trainer.accelerator", "cpu"]
    assert main(["fit", "classifier/cnn_digits32", *options]) == 0
    run = runs()[-1].absolute()
    network, card = load_export(exported(run, "--onnx", "no"))
    x = torch.rand(3, 1, 32, 32)
    assert torch.equal(network(x), module_of(run)(x))
    assert (card["output"]["name"], card["output"]["shape"]) == ("logits", ["N", 10])
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    (scores,) = card["scores"]
    assert scores["metrics"]["accuracy"] == pytest.approx(last["val/accuracy"])
    record = json.loads((run / "record.json").read_text())
    assert scores["protocol"] == record["scores"][0]["protocol"]
    assert scores["protocol"]["data"]["digits"]["images"] == scores["protocol"]["images"] == 360


def test_a_conditional_generator_takes_its_classes():
    path = f"{__name__}.Labelled"
    run = fit("--model.generator", path, "--model.generator.size", "8", "--model.generator.channels", "1")
    network, card = load_export(exported(run, "--onnx", "no"))
    assert card["network"]["class_path"] == path
    assert card["inputs"]["y"] == {"dtype": "int64", "shape": ["N"], "classes": 10}
    z, y = torch.randn(3, 4), torch.tensor([0, 1, 2])
    assert torch.equal(to_uint8(network(z, y)), module_of(run).generate_image(z, y))


# --- mistakes -------------------------------------------------------------------------------------------------


def refused(capfd, *words: str) -> str:
    capfd.readouterr()
    before = files()
    assert main(["export", *words]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert files() == before
    return said


def test_mistakes_cost_one_sentence(capfd):
    run = str(fit())
    assert "export needs trained weights" in refused(capfd)
    assert "nowhere is no run directory" in refused(capfd, "nowhere")
    assert "expects auto, yes or no, got 'perhaps'" in refused(capfd, run, "--onnx", "perhaps")
    assert "there is no option --outt: did you mean --out?" in refused(capfd, run, "--outt", "x")
    assert "there is no option --nothing" in refused(capfd, run, "--nothing", "x")
    assert main(["export", run, "--onnx", "no"]) == 0
    assert "exists and is not overwritten" in refused(capfd, run, "--onnx", "no")


def test_a_family_that_makes_its_own_network_is_refused(capfd):
    run = fit("--model", f"{__name__}.Secretive", "--model.generator.z_dim", "4")
    assert "nothing under model.init_args makes this DCGANGenerator again" in refused(capfd, str(run), "--onnx", "no")


def test_a_failure_leaves_nothing_behind(monkeypatch, capfd):
    run, whole = fit(), exporting.replacing

    def full(path):
        if path.name == "card.json":
            raise OSError("disk full")
        return whole(path)

    monkeypatch.setattr(exporting, "replacing", full)
    before = files()
    assert main(["export", str(run), "--onnx", "no"]) == 1
    assert "atelier: disk full." in capfd.readouterr().err
    assert files() == before


# --- ONNX -----------------------------------------------------------------------------------------------------


def test_without_its_packages_onnx_is_left_out_with_a_sentence(monkeypatch, capfd):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    run = str(fit())
    sentence = "ONNX needs onnx, onnxscript, onnxruntime, not installed here: pip install 'lightning-atelier[onnx]'"
    assert sentence in refused(capfd, run, "--onnx", "yes")
    assert main(["export", run]) == 0
    assert f"without model.onnx: {sentence}" in capfd.readouterr().out
    assert {path.name for path in Path(run).glob("export-step4/*")} == {"model.safetensors", "card.json"}


@needs_onnx
@pytest.mark.parametrize("batch", [1, 5])
def test_the_onnx_file_gives_the_same_images_at_any_batch_size(batch):
    import onnxruntime

    run = fit()
    folder = exported(run, "--onnx", "yes")
    card = json.loads((folder / "card.json").read_text())
    assert card["onnx"]["sha256"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert card["onnx"]["difference"] < 1e-5
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    z = torch.randn(batch, 4)
    (x,) = session.run(["x"], {"z": z.numpy()})
    torch.testing.assert_close(torch.from_numpy(x), module_of(run)(z), rtol=0, atol=1e-5)


@needs_onnx
def test_onnx_takes_classes_and_classifiers_too():
    import onnxruntime

    options = ["--model.generator.size", "8", "--model.generator.channels", "1"]
    folder = exported(fit("--model.generator", f"{__name__}.Labelled", *options), "--onnx", "yes")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    assert [entry.name for entry in session.get_inputs()] == ["z", "y"]
    assert main(["fit", "classifier/cnn_digits32", "--config", "smoke", "--trainer.accelerator", "cpu"]) == 0
    assert main(["export", str(runs()[-1]), "--onnx", "yes"]) == 0


class Frozen(torch.nn.Module):
    """Unrolls a loop over the samples."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([row.tanh() for row in z])


@needs_onnx
def test_a_network_that_freezes_its_batch_size_is_refused():
    with pytest.raises(RunError, match=r"^Frozen works for one batch size alone"):
        onnx_file.onnx_file(Frozen().eval(), {"z": torch.randn(2, 4)}, "x")


class Unwritable(torch.nn.Module):
    """Branches on its values."""

    def forward(self, z: Tensor) -> Tensor:
        return z if z.sum() > 0 else -z


@needs_onnx
def test_a_network_that_cannot_be_traced_is_refused():
    with pytest.raises(
        RunError, match=r"^Unwritable cannot be written as ONNX \(.{20,}\): give --onnx no to leave it out$"
    ):
        onnx_file.onnx_file(Unwritable().eval(), {"z": torch.randn(2, 4)}, "x")


@pytest.mark.parametrize("onnx", ["no", pytest.param("yes", marks=needs_onnx)])
def test_a_network_that_enlarges_goes_out_with_its_scale(onnx):
    folder = restore_run("lightning_modules.networks.srcnn.SRCNN", SR, network={"widths": [4, 3]}, colour="luma")
    network, card = load_export(exported(folder, "--onnx", onnx))
    assert card["inputs"] == {"y": {"dtype": "float32", "shape": ["N", 1, 48, 48]}, "scale": 3}
    assert card["output"] == {"name": "x", "dtype": "float32", "shape": ["N", 1, 144, 144]}
    y = torch.rand(1, 1, 7, 5)
    assert torch.equal(network(y, 3), module_of(folder).evaluated.eval()(y, 3))
