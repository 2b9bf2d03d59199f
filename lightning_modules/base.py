"""What all families share: evaluated weights (EMA), keyed noise, finite guard, counters, warm start, compilation.

``adversarial.py`` and ``reconstruction.py`` stand on it; a family stands on one of those.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from datamodules.functional.keys import key, seed_streams
from datamodules.functional.quantise import ValueRange
from lightning_modules.contract import StatesItsClasses, StatesItsData
from lightning_modules.ema import EMA, EMASettings
from lightning_modules.evaluating import evaluating
from lightning_modules.guard import FiniteGuard, refuse_bad
from lightning_modules.losses.terms import FirstLook
from lightning_modules.ranks import means_over_ranks
from lightning_modules.scaling import refuse_half_weights
from lightning_modules.schedules import Rates, Schedule, rates_of
from lightning_modules.warm_start import matching_weights

OptimizerCallable = Callable[[Iterable[nn.Parameter]], Optimizer]

GUARD_EVERY = 50  # steps between two reads of the finite guard, each a device synchronisation


class AtelierModule(L.LightningModule):
    """A LightningModule with one clock, keyed noise, averaged weights and a finite guard.

    Args:
        seed: key of all noise drawn in training.
        compile: compile the networks in place; penalties still run the eager forward.
        channels_last: keep 4-D weights and batches in channels-last memory format.
        ema: average the evaluated network's weights; None evaluates the raw ones.
        init_from: checkpoint to take matching weights from at the start; what did not match is printed.
    """

    value_range: ValueRange | None = None
    other_names: ClassVar[Mapping[str, str]] = {}  # beginnings of weights' names in other families, and here
    leaves_idle: ClassVar[bool] = False  # a step gives some of the trained weights no gradient, which plain DDP awaits
    answer_is_trained: ClassVar[bool] = False  # predictions are one image that training made, not computed of a batch

    def __init__(
        self,
        *,
        seed: int = 0,
        compile: bool = False,
        channels_last: bool = False,
        ema: EMASettings | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.init_from = seed, init_from
        self.uses_compile, self.uses_channels_last, self.ema_settings = compile, channels_last, ema
        self.ema: EMA | None = None
        self.images_seen = 0  # reals, over all ranks
        self._lazy_row: dict[str, Tensor] = {}
        self.g_step = 0  # updates of the evaluated network
        self.row: dict[str, Tensor] = {}  # this step's terms and watched values, on the device
        self.is_logged = False  # whether the loggers will write this step's row
        self._images_averaged = 0
        self._resumed = False
        self._loaded_step = 0  # the checkpoint's: a validation or test of it has no steps of its own
        self._guard = FiniteGuard()
        self._first_look = FirstLook()
        self._first_rates: list[list[Rates]] = []

    # --- to be said by a base or family ---------------------------------------------------------------------

    @property
    @abstractmethod
    def net(self) -> nn.Module:
        """The network that is evaluated, sampled and averaged."""

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that are trained: compiled and laid out together."""
        return [self.net]

    @property
    def schedules(self) -> list[Schedule | None]:
        """One schedule, or None, for each optimizer."""
        return []

    @property
    def batches_for_round(self) -> int:
        """Training batches between two updates of the evaluated network."""
        return 1

    def batches_for(self, g_steps: int) -> int:
        """Training batches until the evaluated network has been updated ``g_steps`` times."""
        return g_steps

    def check_data(self, data: StatesItsData) -> None:
        """Raise ValueError where ``data`` does not fit the networks."""
        if self.value_range is not None and data.value_range != self.value_range:
            raise ValueError(
                f"{type(self).__name__} works on values in {self.value_range}, the data module gives "
                f"{data.value_range}: choose a data module with that value_range"
            )

    def check_classes(self, known: int | None, data: object) -> None:
        """Raise ValueError where a network that knows ``known`` classes gets labels of another number."""
        if known is not None and isinstance(data, StatesItsClasses) and data.num_classes != known:
            raise ValueError(
                f"{type(self).__name__} knows {known} classes, the data module {data.num_classes or 'none'}: "
                "set num_classes of the network to that of the data"
            )

    def panels(self) -> dict[str, Tensor]:
        """Named pictures of this moment, uint8 [n, C, H, W] or a sheet [rows, columns, C, H, W], of fixed noise."""
        return {}

    # --- evaluation -----------------------------------------------------------------------------------------

    def average(self, net: nn.Module) -> None:
        """Start the average of ``net`` where the settings ask for one."""
        if self.ema_settings is not None:
            self.ema = EMA(net, self.ema_settings)

    @property
    def evaluated(self) -> nn.Module:
        """The averaged network where there is one, else the raw one."""
        return self.net if self.ema is None else self.ema.net

    @property
    def weights_name(self) -> str:
        """Which weights are evaluated, for protocols."""
        return "raw" if self.ema is None else "ema"

    def forward(self, *inputs: Tensor) -> Tensor:
        """The evaluated network's answer, in evaluation mode, without gradients."""
        with evaluating(self.evaluated) as net:
            return net(*inputs)

    # --- training -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Before the first step: lay out and compile the networks, and compare them with the data."""
        if stage != "fit":
            return
        refuse_half_weights(self.trainer)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.to(self.device)  # Lightning says where weights are to go, and moves them after this: checks ask networks
        if isinstance(data, StatesItsData):
            self.check_data(data)
        if self.uses_channels_last:
            self.to(memory_format=torch.channels_last)
        if self.uses_compile:
            for net in self.networks:
                net.compile()

    def on_fit_start(self) -> None:
        """Warm-start, unless the run goes on from a checkpoint of its own, which Lightning has loaded by now."""
        if self.init_from is not None and not self._resumed:
            self.load_matching(self.init_from)

    def load_matching(self, path: str) -> None:
        """Take every weight of the checkpoint ``path`` whose name and shape match, and print the others."""
        match, others = matching_weights(path, self, self.other_names)
        self.load_state_dict(match, strict=False)
        if self.ema is not None and not any(k.startswith("ema.") for k in match):
            self.ema.copy_from(self.net)
        self.print(f"init_from {path}: {len(match)} of {len(self.state_dict())} tensors taken")
        for line in others:
            self.print(f"  {line}")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Key this step's noise by (seed, rank, step), once: the same after a resume, other on each rank."""
        seed_streams(key(self.seed, self.global_rank, self.global_step), self.device)
        self.row = {}
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        self.is_logged = bool(every) and (self.global_step + 1) % every == 0
        self.apply_schedules()

    def trained_optimizers(self) -> list[Optimizer]:
        """The optimizers that ``configure_optimizers`` gave, in its order."""
        optimizers = self.optimizers(use_pl_optimizer=False)
        return optimizers if isinstance(optimizers, list) else [optimizers]

    @property
    def progress(self) -> float:
        """The share of the schedules' horizon that is done: of the run."""
        return self.global_step / self.trainer.max_steps

    def apply_schedules(self) -> None:
        """Set each optimizer's learning rates for the coming step."""
        if not any(self.schedules):
            return
        if self.trainer.max_steps < 1:
            raise ValueError("a schedule needs the run's length: give clock.g_steps, clock.kimg or clock.epochs")
        progress = self.progress
        for opt, schedule, rates in zip(self.trained_optimizers(), self.schedules, self._first_rates, strict=True):
            if schedule is not None:
                for group, rate in zip(opt.param_groups, rates, strict=True):
                    group["lr"] = rate.lr * schedule.factor(progress)

    def remember_rates(self, optimizers: list[Optimizer]) -> list[Optimizer]:
        """Note what schedules and annealing scale; returns ``optimizers``."""
        self._first_rates = [rates_of(opt) for opt in optimizers]
        return optimizers

    def note(self, terms: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add ``share`` of each value to this step's row, on the device."""
        for name, value in terms.items():
            part = value.detach() * share
            self.row[name] = self.row[name] + part if name in self.row else part

    def maker(self, term: str) -> object:
        """What the ``term`` of an objective is made by: this family, unless said otherwise."""
        return self

    def guard_terms(self, terms: Mapping[str, Tensor]) -> None:
        """Show the finite guard this update's loss terms."""
        self._guard.observe(terms, self.global_step)

    def finish_step(self) -> None:
        """Log this step's row where the loggers will write it, and read the guard now and then."""
        if self.global_step % GUARD_EVERY == 0:
            self._guard.check()
        self._lazy_row |= {name: self.row[name] for name in self.lazy_terms if name in self.row}
        if self.is_logged:
            self.write_row(means_over_ranks(self._lazy_row | self.row, self.device))

    @property
    def lazy_terms(self) -> Sequence[str]:
        """Names of what is not in every step's row: a row that is logged has their last values."""
        return ()

    def write_row(self, values: dict[str, float]) -> None:
        """Hand ``values`` and the counters to the loggers at D's step; Lightning's own shifts by one on resume."""
        for logger in self.trainer.loggers:
            logger.log_metrics({**values, **self.counters()}, step=self.global_step)

    def log_scores(self, scores: dict[str, float]) -> None:
        """Log validation scores, known on every rank, and make them available to callbacks that monitor one."""
        self.log_dict(scores, logger=False)
        self.write_row(scores)

    def counters(self) -> dict[str, float]:
        """The x-axes of every chart: steps of D (the clock), of G, and thousands of images."""
        return {
            "d_step": float(max(self.global_step, self._loaded_step)),
            "g_step": float(self.g_step),
            "kimg": self.images_seen / 1000,
        }

    def count_images(self, n: int) -> None:
        """Count ``n`` reals of this rank's batch, times the ranks."""
        self.images_seen += n * self.trainer.world_size

    def update_ema(self) -> None:
        """Take the evaluated network, ``g_step`` times updated by now, into the average."""
        if self.ema is not None:
            self.ema.update(self.net, self.g_step, self.images_seen - self._images_averaged, self.images_seen)
        self._images_averaged = self.images_seen

    @torch.no_grad()
    def average_buffers(self) -> None:
        """Average float buffers (batch statistics) over the ranks, in place; each rank's had drifted."""
        if dist.is_available() and dist.is_initialized():
            for buffer in filter(torch.is_floating_point, self.buffers()):
                dist.all_reduce(buffer)
                buffer /= dist.get_world_size()

    def on_validation_start(self) -> None:
        """Evaluate one network, not one a rank."""
        self.average_buffers()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save what is not finite, and add the counters."""
        self._guard.check()
        self.average_buffers()
        refuse_bad(checkpoint["state_dict"])
        checkpoint["counters"] = {
            "images_seen": self.images_seen,
            "g_step": self.g_step,
            "images_averaged": self._images_averaged,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters back."""
        self._resumed, self._loaded_step = True, checkpoint["global_step"]
        counters = checkpoint["counters"]
        self.images_seen, self.g_step = counters["images_seen"], counters["g_step"]
        self._images_averaged = counters["images_averaged"]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Nothing of its own: callbacks look at the evaluated network. There, so that validation runs at all."""

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """As in validation."""
        return self.validation_step(batch, batch_idx, dataloader_idx)
