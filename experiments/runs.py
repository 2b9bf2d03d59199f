"""A run's own directory: ``runs/<experiment>/<time>-s<seed>/`` with config.yaml, command.txt and checkpoints/."""

import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from datamodules.functional.files import replacing
from datamodules.functional.locks import is_taken, taken
from experiments.errors import UserError

RUN_DIR_VARIABLE = "ATELIER_RUN_DIR"  # how the other ranks' processes learn the directory that rank 0 made
COMMANDS = "command.txt"  # is only ever added to, so that its lock can stand for the run
DEPTHS = ("*", "*/*", "*/*/*")  # of run directories below runs_dir
PATIENCE = 2.0  # seconds: a table that asks whether a run goes on takes a share of its lock for a moment


@dataclass(frozen=True)
class RunDirectory:
    """One run's directory, known to exist.

    Args:
        path: absolute.
        made: the folders that were made for it, itself first; none where it was there already.
    """

    path: Path
    made: tuple[Path, ...] = ()

    @property
    def last_checkpoint(self) -> Path:
        """Where the newest checkpoint lies."""
        return self.checkpoint("last")

    def checkpoint(self, which: str) -> Path:
        """Where checkpoint ``which``, "last" or "best", lies."""
        return self.path / "checkpoints" / f"{which}.ckpt"

    @property
    def configs(self) -> list[Path]:
        """config.yaml, then config-2.yaml and so on: one for each resume that changed something."""
        extra = [p for p in self.path.glob("config-*.yaml") if re.fullmatch(r"config-\d+", p.stem)]
        return [self.path / "config.yaml", *sorted(extra, key=lambda p: int(p.stem.split("-")[1]))]

    @property
    def config(self) -> Path:
        """The configuration in force."""
        return self.configs[-1]

    def write_config(self, text: str) -> None:
        """Put down the resolved configuration; an earlier one is kept beside it."""
        configs = self.configs
        target = configs[0] if not configs[0].exists() else self.path / f"config-{len(configs) + 1}.yaml"
        with replacing(target) as file:
            file.write(text.encode())

    def add_command(self, argv: Sequence[str]) -> None:
        """Add the command line to command.txt; what is not UTF-8 in it as escapes."""
        with (self.path / COMMANDS).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(shlex.join(["atelier", *argv]) + "\n")

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let others see, until the block or the process ends, that the run goes on.

        Nobody sees it on a file system without locks, where training is possible all the same.

        Raises:
            UserError: it goes on already, in another process.
        """
        with ExitStack() as stack:
            with suppress(OSError):
                if not stack.enter_context(taken(self.path / COMMANDS, PATIENCE)):
                    raise UserError(f"{self.path.name} goes on in another process: wait for its end, or stop it first")
            yield

    def discard(self) -> None:
        """Remove what was made for this run and holds nothing of others; a directory found is left alone."""
        if self.made:
            shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # the first that others use, or that nobody may remove, and all above it stay
            for folder in self.made[1:]:
                folder.rmdir()


def goes_on(folder: Path) -> bool | None:
    """Whether some process trains the run in ``folder``; None where nothing tells."""
    return is_taken(folder / COMMANDS)


def create_run(runs_dir: str, experiment: str, seed: int) -> RunDirectory:
    """Make the directory of a new run, which nobody else then has; a second one in the same second ends in ``-2``.

    Raises:
        UserError: the experiment's name leads out of ``runs_dir``, or the directory cannot be made.
    """
    name = Path(experiment)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise UserError(f"experiment {experiment!r} does not serve as a folder: give a name such as gan/mine")
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-s{seed}"
    parent = Path(runs_dir).absolute() / name
    above = tuple(folder for folder in (parent, *parent.parents) if not folder.exists())
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path = _make_free(parent, stem)
        return RunDirectory(path, (path, *above))
    except OSError as error:
        raise UserError(
            f"no run directory can be made in {parent} ({error.strerror}): give another --runs_dir"
        ) from error


def _make_free(parent: Path, stem: str) -> Path:
    count = 1
    while True:
        path = parent / (stem if count == 1 else f"{stem}-{count}")
        try:
            path.mkdir()
        except FileExistsError:
            count += 1
        else:
            return path


def is_child_rank() -> bool:
    """Whether this process was started by another rank, which has made the run directory."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0 or int(os.environ.get("NODE_RANK", "0")) > 0


def refuse_tasks(devices: int) -> None:
    """Raise UserError where Slurm's tasks would be the ranks of one training: none learns the first one's directory.

    A first task that trains on one device is alone; in jobs of two names Lightning does not look for tasks.
    """
    tasks, task = (int(os.environ.get(f"SLURM_{name}", "0")) for name in ("NTASKS", "PROCID"))
    is_shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if tasks > 1 and not is_shell and (devices > 1 or task > 0):
        raise UserError(
            f"Slurm's {tasks} tasks would be ranks without the run directory of the first: start one, as by `srun"
            " --ntasks=1 --job-name=interactive`, and let trainer.devices start the others"
        )


def inherited_run() -> RunDirectory:
    """The directory that rank 0 made.

    Raises:
        UserError: it was not handed on, as under torchrun.
    """
    path = os.environ.get(RUN_DIR_VARIABLE)
    if path is None:
        raise UserError(
            f"this is not the first rank and {RUN_DIR_VARIABLE} is not set: start one process and let"
            " trainer.devices start the others"
        )
    return RunDirectory(Path(path))


def open_run(path: str) -> RunDirectory:
    """The run whose directory is ``path``.

    Raises:
        UserError: it is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path} is no run directory: there is no such folder")
    if not (folder / "config.yaml").is_file():
        inside = find_runs_below(folder)
        advice = f"did you mean {inside[-1]}?" if inside else "runs lie in runs/<experiment>/<time>-s<seed>"
        raise UserError(f"{path} is no run directory, it holds no config.yaml: {advice}")
    return RunDirectory(folder.resolve())


def find_runs_below(folder: Path) -> list[Path]:
    """Run directories up to three levels below ``folder``, the latest last."""
    found = [p.parent for depth in DEPTHS for p in folder.glob(f"{depth}/config.yaml")]
    return sorted(found, key=lambda p: p.name)


def pictures_over_time(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """The pictures NAME-COUNT.png of ``folder`` by name: images seen and file, in order."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*.png")):
        name, _, count = path.stem.rpartition("-")
        if count.isdecimal():
            found.setdefault(name, []).append((int(count), path))
    return found
