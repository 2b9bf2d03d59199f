"""What a table says of a row's runs beside their scores."""

from collections.abc import Callable, Mapping
from statistics import fmean

from experiments.table_cells import rounded
from experiments.table_figures import Line

NOTHING = "–"


def kimg(line: Line) -> str:
    """Thousands of images seen."""
    seen = [float(result.clock["kimg"]) for result in line.results]
    return rounded(fmean(seen)) if seen else NOTHING


def minutes(line: Line) -> str:
    """Of one run, and on what where that was the same for all."""
    if not line.results:
        return NOTHING
    devices = {result.device for result in line.results}
    on = f" ({devices.pop()})" if len(devices) == 1 else ""
    return f"{rounded(fmean(result.minutes for result in line.results))}{on}"


def parameters(line: Line) -> str:
    """Of each network, in thousands."""
    counts = next((result.parameters for result in line.results if result.parameters), {})
    return ", ".join(f"{name} {rounded(count / 1000)}k" for name, count in counts.items()) or NOTHING


FACTS: Mapping[str, Callable[[Line], str]] = {
    "experiment": lambda line: f"`{line.filled.wanted.experiment}`",
    "kimg": kimg,
    "minutes": minutes,
    "parameters": parameters,
}
