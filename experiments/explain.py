"""``atelier explain``: why a trained network answers as it does, as a sheet of pictures and its numbers.

Of a classifier or a discriminator: what single layers see, what their units look for, which pixels speak for a verdict.
Of a generator: what a unit does, and how its images lie among real ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

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
from experiments.request import Request, Task, ignored, number, read_request, take_task
from experiments.sample import home
from experiments.sheets import Made, keep, sheet_path

OF_ALL = ("--count", "--seed", "--out", "--ckpt")
OF_NETWORKS: Mapping[str, Task[Callable[[Seen], Made]]] = {
    "activations": Task(activations, ("--layer", "--label", "--image")),
    "visualise": Task(wanted_images, ("--layer", "--label", "--image", "--units", "--steps")),
    "gradcam": Task(by_maps, ("--class", "--label", "--image", "--layer")),
    "gradients": Task(by_gradients, ("--class", "--label", "--image")),
    "lime": Task(by_lime, ("--class", "--label", "--image")),
    "ablate": Task(switched_off, ("--layer", "--label", "--unit", "--measure")),
}
OF_SETS: Mapping[str, Task[Callable[[Compared], Made]]] = {
    "tsne": Task(among_real, ("--split", "--extractor")),
    "spectrum": Task(spectra, ("--split",)),
    "neighbours": Task(neighbours, ("--split", "--extractor")),
}
TASKS: Mapping[str, Task[Any]] = {**OF_NETWORKS, **OF_SETS}
OWN = sorted({*OF_ALL, *(name for task in TASKS.values() for name in task.options)})


def explain(argv: Sequence[str]) -> int:
    """Do one thing, and say where the sheet is.

    Raises:
        UserError: the command cannot be run.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    task = take_task(request, "explain", TASKS, OF_ALL)
    subject = find_subject(request, "explain")
    seed = number(request, "--seed", 0) or 0
    with users_mistakes():
        work, step = prepared(task, subject, request)
        place = home(subject) / "explanations" / f"{task}-step{step}-seed{seed}.png"
        out = sheet_path(request, place, (".png",))
        torch.manual_seed(seed)
        made = work()
    keep(made, out, task, {"task": task, "step": step, "seed": seed, "asked": request.own}, ignored(request))
    return 0


def prepared(task: str, subject: Subject, request: Request) -> tuple[Callable[[], Made], int]:
    """What does ``task``, and the step of the checkpoint."""
    if task in OF_NETWORKS:
        seen = open_network(subject, request)
        return lambda: OF_NETWORKS[task].do(seen), seen.step
    compared = Compared(request, with_data(subject))
    return lambda: OF_SETS[task].do(compared), int(compared.trained.module.counters()["d_step"])
