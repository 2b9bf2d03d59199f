"""Laws of the latent scores: hand values, parity with numpy, any batch, and what a run writes of them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place, runs
from torch import Tensor
from toys import Z_DIM, Finite, batches, mlps, trainer

from datamodules.digits import Digits
from experiments.cli import main
from lightning_modules.callbacks.latent_scores import LatentScores
from lightning_modules.gan import GAN
from lightning_modules.latent_cycle import LatentCycle
from lightning_modules.losses.reconstruction import L1
from lightning_modules.metrics.latent import LatentAgreement
from lightning_modules.networks.latent_cycle import MLPEncoder


def agreement(z: Tensor, code: Tensor, batch: int = 1000) -> dict[str, float]:
    metric = LatentAgreement(z.shape[1])
    for part, its_code in zip(z.split(batch), code.split(batch), strict=True):
        metric.update(part, its_code)
    return {name: value.item() for name, value in metric.compute().items()}


def test_agreement_by_hand() -> None:
    z = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    assert agreement(z, z) == {"latent_correlation": pytest.approx(1, abs=1e-12), "latent_l1": 0}
    assert agreement(z, 3 - 2 * z)["latent_correlation"] == pytest.approx(-1, abs=1e-12)
    # (0, 1, 2) beside (0, 2, 1): covariance 1/3 over variance 2/3. The second dimension is right: mean of 1/2 and 1.
    code = torch.tensor([[0.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    assert agreement(z, code) == {
        "latent_correlation": pytest.approx(0.75, abs=1e-12),
        "latent_l1": pytest.approx(2 / 6, abs=1e-12),
    }


def test_a_code_that_never_moves_knows_nothing() -> None:
    z = torch.randn(50, 2)
    assert agreement(z, torch.full((50, 2), 0.3))["latent_correlation"] == 0
    half = torch.stack([z[:, 0], torch.full((50,), 0.3)], dim=1)
    assert agreement(z, half)["latent_correlation"] == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_agreement_is_numpys_in_any_batch(batch: int) -> None:
    torch.manual_seed(0)
    z = 0.1 * torch.randn(200, 5) + 30  # far from zero, where differences of squares lose digits
    code = z + 0.1 * torch.randn(200, 5) * torch.arange(5)
    expected = np.mean([np.corrcoef(z[:, i].double(), code[:, i].double())[0, 1] for i in range(5)])
    found = agreement(z, code, batch)
    assert found["latent_correlation"] == pytest.approx(expected, abs=1e-9)
    assert found["latent_l1"] == pytest.approx((z - code).abs().double().mean().item(), abs=1e-6)


def test_no_codes_have_no_agreement() -> None:
    with pytest.warns(UserWarning, match="before the ``update`` method"), pytest.raises(ValueError, match="no codes"):
        LatentAgreement(2).compute()


# --- the callback -------------------------------------------------------------------------------------------


def cycle() -> LatentCycle:
    return LatentCycle(*mlps(), MLPEncoder((1, 8, 8), Z_DIM, width=8), latent_loss=L1())


def test_scores_are_those_of_the_module_and_touch_no_stream(tmp_path: Path) -> None:
    module, scores = cycle(), LatentScores(samples=250)
    run = trainer(tmp_path, scores, max_steps=2, val_check_interval=1)
    run.fit(module, datamodule=Finite(batches(2)))
    assert [row["d_step"] for row in scores.history] == [0, 1, 2]
    assert scores.history[0]["metrics"] != scores.history[1]["metrics"]
    state = torch.get_rng_state()
    again = scores.score(module, "val")
    assert torch.equal(torch.get_rng_state(), state)
    assert again == {f"val/{name}": value for name, value in scores.history[2]["metrics"].items()}
    assert set(again) == {"val/latent_correlation", "val/latent_l1"}
    assert scores.described["weights"] == "raw"


def test_a_protocol_says_of_which_data() -> None:
    said = []
    for size in (8, 16):
        scores, data = LatentScores(samples=2), Digits(size=size, batch_size=8)
        scores.setup(SimpleNamespace(datamodule=data), cycle(), "fit")  # type: ignore[arg-type]
        said.append(scores.described["data"]["digits"])
    assert [one["images"] for one in said] == [1437, 1437]  # those that are trained on
    assert said[0]["sha256"] != said[1]["sha256"]


def test_the_last_block_is_cut() -> None:
    module, seen = cycle(), []
    whole = module.codes

    def recorded(n: int) -> tuple[Tensor, Tensor]:
        seen.append(whole(n))
        return seen[-1]

    module.codes = recorded  # type: ignore[method-assign]
    few, scores = LatentScores(samples=130), LatentScores(samples=200)
    found = few.score(module, "val")
    z, code = (torch.cat(parts)[:130] for parts in zip(*seen, strict=True))
    assert found["val/latent_correlation"] == pytest.approx(agreement(z, code)["latent_correlation"], abs=1e-12)
    assert found != scores.score(module, "val")


@pytest.mark.parametrize(("samples", "family"), [(1, cycle), (10, lambda: GAN(*mlps()))])
def test_what_cannot_be_scored_is_refused(tmp_path: Path, samples: int, family: Any) -> None:
    with pytest.raises(ValueError, match="latent: "):
        trainer(tmp_path, LatentScores(samples), max_steps=1).fit(family(), datamodule=Finite(batches(1)))


@pytest.mark.usefixtures(place.__name__)
def test_a_record_holds_both_images_and_the_correlation() -> None:
    tiny = [f"--model.init_args.{net}.init_args.width=2" for net in ("generator", "discriminator", "encoder")]
    tiny += ["--config", "smoke", "--evaluation.fakes", "100", "--evaluation.floor", "true"]
    tiny += ["--evaluation.is_splits", "2", "--latent.samples", "100"]
    assert main(["fit", "latent_cycle/refine_digits", *tiny]) == 0
    run = runs()[0]
    record = json.loads((run / "record.json").read_text())
    scores = {name: value for block in record["scores"] for name, value in block["last"]["metrics"].items()}
    assert {"fid@digits-cnn", "fid_first@digits-cnn", "latent_correlation", "latent_l1"} <= scores.keys()
    assert record["scores"][0]["floor"]["fid_first@digits-cnn"] == record["scores"][0]["floor"]["fid@digits-cnn"]
    found = {}
    for number in (1, 2):
        out = Path(f"pass{number}.json")
        look = [
            "evaluate",
            str(run),
            f"--model.init_args.evaluated_pass={number}",
            "--metrics",
            "fid",
            "--out",
            str(out),
        ]
        assert main(look) == 0
        found[number] = json.loads(out.read_text())["scores"]["fid@digits-cnn"]["mean"]
    assert found[1] == pytest.approx(scores["fid_first@digits-cnn"], rel=1e-6)
    assert found[2] == pytest.approx(scores["fid@digits-cnn"], rel=1e-6)
