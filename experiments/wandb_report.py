"""``python -m experiments.wandb_report ENTITY/PROJECT EXPERIMENT ...``: a report of Weights & Biases on experiments.

Scores over images, samples over time, and what differs, a run set for each experiment, whose seeds are one line with
their spread. Needs a key, and ``pip install 'lightning-atelier[report]'``.
"""

import sys
from collections.abc import Sequence
from typing import Any

from experiments.catalogue import find_experiment
from experiments.errors import AtelierError, UserError, report
from experiments.request import read_request

SCORES = "val/fid@mnist-cnn,val/is@mnist-cnn"


def blocks(wr: Any, entity: str, project: str, names: Sequence[str], scores: Sequence[str]) -> list[Any]:
    """What the report shows, of the package ``wr``.

    Args:
        wr: ``wandb_workspaces.reports.v2``.
        entity: W&B's team or user.
        project: W&B's project.
        names: of experiments, which are groups there.
        scores: as runs log them, such as ``val/fid@mnist-cnn``.
    """
    runsets = [
        wr.Runset(entity=entity, project=project, name=name, filters=f"Metric('Group') == '{name}'", groupby=["group"])
        for name in names
    ]
    lines = [wr.LinePlot(title=score, x="kimg", y=[score], log_y="fid" in score) for score in scores]
    return [
        wr.H1("Scores over thousands of images"),
        wr.PanelGrid(runsets=runsets, panels=lines),
        wr.H1("Samples"),
        wr.PanelGrid(runsets=runsets, panels=[wr.MediaBrowser(media_keys=["samples"])]),
        wr.H1("What differs"),
        wr.PanelGrid(runsets=runsets, panels=[wr.RunComparer(diff_only="split")]),
    ]


def write(argv: Sequence[str]) -> str:
    """Make the report; its address.

    Raises:
        UserError: words that name no project and experiments, a package that is not there, or W&B does not answer.
    """
    request = read_request(argv, own=("--scores",))
    entity, _, project = (request.target or "").partition("/")
    if not project or not request.overrides:
        raise UserError(
            "a report needs a project and experiments: `python -m experiments.wandb_report US/atelier NAME ...`"
        )
    names = [find_experiment(name)[0] for name in request.overrides]
    try:
        import wandb_workspaces.reports.v2 as wr
    except ModuleNotFoundError as error:
        raise UserError("wandb-workspaces is not installed: pip install 'lightning-atelier[report]'") from error
    shown = blocks(wr, entity, project, names, request.own.get("--scores", SCORES).split(","))
    made = wr.Report(entity=entity, project=project, title=", ".join(names), blocks=shown)
    try:
        made.save()
    except Exception as error:  # wandb raises what its transport does
        raise UserError(f"Weights & Biases takes no report ({error}): log in with `wandb login`") from error
    return str(made.url)


def main() -> int:
    """Print where the report is."""
    try:
        print(write(sys.argv[1:]))
    except AtelierError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
