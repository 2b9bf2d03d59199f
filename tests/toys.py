"""Tiny networks, data and trainers, and processes that start fast: what the law tests share."""

import multiprocessing
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from datamodules.digits import Digits
from datamodules.functional.keys import key
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.checkpoints import AtomicCheckpointIO
from lightning_modules.callbacks.scores import Scores
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

SHAPE = (1, 8, 8)
Z_DIM = 4
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning", "torchmetrics", "lightning_modules.gan", "datamodules.digits"])


def sgd(lr: float = 0.1, fused: bool = False) -> Callable[[Any], SGD]:
    return lambda parameters: SGD(parameters, lr=lr, fused=fused)


def mlps(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[MLPGenerator, MLPDiscriminator]:
    torch.manual_seed(seed)
    return MLPGenerator(shape, Z_DIM, width=8, tanh=True), MLPDiscriminator(shape, width=8)


def dcgans(seed: int = 0, size: int = 8, batch_norm: bool = True) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    torch.manual_seed(seed)
    G, D = DCGANGenerator(size, 1, z_dim=Z_DIM, width=4), DCGANDiscriminator(size, 1, width=4, batch_norm=batch_norm)
    return G, D


def batches(count: int, n: int = 8, shape: tuple[int, ...] = SHAPE) -> list[tuple[Tensor, Tensor]]:
    """A finite loader: ``count`` batches of (x, y), always the same."""
    stream = torch.Generator().manual_seed(key(count, n))
    x = torch.rand(count, n, *shape, generator=stream) * 2 - 1
    y = torch.randint(10, (count, n), generator=stream)
    return list(zip(x, y, strict=True))


class WithNoise(NamedTuple):
    """A batch that brings its noise: what micro-batches and ranks split is then the same noise."""

    x: Tensor
    y: Tensor
    z_d: Tensor
    z_g: Tensor


def batches_with_noise(count: int, n: int = 8) -> list[WithNoise]:
    stream = torch.Generator().manual_seed(key(count, n))
    z = torch.randn(count, 2, n, Z_DIM, generator=stream)
    return [WithNoise(x, y, *z[i]) for i, (x, y) in enumerate(batches(count, n))]


class Rates(L.Callback):
    """Notes the learning rate of each optimizer's first group at each of its updates, in ``used``."""

    def __init__(self) -> None:
        self.used: dict[Optimizer, list[float]] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Optimizer) -> None:
        self.used.setdefault(optimizer, []).append(optimizer.param_groups[0]["lr"])


class Listed:
    """A list as a loader; a bare list would be taken for many loaders."""

    def __init__(self, items: Sequence[Sequence[Tensor]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        return iter(self.items)


class Finite(L.LightningDataModule):
    """Somebody else's data: a finite list of batches, so that Lightning's epochs end."""

    value_range = (-1.0, 1.0)

    def __init__(self, train: Sequence[Sequence[Tensor]]) -> None:
        super().__init__()
        self.train = train
        self.batch_size = len(train[0][0])
        self.out_shape = tuple(train[0][0].shape[1:])

    @property
    def images_per_epoch(self) -> int:
        return sum(len(batch[0]) for batch in self.train)

    def train_dataloader(self) -> Listed:
        return Listed(self.train)

    def val_dataloader(self) -> Listed:
        return Listed(self.train[:1])


class Told(MLPGenerator):
    """Draws the noise that it is told."""

    told: Tensor

    def sample_z(self, n: int) -> Tensor:
        assert n == len(self.told)
        return self.told


class ToldGAN(GAN):
    """A GAN whose noise comes with the batch."""

    def d_loss(self, x: Tensor, y: Tensor, z_d: Tensor, z_g: Tensor) -> Terms:  # type: ignore[override]
        self.G.told = z_d
        return super().d_loss(x, y)

    def g_loss(self, x: Tensor, y: Tensor, z_d: Tensor, z_g: Tensor) -> Terms:  # type: ignore[override]
        self.G.told = z_g
        return super().g_loss(x, y)


class Recording(GAN):
    """Writes down who played, in which order, and what each step logged."""

    def __init__(self, generator: Generator, discriminator: Discriminator, **settings: Any) -> None:
        super().__init__(generator, discriminator, **settings)
        self.order = ""
        self.rows: list[dict[str, float]] = []

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        self.order += "D" if loss_fn == self.d_loss else "G"
        super().update(opt, loss_fn, batch)

    def finish_step(self) -> None:
        super().finish_step()
        self.rows.append({name: float(value) for name, value in self.row.items()})


class ToldRecording(ToldGAN, Recording):
    """Both."""


def told_gan(**settings: Any) -> ToldRecording:
    torch.manual_seed(0)
    G, D = Told(SHAPE, Z_DIM, width=8, tanh=True), MLPDiscriminator(SHAPE, width=8)
    return ToldRecording(G, D, **{"d_optimizer": sgd(), "g_optimizer": sgd(), **settings})


class Logged(DummyLogger):
    """Keeps the rows that a logger gets."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.rows.append((kwargs["step"], dict(args[0] if args else kwargs["metrics"])))


def trainer(folder: Path, *callbacks: L.Callback, **settings: Any) -> L.Trainer:
    """A trainer as the experiments' defaults make it, without loggers."""
    options = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": -1,
        "logger": False,
        "plugins": [],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": None,
        "use_distributed_sampler": False,
        **settings,
    }
    options["enable_checkpointing"] |= any(
        isinstance(callback, L.pytorch.callbacks.Checkpoint) for callback in callbacks
    )
    options["plugins"] = [*options["plugins"], AtomicCheckpointIO()]
    return L.Trainer(callbacks=list(callbacks), default_root_dir=folder, **options)


class Apart(CPUAccelerator):
    """Has its device apart from where networks are built, as a GPU has."""

    def setup_device(self, device: torch.device) -> None:
        pass


class Elsewhere(SingleDeviceStrategy):
    """A run on the device "meta", whose tensors have no numbers."""

    def __init__(self) -> None:
        super().__init__(torch.device("meta"), Apart())

    def teardown(self) -> None:
        """Nothing comes back from there."""


class Given(Scores):
    """Scores what it is told, one value a validation, as ``val/score``, or under another name."""

    def __init__(self, *values: float, name: str = "score") -> None:
        super().__init__()
        self.values, self.name = list(values), name

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = self.values[len(self.history)]
        self.keep(pl_module, {self.name: value})  # type: ignore[arg-type]
        pl_module.log_scores({f"val/{self.name}": value})  # type: ignore[operator]


def fit(folder: Path, *callbacks: L.Callback, module: GAN | None = None, batch_size: int = 8, **settings: Any) -> GAN:
    """Train, from the last checkpoint where there is one."""
    last = folder / "checkpoints" / "last.ckpt"
    module = module or GAN(*mlps())
    run = trainer(folder, *callbacks, **settings)
    data = Digits(size=8, batch_size=batch_size)
    run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    return module


def step_of(folder: Path, name: str) -> int:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"]


def weights(net: nn.Module) -> dict[str, Tensor]:
    """A copy of the state."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Largest difference of any two values of equal name."""
    assert a.keys() == b.keys()
    return torch.stack([(a[name].double() - b[name].double()).abs().max() for name in a]).max().item()  # NaN stays NaN


def same(a: Any, b: Any) -> bool:
    """Whether two nests of plain values and tensors are equal to the last bit."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(function: Callable[..., None], *arguments: Any) -> multiprocessing.Process:
    """Run ``function`` in a process of its own, forked from a server that has imported Lightning already."""
    process = PROCESSES.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def wait(processes: Sequence[multiprocessing.Process], seconds: float = 60) -> None:
    for process in processes:
        process.join(seconds)
    stuck = [process for process in processes if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck, "a process hangs"
    assert [process.exitcode for process in processes] == [0] * len(processes)


class LinearCritic(Discriminator):
    """D(x) = w.x, whose gradient is w at every x; counts its forward passes."""

    def __init__(self, norm: float = 3.0, shape: tuple[int, ...] = SHAPE) -> None:
        super().__init__()
        w = torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape)
        self.w = nn.Parameter(w * (norm / w.norm()))
        self.blocks = nn.Sequential()
        self.forwards = 0

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self.forwards += 1
        return (x * self.w).flatten(1).sum(1)
