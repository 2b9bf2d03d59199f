"""One picture after the other: what has been done, what failed and why, and what it took, as the last lines say."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch

from datamodules.inspection import Progress
from datamodules.open_image import BadImageError
from datamodules.report import examples
from datamodules.sources import Fault
from experiments.errors import RunError, UserError, memory_is_full, sentence_of
from experiments.restore_pictures import Picture, Pictures
from experiments.train import say, show

# What is done to one picture: it, the PNG's path, and the name by which parts are counted (None where pictures are).
Write = Callable[[Picture, Path, str | None], Picture]


@dataclass
class Done:
    """What has been done so far.

    Attributes:
        pictures: how many.
        pixels: of the results.
        faults: files that gave no result.
        lost: what results lack of their files: of which files.
    """

    pictures: int = 0
    pixels: int = 0
    faults: list[Fault] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=dict)


def work(pictures: Pictures, write: Write, out: Path, device: torch.device, verb: str = "restored") -> None:
    """``write`` the results of ``pictures`` into the folder ``out``, and say where they are and what it took.

    Args:
        pictures: to be done.
        write: does one.
        out: of the results.
        device: on which.
        verb: what they are when they are done.

    Raises:
        UserError: not one was done.
        RunError: the disk or the memory is full.
    """
    start = time.perf_counter()
    done = all_of(pictures, write, out, verb)
    for line in summary(done, verb, time.perf_counter() - start, out, device):
        say(line)


def all_of(pictures: Pictures, write: Write, out: Path, verb: str) -> Done:
    """One picture after the other.

    Raises:
        UserError: not one was done.
        RunError: the disk or the memory is full.
    """
    done, several, new = Done(), len(pictures.numbers) > 1, not out.exists()
    made: dict[Path, str] = {}
    progress = Progress(pictures.title, len(pictures.numbers), f"images {verb}")
    for place, index in enumerate(pictures.numbers, 1):
        name = pictures.name(index)
        target = (out / name).with_suffix(".png")
        if target in made:
            done.faults.append(Fault(name, f"its result would be called as that of {made[target]}, rename one of them"))
            continue
        try:
            picture = pictures.read(index)
            result = write(picture, target, None if several else name)
        except (BadImageError, FileExistsError) as error:
            done.faults.append(Fault(name, reason(error)))
        except OSError as error:
            raise RunError(f"{name}: {sentence_of(error)}") from error
        except (MemoryError, RuntimeError) as error:
            if not memory_is_full(error):
                raise
            raise RunError(f"{name} is too large for the memory: make it smaller, or its tiles") from error
        else:
            made[target] = name
            note(done, name, picture, result)
        if several:
            progress.show(place)
    progress.end()
    if not done.pictures:
        if new:
            sweep(out)
        raise UserError(f"nothing was {verb} of {pictures.title}: {examples(done.faults)}")
    return done


def sweep(out: Path) -> None:
    """Remove the folder ``out``, where there is nothing in it but folders."""
    if not out.is_dir() or any(not path.is_dir() for path in out.rglob("*")):
        return
    for folder in sorted([out, *out.rglob("*")], reverse=True):
        folder.rmdir()


def reason(error: Exception) -> str:
    """Why a file gave no result."""
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists and is not overwritten, give another --out"
    return str(error)


def note(done: Done, name: str, picture: Picture, result: Picture) -> None:
    """Add to ``done`` that the file ``name`` has its result."""
    done.pictures += 1
    done.pixels += result.pixels.shape[2] * result.pixels.shape[3]
    for what in picture.lost:
        done.lost.setdefault(what, []).append(name)


def counting(progress: Progress) -> Callable[[], None]:
    """What counts one more whenever it is called."""
    done = count(1)
    return lambda: progress.show(next(done))


def summary(done: Done, verb: str, seconds: float, out: Path, device: torch.device) -> Iterator[str]:
    """What was done, and what it took."""
    for what, names in done.lost.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield f"  lost: {what} ({names[0]}{more})"
    for fault in done.faults:
        yield f"  skipped {fault.name}: {fault.reason}"
    peak = f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
    if device.type == "cuda":
        peak += f" and {torch.cuda.max_memory_allocated(device) / 2**20:,.0f} MB of the device"
    megapixels = done.pixels / 1e6
    yield (
        f"{done.pictures} of {done.pictures + len(done.faults)} images {verb}: {megapixels:,.1f} megapixels in"
        f" {seconds:,.1f} s, {megapixels / seconds:,.2f} a second, {peak}"
    )
    yield show(out.resolve())
