"""``atelier explain``: why a trained network answers as it does, as a sheet of pictures and its numbers.

Of a classifier or a discriminator: what single layers see, what their units look for, which pixels speak for a verdict.
Of a generator: what a unit does, and how its images lie among real ones.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from experiments.errors import UserError
from experiments.evaluate_runs import with_data
from experiments.explain_networks import (
    activations,
    by_gradients,
    by_lime,
    by_maps,
    switched_off,
    wanted_images,
)
from experiments.explain_sets import Compared, among_real, neighbours, spectra
from experiments.explain_subject import Seen, open_network
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import Subject, find_subject
from experiments.request import Request, number, read_request, refuse_ignored, take_task
from experiments.sample import home
from experiments.sheets import Made, keep, sheet_path

OWN = (
    *("--layer", "--unit", "--units", "--image", "--count", "--class", "--label", "--measure", "--steps"),
    *("--extractor", "--split", "--seed", "--out", "--ckpt"),
)
OF_NETWORKS: Mapping[str, Callable[[Seen], Made]] = {
    "activations": activations,
    "visualise": wanted_images,
    "gradcam": by_maps,
    "gradients": by_gradients,
    "lime": by_lime,
    "ablate": switched_off,
}
OF_SETS: Mapping[str, Callable[[Compared], Made]] = {
    "tsne": among_real,
    "spectrum": spectra,
    "neighbours": neighbours,
}


def explain(argv: Sequence[str]) -> int:
    """Do one thing, and say where the sheet is.

    Raises:
        UserError: the command cannot be run.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    task = take_task(request, "explain", [*OF_NETWORKS, *OF_SETS])
    if request.own.get("--split", "test") not in ("train", "test"):
        raise UserError(f"--split is {request.own['--split']}: choose of train, test")
    subject = find_subject(request, "explain")
    seed = number(request, "--seed", 0) or 0
    with users_mistakes():
        work, step = prepared(task, subject, request)
        place = home(subject) / "explanations" / f"{task}-step{step}-seed{seed}.png"
        out = sheet_path(request, place, (".png",))
        torch.manual_seed(seed)
        made = work()
    refuse_ignored(request, task)
    keep(made, out, task, {"task": task, "step": step, "seed": seed, "asked": request.own})
    return 0


def prepared(task: str, subject: Subject, request: Request) -> tuple[Callable[[], Made], int]:
    """What does ``task``, and the step of the checkpoint."""
    if task in OF_NETWORKS:
        seen = open_network(subject, request)
        return lambda: OF_NETWORKS[task](seen), seen.step
    compared = Compared(request, with_data(subject))
    return lambda: OF_SETS[task](compared), int(compared.trained.module.counters()["d_step"])
