"""The YAMLs that are merged into one configuration, in order: read, checked at their top, and made ready to merge.

Lists do not merge, which is why the house callbacks are top-level keys. A callback that one layer switches off with
``null`` stays off in the layers after it: an overlay such as smoke.yaml tunes what an experiment has, and adds nothing.
A length in one unit of the clock replaces an earlier one in another.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from experiments.errors import UserError, did_you_mean
from experiments.table_file import UNITS, Loader


def read_layer(file: Path) -> dict[str, Any]:
    """The keys and values of one YAML.

    Raises:
        UserError: it is no YAML, no mapping, or says a key twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content, twice = get_loader("yaml")(text), next(said_twice(yaml.compose(text, Loader)), None)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UserError(f"{file} is no valid YAML{where}: mend it there") from error
    except RecursionError as error:
        raise UserError(f"{file} holds an anchor that refers to itself: write out what it stands for") from error
    if twice is not None:
        line = twice.start_mark.line + 1
        raise UserError(f"{file} says {twice.value} twice (line {line}): leave out one, the later would win unheard")
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise UserError(f"{file} must hold keys and values, such as `clock: {{kimg: 100}}`")
    return dict(content)


def said_twice(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Each key in ``node`` that its mapping has had before; YAML's own merge key may come again."""
    if isinstance(node, yaml.MappingNode):
        said = {"<<": False}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if said.get(key.value):
                    yield key
                said.setdefault(key.value, True)
            yield from said_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from said_twice(value)


def check_top(layer: Mapping[str, Any], where: str, heads: Collection[str], groups: Collection[str]) -> None:
    """Check the top-level keys of ``layer`` against ``heads``; those of ``groups`` must be mappings.

    Raises:
        UserError: an unknown key, or a group that is none. (jsonargparse lets an empty one pass.)
    """
    for key, value in layer.items():
        head = str(key).split(".")[0]
        if head not in heads:
            advice = did_you_mean(head, heads, f"known are {', '.join(sorted(heads))}")
            raise UserError(f"{where} has no use for a key {key}: {advice}")
        if key in groups and not isinstance(value, Mapping):
            raise UserError(f"{key} in {where} expects keys and values, got {value!r}")


def keep_off(layers: Iterable[Mapping[str, Any]], callbacks: Collection[str]) -> Iterator[dict[str, Any]]:
    """The ``layers`` without what they say of a callback that an earlier one has switched off."""
    off: set[str] = set()
    for layer in layers:
        yield {key: value for key, value in layer.items() if key not in off}
        off |= {key for key in callbacks if key in layer and layer[key] is None}


def one_length(layer: Mapping[str, Any]) -> dict[str, Any]:
    """``layer`` with null for the units of the clock that it does not speak of, where it speaks of one."""
    clock = layer.get("clock")
    if not isinstance(clock, Mapping) or not any(unit in clock for unit in UNITS):
        return dict(layer)
    return {**layer, "clock": {**dict.fromkeys(UNITS), **clock}}


def one_length_options(options: Sequence[str]) -> list[str]:
    """The same for command-line options."""
    given = {option.split("=")[0].removeprefix("--clock.") for option in options if option.startswith("--clock.")}
    others = [unit for unit in UNITS if unit not in given] if given & set(UNITS) else []
    return [*(word for unit in others for word in (f"--clock.{unit}", "null")), *options]


def as_text(layer: Mapping[str, Any]) -> str:
    """``layer`` as YAML text, which the parser reads like a file."""
    return yaml.safe_dump(dict(layer), sort_keys=False) if layer else "{}"
