"""Where ``atelier table NAME --run`` runs its cells: on this machine, or as jobs of slurm through submitit."""

import importlib.util
import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from datamodules.functional.cores import cores
from experiments.errors import UserError, one_line
from experiments.table_jobs import Cell, End, Going, Outcome, Place, attempt, begin

THREADS, GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
EVERY = 1_000_000  # jobs: as many as there are cells


class Job(Protocol):
    """A cell that is being run."""

    def poll(self) -> Outcome | None:
        """What came of it; None as long as it goes on."""
        ...

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Executor(ABC):
    """Runs cells.

    Args:
        place: where records are.
        at_once: how many cells may go on at a time.
    """

    def __init__(self, place: Place, at_once: int) -> None:
        self.place, self.at_once = place, at_once

    @abstractmethod
    def submit(self, cell: Cell) -> Job | Outcome:
        """Begin with ``cell``, or tell at once what came of it."""


class LocalExecutor(Executor):
    """On this machine, whose cores the cells share evenly unless OMP_NUM_THREADS says how many each has.

    Of several GPUs each cell is given one, that with the fewest cells on it.
    """

    def __init__(self, place: Place, at_once: int) -> None:
        super().__init__(place, at_once)
        self.begun: list[tuple[str, Going]] = []  # by GPU

    def submit(self, cell: Cell) -> Going | Outcome:
        """Start a process."""
        if len(self.gpus) < 2:
            return begin(cell, self.place, shared_threads(self.at_once))
        self.begun = [(gpu, going) for gpu, going in self.begun if going.process.poll() is None]
        busy = [gpu for gpu, _ in self.begun]
        gpu = min(self.gpus, key=busy.count)
        going = begin(cell, self.place, shared_threads(self.at_once) | {GPUS: gpu})
        if isinstance(going, Going):
            self.begun.append((gpu, going))
        return going

    @cached_property
    def gpus(self) -> list[str]:
        """The GPUs that may be used, by their names in CUDA_VISIBLE_DEVICES; none where one cell at a time has all."""
        if self.at_once == 1:
            return []
        if GPUS in os.environ:
            return [name for name in os.environ[GPUS].split(",") if name]
        import torch

        return [str(number) for number in range(torch.cuda.device_count())]


def shared_threads(jobs: int) -> dict[str, str]:
    """The environment of each of ``jobs`` processes; a single one has what it would have by itself."""
    if jobs == 1 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, cores() // jobs))}


@dataclass
class SubmittedJob:
    """A cell in submitit's hands."""

    job: Any
    stopped: bool = False

    def poll(self) -> Outcome | None:
        """What came of it, there; a job that never came to an end has failed."""
        if not self.job.done():
            return None
        if self.stopped:
            return Outcome(End.STOPPED)
        try:
            return self.job.result()
        except Exception as error:  # whatever the job raised, or submitit because there is no result
            return Outcome(End.FAILED, f"job {self.job.job_id}: {one_line(str(error)).split('. ')[0].rstrip('.')}")

    def stop(self) -> None:
        """Take it out of the queue, or end it: slurm asks first, and the run saves a checkpoint."""
        self.stopped = True
        self.job.cancel()

    def kill(self) -> None:
        """Nothing more: slurm sees to it."""


class SubmititExecutor(Executor):
    """One job a cell, on machines that share this one's file system: it takes the cell's lock where it runs.

    Args:
        place: where records are.
        at_once: how many jobs may be queued at a time.
        partition: of the cluster; its own default unless given.
        gpus: of each job.
        hours: after which a job is ended; its run is resumed by the next ``--run``.
        cluster: submitit's name for where jobs go.

    Raises:
        UserError: submitit is not installed, or this machine has no slurm.
    """

    def __init__(
        self,
        place: Place,
        at_once: int = EVERY,
        partition: str | None = None,
        gpus: int = 1,
        hours: int = 24,
        cluster: str = "slurm",
    ) -> None:
        super().__init__(place, at_once)
        if importlib.util.find_spec("submitit") is None:
            raise UserError("--executor slurm needs submitit: pip install 'lightning-atelier[slurm]'")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise UserError("--executor slurm finds no sbatch here: run it on a machine that submits to slurm")
        self.cluster = cluster
        self.asked: dict[str, Any] = {"name": "atelier", "timeout_min": 60 * hours, "gpus_per_node": gpus}
        if partition is not None:
            self.asked["slurm_partition"] = partition

    @cached_property
    def executor(self) -> Any:
        """Submitit's own, which makes a folder for what it hands over."""
        import submitit

        executor = submitit.AutoExecutor(folder=self.place.work / "jobs", cluster=self.cluster)
        executor.update_parameters(**self.asked)
        return executor

    def submit(self, cell: Cell) -> SubmittedJob:
        """Queue a job."""
        return SubmittedJob(self.executor.submit(attempt, cell, self.place))
