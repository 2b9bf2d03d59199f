"""The experiments that come with the package: their names, their files, and what their header comments say."""

from pathlib import Path

from experiments.errors import UserError, did_you_mean

ROOT = Path(__file__).parent
DEFAULTS = ROOT / "defaults.yaml"
NOT_STEMS = ("bench", "debug", "results", "sweeps", "tables")


def experiments() -> dict[str, Path]:
    """Name ("gan/dcgan_digits") to file, in order."""
    files = sorted(ROOT.glob("*/*.yaml"))
    return {name_of(file): file for file in files if file.parent.name not in NOT_STEMS}


def overlays() -> dict[str, Path]:
    """Name ("smoke") to file of the YAMLs that are merged over an experiment."""
    files = sorted([*ROOT.glob("*.yaml"), *ROOT.glob("debug/*.yaml")])
    return {name_of(file): file for file in files if file != DEFAULTS}


def name_of(file: Path) -> str:
    """The name of a file of the package: its path below it, without the ending."""
    return file.relative_to(ROOT).with_suffix("").as_posix()


def headline(file: Path) -> str:
    """The first line of the header comment, without its sign; empty where there is none."""
    with file.open(encoding="utf-8") as lines:
        first = lines.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""


def find_experiment(name: str) -> tuple[str, Path]:
    """Name and file of the experiment ``name``: one of the package's, or the path of a YAML.

    Raises:
        UserError: neither.
    """
    known = experiments()
    if name in known:
        return name, known[name]
    if name.endswith((".yaml", ".yml")):
        return Path(name).stem, find_file(name)
    if (Path(name) / "config.yaml").is_file():
        raise UserError(f"{name} is a run, not an experiment: `atelier fit --resume {name}` goes on with it")
    short = {full.split("/")[-1]: full for full in known}
    if name in short:
        raise UserError(f"there is no experiment {name}: did you mean {short[name]}?")
    advice = did_you_mean(name, known, "`atelier list` names them all")
    raise UserError(f"there is no experiment {name}: {advice}")


def find_file(name: str) -> Path:
    """The file that ``--config name`` means: a path, or the name of an experiment or overlay of the package.

    Raises:
        UserError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = {**overlays(), **experiments()}
    if name in known:
        return known[name]
    advice = did_you_mean(name, known, "give the path of a YAML, or a name that `atelier list` prints")
    raise UserError(f"there is no configuration file {name}: {advice}")


def show_list() -> None:
    """Print every experiment under its stem, then the overlays, each with its headline."""
    named = experiments()
    width = max((len(name) for name in [*named, *overlays()]), default=0)
    stem = None
    for name, file in named.items():
        if file.parent.name != stem:
            stem = file.parent.name
            print(stem)
        print(f"  {name:{width}}  {headline(file)}".rstrip())
    print("overlays (add one with --config NAME)")
    for name, file in overlays().items():
        print(f"  {name:{width}}  {headline(file)}".rstrip())
