"""What was typed after a command: whom it is about, which YAMLs, which options are the command's own, and the rest."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from experiments.catalogue import DEFAULTS, find_experiment, find_file
from experiments.errors import UserError, nearest

FLAGS = ("--print_config", "--dry_run")  # options that take no value
LARGEST = 2**63  # whole numbers are below it: torch takes no larger seeds
Do = TypeVar("Do")
MISSPELT = 0.8  # how near a word is to one of the command's own options that it was meant to be


class Options(dict[str, str]):
    """Options and their values; remembers which of them somebody asked for.

    Attributes:
        asked: their names.
        meant: whom alone anybody may ask for; None is all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()
        self.meant: set[str] | None = None

    def __contains__(self, name: object) -> bool:
        self._ask(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        self._ask(name)
        return super().__getitem__(name)

    def get(self, name: str, otherwise: Any = None) -> Any:
        """The value of ``name``, or ``otherwise``."""
        self._ask(name)
        return super().get(name, otherwise)

    def _ask(self, name: str) -> None:
        assert self.meant is None or name in self.meant, f"{name} is not said to be an option of this task"
        self.asked.add(name)


class Task(NamedTuple, Generic[Do]):
    """One of the things that a command does."""

    do: Do
    options: tuple[str, ...]  # those of the command's own that it knows, beside those that each task does


@dataclass
class Request:
    """One command line, sorted.

    Args:
        target: the first word, unless it is an option: an experiment, a run directory or a checkpoint.
        configs: the values of --config, in order.
        own: the command's own options and their values.
        flags: those of the command's own options that take no value.
        overrides: all the rest, for the configuration.
    """

    target: str | None = None
    configs: list[str] = field(default_factory=list)
    own: Options = field(default_factory=Options)
    flags: set[str] = field(default_factory=set)
    overrides: list[str] = field(default_factory=list)


def read_request(argv: Sequence[str], own: Sequence[str] = (), flags: Sequence[str] = ()) -> Request:
    """Sort ``argv``, in which the options ``own`` are the command's, and ``flags``, which take no value.

    Raises:
        UserError: one of them, or --config, stands without a value, or an option is nearly one of them.
    """
    request, words = Request(), list(argv)
    if words and not words[0].startswith("-"):
        request.target = words.pop(0)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in flags:
            request.flags.add(word)
            continue
        if not name.startswith("-") or name in FLAGS:
            request.overrides.append(word)
            continue
        if name not in own and (meant := nearest(name, [*own, *flags, *FLAGS], MISSPELT)):
            raise UserError(f"there is no option {name}: did you mean {meant}?")
        if not equals and (not words or words[0].startswith("--")):
            raise UserError(f"{name} stands without a value: write {name} VALUE")
        value = value if equals else words.pop(0)
        if name in own:
            request.own[name] = value
        elif name in ("--config", "-c"):
            request.configs.append(value)
        elif value.lstrip().startswith("#"):  # which YAML reads as nothing at all
            raise UserError(f"{name} is {value}, a comment in YAML: put it in quotes of its own, {name} '\"{value}\"'")
        else:
            request.overrides += [name, value]
    return request


def find_layers(request: Request, command: str) -> tuple[str | None, list[Path]]:
    """The experiment's name, if it was named, and the files to merge, the defaults first.

    Raises:
        UserError: nothing was named, or a file is not there.
    """
    if request.target is None and not request.configs:
        raise UserError(
            f"{command} needs an experiment, such as `atelier {command} gan/dcgan_digits`: `atelier list` names them"
        )
    name, files = None, [DEFAULTS]
    if request.target is not None:
        name, file = find_experiment(request.target)
        files.append(file)
    return name, files + [find_file(config) for config in request.configs]


def number(request: Request, name: str, least: int) -> int | None:
    """The whole number given for the command's own option ``name``, None where it was not given.

    Raises:
        UserError: no whole number of at least ``least``.
    """
    text = request.own.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"{name} expects a whole number of at least {least}, got {text!r}")
    if int(text) >= LARGEST:
        raise UserError(f"{name} expects a whole number below 2^63, got {text!r}")
    return int(text)


def sides(request: Request, name: str) -> tuple[int, int] | None:
    """Width and height in px given for the command's own option ``name``, None where it was not given.

    Raises:
        UserError: not two whole numbers above 0 with an x between.
    """
    text = request.own.get(name)
    if text is None:
        return None
    found = text.lower().split("x")
    if len(found) != 2 or not all(side.isdecimal() and int(side) > 0 for side in found):
        raise UserError(f"{name} expects WIDTHxHEIGHT in px, such as 400x200, got {text!r}")
    return int(found[0]), int(found[1])


def real(text: str, name: str) -> float:
    """The number ``text`` of the command's own option ``name``.

    Raises:
        UserError: no finite number of 0 or more.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(f"{name} expects numbers of 0 or more, got {text!r}")
    return value


def take_task(request: Request, command: str, tasks: Mapping[str, Task[Any]], of_all: Sequence[str]) -> str:
    """The word of ``request`` that names what ``command`` is to do, taken out of what is left for the configuration.

    Args:
        request: the command line.
        command: whose.
        tasks: by their words.
        of_all: options that every task knows.

    Raises:
        UserError: it names none of ``tasks``, or an option that was given has no meaning for it.
    """
    task, known = next((word for word in request.overrides if not word.startswith("-")), ""), list(tasks)
    if task not in known:
        raise UserError(f"{command} does one of {', '.join(known)}: `atelier {command} RUN_DIR {known[0]}`")
    request.overrides.remove(task)
    request.own.meant = {*of_all, *tasks[task].options}
    for name in request.own:
        if name not in request.own.meant:
            raise UserError(f"{name} has no meaning for {task}: leave it out")
    return task


def ignored(request: Request) -> str:
    """What is to be said of the options that nobody has asked for, now that the work is done; empty if there are none.

    They mean something to the task, and nothing beside the others that were given.
    """
    names = [name for name in request.own if name not in request.own.asked]
    return f"{', '.join(names)} had no meaning beside the other options" if names else ""


def new_path(path: str | Path, shown: str | None = None) -> Path:
    """``path``, at which --out is to be written: nothing is there yet, and something can be put there.

    Args:
        path: of a file or a folder.
        shown: how it is called in a message; as it is unless given.

    Raises:
        UserError: otherwise.
    """
    path, shown = Path(path), shown or str(path)
    if os.path.lexists(path):
        raise UserError(f"{shown} exists and is not overwritten: give another --out")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{shown} cannot be written, {above} is no folder or a protected one: give another --out")
    return path


def out_folder(path: str) -> Path:
    """``path``, a folder or nothing yet.

    Raises:
        UserError: something else is there, or nothing can be put there.
    """
    out = Path(path)
    if out.exists() and not out.is_dir():
        raise UserError(f"{path} is no folder: give another --out")
    return out if out.exists() else new_path(out)


def new_file(path: str | Path, kinds: Sequence[str]) -> Path:
    """``new_path`` of a file of one of ``kinds``, endings such as ".png".

    Raises:
        UserError: as there, or another ending.
    """
    out = new_path(path)
    if out.suffix not in kinds:
        raise UserError(f"--out is {out}: give a file that ends in {' or '.join(kinds)}")
    return out
