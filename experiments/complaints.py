"""Turn what jsonargparse says of a wrong configuration into one sentence that names the key and the fix.

Its messages are long and nested (a union of types reports on each), but of few forms: an option not accepted, a type
that does not fit, a class that is not there, an argument that is missing. Of several complaints the first that is none
about ``null`` or a path is the one meant. The forms are jsonargparse 4.53's; tests/test_bad_input.py reads each.
"""

import importlib
import inspect
import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from experiments.errors import did_you_mean, nearest, one_line, sentence_of

KEY = re.compile(r'Parser key "([^"]+)":')
CLASS = re.compile(r"class_path[= ]'([^']+)'")
UNKNOWN = re.compile(r"(?:[Oo]ption '([^']+)' is not accepted|does not accept option '([^']+)')")
UNRECOGNISED = re.compile(r"unrecognized arguments: (\S+)")
MISSING = re.compile(r"the following arguments are required: (\S+)")
NO_CLASS = re.compile(r"module '([^']+)' has no attribute '([^']+)'")
NO_MODULE = re.compile(r"No module named '([^']+)'")
NOT_SUBCLASS = re.compile(r"Import path(?: \S+)? does not correspond to a subclass of (\w+)")
EXPECTED = re.compile(r"Expected an? (?!path\b)(?!<class 'NoneType'>)(.+?)(?=\. Got value: |\n|$)")
WHOLE = re.compile(r"^ *Given value: (\[.*\])$", re.MULTILINE)  # of which a complaint names one element
GIVEN = re.compile(r"(?:Got value|Given value): (.+?)(?=\. Got value: |\n|$)")
SUBTYPES = re.compile(r"Subtypes: \[(.+)\]")


def explain(message: str, options: Iterable[str]) -> str:
    """One sentence for jsonargparse's ``message``, given the ``options`` that the command line knows."""
    known = sorted(options)
    if (found := UNRECOGNISED.search(message)) and not keys_before(message, found.start()):
        return unknown_option(found[1], known)
    if found := UNKNOWN.search(message) or UNRECOGNISED.search(message):
        return unknown_key(message, found, known)
    if found := MISSING.search(message):
        return f"{join([*keys_before(message, found.start()), found[1]])} is missing: give it in the configuration"
    for form, say in ((NO_CLASS, absent_class), (NO_MODULE, absent_module), (NOT_SUBCLASS, not_a_subclass)):
        if found := form.search(message):
            return f"{join(keys_before(message, found.start()))} {say(found)}"
    return wrong_type(message) or one_line(message)


NAMED_CLASS = re.compile(r"\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.[A-Z]\w*\b")  # and not train.ckpt, which is no code


def broken_file(texts: Iterable[str]) -> str | None:
    """Why a file of the working directory cannot be imported that ``texts`` name as package.module.Class, if one can't.

    jsonargparse's complaint is about the key that names it, or hides the file's mistake in the middle of a dump.
    """
    for module in dict.fromkeys(name for text in texts for name in NAMED_CLASS.findall(text)):
        first = module.split(".")[0]
        if not (Path(f"{first}.py").is_file() or Path(first).is_dir()):
            continue
        try:
            importlib.import_module(module)
        except SyntaxError as error:
            return f"{error.filename}, line {error.lineno}: {error.msg}"
        except Exception as error:
            if not isinstance(error, ModuleNotFoundError) or not f"{module}.".startswith(f"{error.name}."):
                frames = traceback.extract_tb(error.__traceback__)
                last = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())] or frames
                where = f"{last[-1].filename}, line {last[-1].lineno}"
                return f"{module} cannot be imported, {where}: {sentence_of(error)}"
    return None


USUALLY = {
    "seed": "seed_everything",
    "batch_size": "data.batch_size",
    "ckpt_path": "resume RUN_DIR",
    "name": "experiment",
}


def unknown_option(option: str, known: Iterable[str]) -> str:
    """For what no part of the command line knows; options are compared whole, then by their last part."""
    name = option.split("=")[0].lstrip("-")
    if not option.startswith("-"):
        return f"{option} is not understood: options begin with --, values follow theirs"
    by_last = {key.split(".")[-1]: key for key in known}
    meant = USUALLY.get(name) or by_last.get(name) or nearest_path(name, known)
    advice = f"did you mean --{meant}?" if meant else "--print_config shows every key"
    return f"there is no option --{name}: {advice}"


def nearest_path(name: str, known: Iterable[str]) -> str | None:
    """The known key nearest to ``name``; where only its first part is wrong, ``name`` with that part mended."""
    head, _, rest = name.partition(".")
    heads = {key.split(".")[0] for key in known}
    if rest and head not in heads and (meant := nearest(head, heads)):
        whole = f"{meant}.{rest}"
        return whole if whole in known else nearest(whole, [*known, whole])
    return nearest(name, known)


def unknown_key(message: str, found: re.Match[str], known: Iterable[str]) -> str:
    """For a key that a class, a group or the whole configuration does not have."""
    name = next(part for part in found.groups() if part).lstrip("-").split(".")[0]
    group = re.search(r"Group '([^']+)'", message)
    above = keys_before(message, found.start()) or ([group[1]] if group else [])
    if above and not group:
        names = arguments_of(class_named(message, found.start()))
    else:
        names = sorted(children(join(above), known))
    meant = nearest(name, names)
    advice = f"did you mean {join([*above, meant])}?" if meant else f"known are {', '.join(names)}"
    return f"there is no key {join([*above, name])}: {advice}"


def children(above: str, known: Iterable[str]) -> set[str]:
    """The next part of each known key below ``above``; of all keys where it is empty."""
    prefix = f"{above}." if above else ""
    return {key[len(prefix) :].split(".")[0] for key in known if key.startswith(prefix)}


def wrong_type(message: str) -> str | None:
    """For a value whose type does not fit: the key, what was given, what is expected."""
    keys = list(KEY.finditer(message))
    expected = EXPECTED.search(message, keys[-1].end() if keys else 0) if keys else None
    if expected is None:
        return None
    key = join(keys_before(message, expected.start()))
    leaf = message[keys[-1].end() :]
    union = SUBTYPES.search(leaf)
    kinds = pretty(union[1] if union else expected[1])
    given = (WHOLE.search(leaf) if union else None) or GIVEN.search(leaf)
    value = given[1].strip() if given else ""
    shown = "null" if value == "None" else repr(value)
    advice = f": {meant}" if (meant := nearest_class(union[1] if union else expected[1], value)) else ""
    return f"{key} expects {kinds}, got {shown}{advice}"


def nearest_class(types: str, value: str) -> str | None:
    """Where one of the expected types is a base class of ours, the one of its kinds that ``value`` may mean."""
    for path in re.findall(r"<class '(lightning_modules\.[^']+|datamodules\.[^']+)'>", types):
        base: type = class_at(path)
        kinds = {kind.__name__ for kind in below(base)}
        if meant := nearest(value, kinds):
            return f"did you mean {meant}?"
    return None


def class_at(path: str) -> Any:
    """What package.module.Class names; None if nothing."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name, None) if module else None


def below(cls: type) -> set[type]:
    """``cls`` and all its subclasses that are loaded."""
    found = {cls}
    kinds: list[type] = type.__subclasses__(cls)
    for kind in kinds:
        found |= below(kind)
    return found


def pretty(types: str) -> str:
    """``<class 'int'>, <class 'NoneType'>`` as ``int or null``."""
    choices = ", ".join(re.findall(r"Literal\[(.+?)\]", types))
    names = [kind.split(".")[-1] for kind in re.findall(r"<class '([^']+)'>", types)]
    lists = [f"a list of {kind.split('.')[-1]}" for kind in re.findall(r"\blist\[([\w.]+)\]", types)]
    parts = [*(name for name in names if name != "NoneType"), *lists, *([choices] if choices else [])]
    parts += ["null"] if "NoneType" in names else []
    return " or ".join(dict.fromkeys(parts)) if parts else types


def absent_class(found: re.Match[str]) -> str:
    """For a class path whose module has no such class."""
    module, name = found[1], found[2]
    classes = [n for n, c in vars(importlib.import_module(module)).items() if inspect.isclass(c)]
    meant = nearest(name, classes)
    return f"names {module}.{name}, which does not exist: " + (
        f"did you mean {module}.{meant}?" if meant else f"{module} has {', '.join(sorted(classes))}"
    )


def absent_module(found: re.Match[str]) -> str:
    """For a class path whose module cannot be imported."""
    own = "a file of your own is looked for in the working directory and along PYTHONPATH"
    advice = did_you_mean(found[1], MODULES, own if "." not in found[1] else "write class_path as package.module.Class")
    return f"names the module {found[1]}, which cannot be imported: {advice}"


MODULES = ("lightning_modules", "datamodules", "lightning", "torch")


def not_a_subclass(found: re.Match[str]) -> str:
    """For a class path of another kind of class."""
    return f"expects a kind of {found[1]}, and this class_path names none"


def keys_before(message: str, end: int) -> list[str]:
    """The nested keys that lead to position ``end``."""
    return [found[1] for found in KEY.finditer(message, 0, end)]


def class_named(message: str, position: int) -> str:
    """The class that a complaint at ``position`` is about: named before it, for a callable after it."""
    before = CLASS.findall(message[:position])
    callable_at = message.rfind("expects a function or a callable class", 0, position)
    after = CLASS.findall(message[position:]) if callable_at >= 0 else []
    return (after or before)[0 if after else -1]


def arguments_of(class_path: str) -> list[str]:
    """The keys that a class takes, those of its bases included."""
    cls = class_at(class_path)
    names = ArgumentParser().add_class_arguments(cls, "it", fail_untyped=False, sub_configs=True)
    return [*sorted({name.removeprefix("it.").split(".")[0] for name in names}), "class_path", "init_args"]


UNION = "Does not validate against any of the Union subtypes"


def refusal(error: BaseException) -> BaseException:
    """What a constructor raised, out of jsonargparse's wrapping."""
    while str(error).startswith(UNION) and error.__cause__ is not None:
        error = error.__cause__
    return error


def join(keys: Iterable[str]) -> str:
    """Nested keys as one."""
    return ".".join(keys)
