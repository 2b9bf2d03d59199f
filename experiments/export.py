"""``atelier export``: the evaluated network of a run as files that need neither the run nor its data.

A folder with ``model.safetensors`` (the weights in full precision, averaged ones where the run averages), ``card.json``
(what they are: experiment, network by class_path, shapes, how z is drawn, hashes, scores with their protocol, versions)
and, where its
packages are installed, ``model.onnx`` with a free batch size. ``load_export`` is the way back, tried before anything is
written. Feature extractors, in half precision, are ``experiments/ship.py``'s.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import load, save
from torch import Tensor, nn

from datamodules.functional.files import replacing
from experiments.errors import UserError
from experiments.house import HOUSE
from experiments.lightning_cli import hush_lightning, switch_off
from experiments.look import Subject, find_subject
from experiments.onnx_file import REQUIRED, Inputs, onnx_file, what_onnx_lacks
from experiments.request import new_path, read_request
from experiments.sample import home
from experiments.train import say, show
from experiments.weights import check_weights, read_checkpoint
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.cost import count
from lightning_modules.callbacks.surroundings import PACKAGES, installed, source_state
from lightning_modules.contract import StatesItsData
from lightning_modules.evaluating import evaluating
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.base import Generator, Network
from lightning_modules.restoring import Restoring

SCHEMA = 1
WEIGHTS, CARD, ONNX = "model.safetensors", "card.json", "model.onnx"
EXAMPLES = 2  # a batch of one would be taken for a constant


def export(argv: Sequence[str]) -> int:
    """Write the folder, whole or not at all, and say where.

    Raises:
        UserError: the command cannot be run.
        RunError: the network cannot be written as ONNX.
    """
    hush_lightning()
    request = read_request(argv, own=("--ckpt", "--out", "--onnx"))
    lacking = what_onnx_lacks()
    with_onnx = asks_for_onnx(request.own.get("--onnx", "auto"), lacking)
    subject = find_subject(request, "export")
    module, checkpoint = trained(subject)
    default = home(subject) / f"export-step{checkpoint['global_step']}"
    out = Path(request.own["--out"]) if "--out" in request.own else default
    new_path(out, show(out))
    files = contents(subject, module, checkpoint, with_onnx)
    try:
        for name, content in files.items():  # the card last: without it the folder is none of ours
            with replacing(out / name) as file:
                file.write(content)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    if not with_onnx and "--onnx" not in request.own:
        say(f"without {ONNX}: {lacking}")
    say(show(out.resolve()))
    return 0


def asks_for_onnx(choice: str, lacking: str | None) -> bool:
    """Whether ``--onnx choice`` asks for the file; ``auto`` does where nothing is ``lacking``.

    Raises:
        UserError: no such choice, or ``yes`` where something is lacking.
    """
    if choice not in ("auto", "yes", "no"):
        raise UserError(f"--onnx expects auto, yes or no, got {choice!r}")
    if choice == "yes" and lacking is not None:
        raise UserError(lacking)
    return choice != "no" and lacking is None


def trained(subject: Subject) -> tuple[AtelierModule, dict[str, Any]]:
    """The module with the subject's weights, on the CPU, and the checkpoint that they come from."""
    cli = subject.cli
    switch_off(cli, *HOUSE)
    cli.config.trainer.logger = False
    cli.build()
    checkpoint = read_checkpoint(subject.checkpoint)
    check_weights(cli.model, checkpoint, subject.checkpoint)
    cli.model.load_state_dict(checkpoint["state_dict"])
    if not isinstance(cli.model, AtelierModule):
        raise UserError(f"{type(cli.model).__name__} is no family of Atelier: it states no network to export")
    return cli.model, checkpoint


def contents(
    subject: Subject, module: AtelierModule, checkpoint: Mapping[str, Any], with_onnx: bool
) -> dict[str, bytes]:
    """The files by name, the card last."""
    makes_images = isinstance(module, GenerativeModule | Restoring)
    network = (module.evaluated_generator if isinstance(module, GenerativeModule) else module.evaluated).eval()
    inputs = examples(module, subject.cli.datamodule)
    output = answer(network, inputs)
    weights = save({name: value.contiguous().clone() for name, value in network.state_dict().items()})
    card: dict[str, Any] = {
        "schema": SCHEMA,
        "experiment": subject.cli.config.experiment,
        "seed": subject.cli.config.seed_everything,
        "checkpoint": subject.which,
        "counters": {"d_step": checkpoint["global_step"], **checkpoint["counters"]},
        "weights": {"file": WEIGHTS, "which": module.weights_name, "sha256": sha256(weights)},
        "network": {**recipe(subject.cli.resolved["model"], network, inputs), "parameters": count(network)},
        "inputs": stated(module, inputs),
        "output": {"name": "x" if makes_images else "logits", **shape_of(output)},
        "value_range": module.value_range,
        "scores": list(scores(checkpoint)),
        "code": source_state(),
        "versions": {name: installed(name) for name in PACKAGES} | {"python": platform.python_version()},
    }
    files = {WEIGHTS: weights}
    if with_onnx:
        files[ONNX], difference = onnx_file(network, inputs, card["output"]["name"])
        versions = {name: installed(name) for name in REQUIRED}
        card["onnx"] = {"file": ONNX, "sha256": sha256(files[ONNX]), "difference": difference, "versions": versions}
    return {**files, CARD: (json.dumps(card, indent=2, allow_nan=False) + "\n").encode()}


def sha256(content: bytes) -> str:
    """The hash by which a file is known."""
    return hashlib.sha256(content).hexdigest()


def shape_of(value: Tensor) -> dict[str, Any]:
    """Type and shape of a batch, its size left open."""
    return {"dtype": str(value.dtype).removeprefix("torch."), "shape": ["N", *value.shape[1:]]}


def stated(module: AtelierModule, inputs: Inputs) -> dict[str, Any]:
    """What is said of each of ``inputs``; of a generator's also how z is drawn, and from how many classes y is."""
    said: dict[str, Any] = {
        name: shape_of(value) if isinstance(value, Tensor) else value for name, value in inputs.items()
    }
    if isinstance(module, GenerativeModule):
        said["z"]["distribution"] = distribution(module)
        if "y" in said:
            said["y"]["classes"] = module.G.num_classes  # 0 to that number, exclusive
    return said


def distribution(module: GenerativeModule) -> dict[str, Any]:
    """class_path and init_args of the ``Latent`` that z is drawn from; or what draws it where that does not."""
    drawing: Any = type(module).sample_z
    if drawing is GenerativeModule.sample_z:
        drawing = type(module.G).sample_z
        if drawing is Generator.sample_z:
            latent = module.G.latent
            settings = {name: vars(latent)[name] for name in signature(type(latent)).parameters if name in vars(latent)}
            plain = {name: v if isinstance(v, str | int | float | None) else str(v) for name, v in settings.items()}
            return {"class_path": f"{type(latent).__module__}.{type(latent).__qualname__}", "init_args": plain}
    return {"drawn_by": f"{drawing.__module__}.{drawing.__qualname__}"}


def examples(module: AtelierModule, data: L.LightningDataModule) -> Inputs:
    """What the evaluated network takes, by name: noise and classes of a generator, what is to be restored (and the
    scale), else an image of the data."""
    with torch.random.fork_rng(devices=[]):
        if isinstance(module, GenerativeModule):
            inputs = {"z": module.G.sample_z(EXAMPLES)}
            if module.G.num_classes is not None:
                inputs["y"] = torch.randint(module.G.num_classes, (EXAMPLES,))
            return inputs
        if isinstance(module, Restoring):
            return module.examples(EXAMPLES)
        if isinstance(data, StatesItsData):
            return {"x": torch.rand(EXAMPLES, *data.out_shape)}
    raise UserError(f"{type(data).__name__} does not state out_shape, the shape of the network's input: add it there")


def answer(network: nn.Module, inputs: Inputs) -> Tensor:
    """The network's output in evaluation mode, with the same noise within whenever it is asked."""
    with evaluating(network), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output: Tensor = network(*inputs.values())
    return output


def recipe(model: Mapping[str, Any], network: nn.Module, inputs: Inputs) -> dict[str, Any]:
    """class_path and init_args in the configuration ``model`` that with the weights of ``network`` give its answer.

    Raises:
        UserError: there are none, as where a family makes its networks itself.
    """
    wanted, weights = answer(network, inputs), network.state_dict()
    for found in model["init_args"].values():
        if isinstance(found, Mapping) and str(found.get("class_path")).endswith(f".{type(network).__name__}"):
            candidate = rebuilt(found)
            with suppress(RuntimeError):  # of another shape
                candidate.load_state_dict(weights)
                if torch.equal(answer(candidate, inputs), wanted):
                    return {"class_path": found["class_path"], "init_args": found.get("init_args") or {}}
    raise UserError(f"nothing under model.init_args makes this {type(network).__name__} again: it cannot be exported")


def rebuilt(network: Mapping[str, Any]) -> nn.Module:
    """A new network of ``network``'s class_path and init_args."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=Network)
    wanted = {name: network[name] for name in ("class_path", "init_args") if name in network}
    with torch.random.fork_rng(devices=[]):
        made: nn.Module = parser.instantiate(parser.parse_object({"network": wanted})).network
    return made


def scores(checkpoint: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What was measured of exactly these weights, with how it was measured."""
    for state in checkpoint["callbacks"].values():
        for row in state.get("history", []):
            if row["d_step"] == checkpoint["global_step"]:
                yield {"metrics": row["metrics"], "protocol": state["protocol"], "floor": state["floor"]}


def load_export(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of an export, in evaluation mode, without gradients, on the CPU; and its card.

    Raises:
        ValueError: the folder is no export, or the weights are not those of the card.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        weights = (folder / card["weights"]["file"]).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no export, it holds no {CARD} with its weights: run atelier export") from error
    if sha256(weights) != card["weights"]["sha256"]:
        raise ValueError(f"{folder / WEIGHTS} is not what {CARD} says, its sha256 is another: export it again")
    network = rebuilt(card["network"])
    network.load_state_dict(load(weights))
    return network.requires_grad_(False).eval(), card
