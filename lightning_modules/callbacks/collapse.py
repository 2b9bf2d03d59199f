"""A watch on the score that tells when a GAN comes apart, while there is time to stop it.

What else speaks of a collapse is on every chart anyway: D's gap (``d/gap``) and both gradients' norms
(``d/grad_norm``, ``g/grad_norm``). TROUBLESHOOTING.md has the ranges of healthy runs.
"""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import forgotten

NOTHING = 1e-9  # what a distance of 0, or below by rounding, counts as in a ratio


class CollapseWatch(Callback):
    """Says so when a score has risen far above its best, and charts the ratio as ``<score>_over_best``.

    Args:
        factor: times its best that a score may reach.
        least: what a better best counts as, so that noise near the floor is no collapse.
        prefix: of the scores that are watched: all Frechet distances of the validation, Inception's bare ``fid`` too.
    """

    def __init__(self, factor: float = 2.0, least: float = 1.0, prefix: str = "val/fid") -> None:
        if factor <= 1:
            raise ValueError(f"collapse: factor must be above 1, got {factor}")
        self.factor, self.least, self.prefix = factor, least, prefix
        self.best: dict[str, float] = {}
        self.best_step: dict[str, int] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget what was measured otherwise; it stands behind the scores, which know by now what that is."""
        for name in forgotten(trainer) & self.best.keys():
            del self.best[name], self.best_step[name]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare each score with its best so far."""
        assert isinstance(pl_module, AtelierModule)
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        watched = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(self.prefix)}
        ratios = {name: self.judge(name, value, pl_module.global_step) for name, value in watched.items()}
        if ratios:
            pl_module.write_row({f"{name}_over_best": ratio for name, ratio in ratios.items()})

    def judge(self, name: str, value: float, step: int) -> float:
        """How far the score lies above its best, which it may become; says so where that is too far."""
        if value <= self.best.get(name, float("inf")):
            self.best[name], self.best_step[name] = value, step
        best = self.best[name]
        ratio = max(value, NOTHING) / max(best, NOTHING)
        if value > self.factor * max(best, self.least):
            say(
                f"step {step}: {name} is {value:.4g}, {ratio:.1f} times its best ({best:.4g} at step "
                f"{self.best_step[name]}): the run may be collapsing, see TROUBLESHOOTING.md"
            )
        return ratio

    def state_dict(self) -> dict[str, Any]:
        """The best scores, and when they were."""
        return {"best": dict(self.best), "best_step": dict(self.best_step)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best scores of before."""
        self.best, self.best_step = dict(state_dict["best"]), dict(state_dict["best_step"])


@rank_zero_only
def say(line: str) -> None:
    """Print ``line`` once, whatever Lightning's own messages are set to."""
    print(line, flush=True)
