"""Configurations as flat settings such as ``model.generator.width``, and those in which runs differ. No torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from experiments.table_file import Loader

TOLD_ELSEWHERE = ("experiment", "seed_everything", "runs_dir", "record")
CLASS, ARGUMENTS = "class_path", "init_args"
WITH_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")  # 1e-3, which YAML takes for a word, is 0.001
UNKNOWN = "?"  # the value of a run whose configuration is not known


@dataclass(frozen=True)
class Settings:
    """What a run was told.

    Args:
        values: as texts, by their names.
        whole: whether defaults are among them; where not, an absent one may have any value.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False


def read_settings(text: str, whole: bool) -> Settings:
    """The settings of a YAML's ``text``.

    Raises:
        ValueError: it is no YAML, or no mapping.
    """
    try:
        content = yaml.load(text, Loader)  # a safe one
    except yaml.YAMLError as error:
        raise ValueError("no valid YAML") from error
    if not isinstance(content, Mapping):
        raise ValueError("no keys and values")
    return Settings(flat(content), whole)


def flat(config: Mapping[str, Any]) -> dict[str, str]:
    """``config`` in one level; a class's arguments are below it, members of a list are called by their classes."""
    return {key: text for key, text in _flat("", config) if key.split(".")[0] not in TOLD_ELSEWHERE}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if CLASS in value:
            yield name, _short(value[CLASS])
            value = value.get(ARGUMENTS) or {}
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        met: dict[str, int] = {}
        for i, part in enumerate(value):
            called = _short(part[CLASS]) if isinstance(part, Mapping) and CLASS in part else str(i)
            met[called] = met.get(called, 0) + 1
            yield from _flat(f"{name}.{called}{f'-{met[called]}' if met[called] > 1 else ''}", part)
    elif value is not None:
        yield name, _text(value)


def _short(path: str) -> str:
    return str(path).rsplit(".", 1)[-1]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) or (isinstance(value, str) and WITH_EXPONENT.fullmatch(value)):
        return f"{float(value):.12g}"
    return str(value)


def differences(settings: Sequence[Settings]) -> dict[str, list[str | None]]:
    """The settings that are not the same in all of ``settings``, each with its values; None where it is not set.

    One that some have as a default, which they do not spell out, differs where those that do spell it out differ. The
    arguments of a class that itself differs stand behind its name where runs of one class have the same ones.
    """
    return folded(differing(settings))


def differing(settings: Sequence[Settings]) -> dict[str, list[str | None]]:
    """``differences`` with a line for each argument."""
    names = sorted({name for one in settings for name in one.values})
    known = [one for one in settings if one.values]
    some_whole = any(one.whole for one in known)
    found = {}
    for name in names:
        told = {one.values.get(name) for one in known if name in one.values or one.whole or not some_whole}
        if len(told) > 1:
            found[name] = [one.values.get(name) if one.values else UNKNOWN for one in settings]
    return found


def folded(found: Mapping[str, list[str | None]]) -> dict[str, list[str | None]]:
    """``found`` with the arguments of differing classes behind their names."""
    kept = {name: list(values) for name, values in found.items()}
    for name in sorted(found, key=lambda name: -name.count(".")):
        above, _, last = name.rpartition(".")
        if "." not in above or above not in found or not implied(found[name], found[above]):
            continue
        if any(other.startswith(f"{name}.") for other in kept):
            continue
        for i, value in enumerate(kept.pop(name)):
            if value not in (None, UNKNOWN):
                kept[above][i] = ", ".join(filter(None, (kept[above][i], f"{last} {value}")))
    return kept


def implied(values: Sequence[str | None], above: Sequence[str | None]) -> bool:
    """Whether ``values`` follow from what the settings ``above`` are."""
    return all(len({v for v, a in zip(values, above, strict=True) if a == one}) == 1 for one in set(above))
