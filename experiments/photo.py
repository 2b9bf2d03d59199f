"""``atelier photo``: what can be made of a run of SinGAN: samples of any size, other pictures, larger ones, a walk."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from datamodules.functional.quantise import from_uint8, to_uint8
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import bare_module, find_subject
from experiments.request import Request, Task, ignored, new_file, number, read_request, sides, take_task
from experiments.restore_pictures import Picture, eight_bit, read_image, save
from experiments.sample import write_webp
from experiments.train import say, show
from experiments.weights import load_weights
from lightning_modules.callbacks.pictures import to_pil
from lightning_modules.singan import SinGAN

OF_ALL = ("--seed", "--out", "--ckpt")


def photo(argv: Sequence[str]) -> int:
    """Do one task, and say where the picture is.

    Raises:
        UserError: the command cannot be run.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    task = take_task(request, "photo", TASKS, OF_ALL)
    kind = ".webp" if task == "animate" else ".png"
    out = new_file(request.own.get("--out", f"{task}{kind}"), [kind])
    subject = find_subject(request, "photo")
    module = bare_module(subject.cli)
    if not isinstance(module, SinGAN):
        raise UserError(f"{type(module).__name__} has not learned one photograph: give a run of SinGAN")
    load_weights(module, subject.checkpoint)
    module.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(number(request, "--seed", 0) or 0)
    with users_mistakes(), torch.no_grad():
        made = TASKS[task].do(module, request).cpu()
    if task == "animate":
        write_webp([to_pil(frame) for frame in made], out)
    else:
        save(Picture(made), out)
    if remark := ignored(request):
        say(remark)
    say(show(out.resolve()))
    return 0


def sample(module: SinGAN, request: Request) -> Tensor:
    """One sample, of the photograph's size unless --size says another."""
    W, H = sides(request, "--size") or module.G.out_shape[:0:-1]
    return module.sample_at(1, H, W)


def remake(module: SinGAN, request: Request) -> Tensor:
    """--image made anew from --scale on, where --mask is white if there is one: painting, editing, harmonisation."""
    if "--image" not in request.own:
        raise UserError("remake needs a picture: --image FILE, a painting, an edited photograph or a composition")
    x = signed(request.own["--image"]).to(module.device)
    scale = number(request, "--scale", 1)
    scale = module.G.current // 2 if scale is None else scale
    if "--mask" not in request.own:
        return to_uint8(module.start_from(x, max(scale, 1)))
    mask = (signed(request.own["--mask"])[:, :1] > 0).float().to(module.device)
    if mask.shape[2:] != x.shape[2:]:
        raise UserError("--mask is of another size than --image: make them equal")
    return to_uint8(module.harmonise(x, mask, max(scale, 1)))


def enlarge(module: SinGAN, request: Request) -> Tensor:
    """The photograph, or --image, --times as large."""
    x = signed(request.own["--image"]).to(module.device) if "--image" in request.own else own(module)
    return to_uint8(module.enlarge(x, number(request, "--times", 2) or 4))


def animate(module: SinGAN, request: Request) -> Tensor:
    """A walk of --frames through noise from --scale on."""
    return module.animate(number(request, "--frames", 2) or 48, number(request, "--scale", 0) or 0)


TASKS: Mapping[str, Task[Callable[[SinGAN, Request], Tensor]]] = {
    "sample": Task(sample, ("--size",)),
    "remake": Task(remake, ("--image", "--mask", "--scale")),
    "enlarge": Task(enlarge, ("--image", "--times")),
    "animate": Task(animate, ("--frames", "--scale")),
}
OWN = sorted({*OF_ALL, *(name for task in TASKS.values() for name in task.options)})


def own(module: SinGAN) -> Tensor:
    """The photograph as the networks know it, [1, 3, H, W] in [-1, 1]."""
    return module.G.reconstruction(module.G.current).clamp(-1, 1)


def signed(file: str) -> Tensor:
    """The picture in an image file, [1, 3, H, W] in [-1, 1].

    Raises:
        UserError: there is none.
    """
    return from_uint8(eight_bit(read_image(file).pixels).expand(-1, 3, -1, -1))
