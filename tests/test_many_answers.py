"""Several answers to one image: how far from each other, by hand, in the hole and elsewhere, at a validation."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from test_inpainting import quarter
from test_low_light_families import SIDE, Pairs, pairs
from test_restoration_gan import Mean, Shift, ShiftFill, Told, ToldFill
from toys import trainer

from datamodules.damage import Holed
from datamodules.pairs import PairSet
from lightning_modules.callbacks.fidelity import BACK, FidelityScores
from lightning_modules.many_answers import DRAWS
from lightning_modules.metrics.fidelity.spread import AnswerSpread
from lightning_modules.networks.identity import Identity
from lightning_modules.reconstruction import ReconstructionModule

APART = 0.1 * 8**0.5  # the deviation of 0.1 and -0.3


def test_the_spread_is_the_standard_deviation() -> None:
    answers = torch.zeros(2, 2, 3, 4, 4)
    answers[1, 0] = 0.2  # of the first image 0.02 is the variance, the second has none
    for value_range, scale in (((0.0, 1.0), 1), ((-1.0, 1.0), 2)):
        spread = AnswerSpread(holes=False)
        spread.update(answers, value_range)
        assert spread.as_floats() == pytest.approx({"spread": 0.02**0.5 / 2 / scale})
    with pytest.raises(ValueError, match="draw 2 or more"):
        spread.update(answers[:1], (0.0, 1.0))


def test_the_hole_and_what_is_known_are_told_apart() -> None:
    hole = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    hole[0, :, :2], hole[1] = True, True  # half, all and nothing: an image with one of the parts is left out
    answers = torch.zeros(2, 3, 3, 4, 4)
    answers[1, :, :, :2], answers[1, 0, :, 2:] = 1.0, 0.2
    spread = AnswerSpread(holes=True)
    spread.update(answers, (0.0, 1.0), hole)
    assert spread.as_floats() == pytest.approx({"spread-hole": 0.5**0.5, "spread-known": 0.02**0.5})


def test_a_validation_draws_answers_scores_and_shows_them(tmp_path: Path) -> None:
    module, scores = Told(Shift(), Mean(), z_dim=1), FidelityScores("rgb", 0, answers=2)
    trainer(tmp_path, scores).validate(module, datamodule=Pairs(pairs(1)), verbose=False)
    assert scores.history[-1]["metrics"]["two/spread"] == pytest.approx(APART)
    assert module.panels()["restored"].shape == (2, 3 + DRAWS, 3, SIDE, SIDE)
    other = FidelityScores("rgb", 0, answers=2)
    with pytest.raises(ValueError, match=r"fidelity.answers: a ReconstructionModule has one answer"):
        trainer(tmp_path, other).validate(ReconstructionModule(Identity()), datamodule=Pairs(pairs(1)), verbose=False)


class Holes(Pairs):
    """The same with the middle missing."""

    def pairs(self) -> list[PairSet]:
        hole = quarter(1, SIDE).hole
        return [PairSet("two", 1, [Holed(x[:1], x[:1] * ~hole, hole) for x, _ in pairs(2)])]


def test_answers_are_scored_as_they_are_made_and_known_pixels_too(tmp_path: Path) -> None:
    module, scores = ToldFill(ShiftFill(), Mean(), z_dim=1), FidelityScores("rgb", 0, answers=4)
    trainer(tmp_path, scores).validate(module, datamodule=Holes(pairs(1)), verbose=False)
    found = scores.history[-1]["metrics"]
    assert found["two/spread-hole"] == pytest.approx(found["two/spread-known"])
    assert found["two/spread-known"] == pytest.approx(0.1 * (16 / 3) ** 0.5)
    assert "two/spread" not in found


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(_all_scores([rank == 0, rank == 1]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _all_scores(mine: list[bool]) -> dict[str, float]:
    """Those of two sets of one image each, of which this process has seen what is ``mine``."""
    scores = FidelityScores("rgb", 0, distances=True, answers=2, back_labels=["black", "grey", "white"])
    scores.sets = [PairSet(name, 1, pairs(1)) for name in ("a", "b")]
    module = Told(Shift(), Mean(), z_dim=1)
    scores.on_validation_epoch_start(None, module)  # type: ignore[arg-type]
    for seed, (name, seen) in enumerate(zip("ab", mine, strict=True)):
        made, right, drawn = (torch.rand(2, 3, 64, 64, generator=generator(seed + part)) for part in (0, 10, 20))
        for back in ("", BACK) if seen else ():
            way = f"{name}{back}"
            scores.scored.setdefault(way, scores.fresh(scores.sets[seed], module.device, back))
            scores.scored[way].update(made, right, (0.0, 1.0), torch.arange(64).expand(2, 1, 64, 64) < 20 + seed)
        if seen:
            scores.scored[name].update_spread(drawn[:, None], (0.0, 1.0), None)
    found: dict[str, float] = {}
    scores.keep = lambda _, values: found.update(values)  # type: ignore[method-assign]
    module.log_scores = lambda _: None  # type: ignore[method-assign]
    scores.score(module, "val")
    return found


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_ranks_without_an_image_of_a_set_meet_the_others(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    one = _all_scores([True, True])
    assert {name.split("/")[0] for name in one} == {"a", "b"}
    for score in ("a/spread", "b/swd", "a/back/spectrum", "b/back/psnr@rgb-hole", "a/back/class_iou@3colours"):
        assert score in one
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("answers", [1, -1])
def test_one_answer_has_no_spread(answers: int) -> None:
    with pytest.raises(ValueError, match=rf"fidelity.answers is {answers}: give 2 or more"):
        FidelityScores(answers=answers)
