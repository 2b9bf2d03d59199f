"""``atelier sample``: pictures of a trained generator, with its averaged weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.files import replacing
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning
from experiments.look import Subject, bare_module, find_subject
from experiments.request import Request, new_path, number, out_folder, read_request, real, sides
from experiments.train import show
from experiments.weights import load_weights
from lightning_modules.callbacks.pictures import grid, save_png, to_pil
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.latents import Latent
from lightning_modules.networks.mapping import MappedGenerator
from lightning_modules.texture import TextureGAN

TEXTURES = ("--size", "--tiled", "--morph")
KINDS = ("--count", "--interpolate", *TEXTURES)  # of pictures, a grid unless one is given
OPTIONS = (*KINDS, "--class", "--truncation", "--seed", "--ckpt", "--out")
GRID = 64
WALKS = 9  # latent walks side by side in one animation
STEPS = 16  # frames between two latents
FRAME_MS = 60


def sample(argv: Sequence[str]) -> int:
    """Write a grid, single pictures or an animation, and say where.

    Raises:
        UserError: an option does not fit the generator, or there is none.
    """
    hush_lightning()
    request = read_request(argv, OPTIONS)
    if request.target is None:
        raise UserError("sample needs a run: `atelier sample RUN_DIR`, or the path of one of its checkpoints")
    kinds = [option for option in KINDS if option in request.own]
    if len(kinds) > 1:
        raise UserError(f"{kinds[0]} and {kinds[1]} are two kinds of pictures: give one at a time")
    numbers = {name: number(request, name, least) for name, least in NUMBERS.items()}
    subject = find_subject(request, "sample")
    module, step = load_generator(subject)
    classes = labels(module, numbers["--class"])
    share = request.own.get("--truncation")
    psi = None if share is None else truncate(module, real(share, "--truncation"))
    seed = numbers["--seed"] or 0
    name = f"step{step}-seed{seed}" + (f"-class{numbers['--class']}" if classes is not None else "")
    name += f"-psi{psi:g}" if psi is not None else ""
    if subject.checkpoint.stem not in ("last", "best"):
        name = f"{subject.checkpoint.stem}-{name}"
    own = home(subject) / "generated"  # where the same call writes the same picture again
    out = out_folder(request.own["--out"]) if "--out" in request.own else own

    def place(file: str) -> Path:
        return out / file if out == own else new_path(out / file)

    torch.manual_seed(seed)
    texture = texture_of(module, request)
    if texture is not None:
        kind, images = texture
        written = place(f"{kind}-{images.shape[3]}x{images.shape[2]}-{name}.png")
        save_png(images[0], written)
    elif numbers["--interpolate"] is not None:
        written = animate(module, numbers["--interpolate"], classes, place(f"walk-{name}.webp"))
    elif numbers["--count"] is not None:
        files = [place(f"{name}-{i:05d}.png") for i in range(numbers["--count"])]
        written = singles(module, files, classes, out)
    else:
        written = place(f"grid-{name}.png")
        save_png(grid(draw(module, GRID, classes)), written)
    print(show(written.resolve()))
    return 0


NUMBERS = {"--count": 1, "--interpolate": 2, "--class": 0, "--seed": 0}  # the least that each may be


def home(subject: Subject) -> Path:
    """The run directory, or where the checkpoint lies."""
    return subject.run.path if subject.run is not None else subject.checkpoint.resolve().parent


def load_generator(subject: Subject) -> tuple[GenerativeModule, int]:
    """The module with its weights, on the best device there is, and the step of its checkpoint."""
    module = bare_module(subject.cli)
    if not isinstance(module, GenerativeModule):
        raise UserError(f"{type(module).__name__} has no generator to sample from: give the run of a generative family")
    if len(module.G.out_shape) != 3:
        raise UserError(f"this generator makes points of {module.G.out_shape[0]} numbers, not pictures")
    step = load_weights(module, subject.checkpoint)
    return module.to("cuda" if torch.cuda.is_available() else "cpu"), step


def labels(module: GenerativeModule, wanted: int | None) -> Tensor | None:
    """The label [1] that ``--class`` asks for."""
    if wanted is None:
        return None
    known = module.G.num_classes
    if known is None:
        raise UserError("this generator knows no classes: leave out --class")
    if wanted >= known:
        raise UserError(f"this generator knows the classes 0 to {known - 1}, not {wanted}")
    return torch.tensor([wanted], device=module.device)


def truncate(module: GenerativeModule, psi: float) -> float:
    """Have w drawn towards the mean w, to ``psi`` of the way from it, in all pictures that follow; ``psi`` again.

    Raises:
        UserError: the generator has no w, or none whose mean it keeps.
    """
    G = module.evaluated_generator
    if not isinstance(G, MappedGenerator) or G.mapping.decay is None:
        raise UserError(
            "--truncation: this generator keeps no mean w: leave it out, or see atelier edit RUN_DIR truncate"
        )
    G.truncation = psi
    return psi


def draw(module: GenerativeModule, n: int, y: Tensor | None) -> Tensor:
    """``n`` pictures, uint8 [n, C, H, W], of the label ``y`` [1] or of any."""
    return module.sample(n, y if y is None else y.expand(n))


def singles(module: GenerativeModule, files: Sequence[Path], y: Tensor | None, out: Path) -> Path:
    """Write the PNGs ``files`` into ``out``, a block at a time; the first are the same however many there are."""
    for start in range(0, len(files), GRID):
        for file, image in zip(files[start:], draw(module, GRID, y), strict=False):
            save_png(image, file)
    return out


def texture_of(module: GenerativeModule, request: Request) -> tuple[str, Tensor] | None:
    """A texture of the size that was asked for, and what it is: uint8 [1, C, H, W]; None where none was.

    Raises:
        UserError: the generator makes no textures, or knows one alone and is to go from it into another.
    """
    option = next((option for option in TEXTURES if option in request.own), None)
    size = None if option is None else sides(request, option)
    if option is None or size is None:
        return None
    if not isinstance(module, TextureGAN):
        raise UserError(f"{option}: this generator makes pictures of one size: leave it out")
    W, H = size
    if option == "--size":
        return "texture", module.texture(1, H, W)
    if option == "--tiled":
        return "tiled", module.tiled(1, H, W)
    if not module.texturing.shared:
        raise UserError("--morph: this generator knows one texture alone: take --size or --tiled")
    return "morph", module.morph(H, W)


def animate(module: GenerativeModule, latents: int, y: Tensor | None, path: Path) -> Path:
    """Write round trips through ``latents`` latents as an animated WebP."""
    z = torch.stack([module.sample_z(WALKS) for _ in range(latents)])  # [K, walks, z_dim]
    y = module.sample_labels(WALKS) if y is None else y.expand(WALKS)
    write_webp([to_pil(grid(module.generate_image(point, y))) for point in round_trip(z, module.G.latent)], path)
    return path


def write_webp(frames: Sequence[Image.Image], path: Path) -> None:
    """Write ``frames`` as an endless animation."""
    options = {"save_all": True, "append_images": frames[1:], "duration": FRAME_MS, "loop": 0, "lossless": True}
    with replacing(path) as file:
        frames[0].save(file, format="WEBP", **options)


def round_trip(z: Tensor, latent: Latent) -> Iterator[Tensor]:
    """Points [walks, d] on ``latent``'s way through ``z`` [K, walks, d] and back to the first, each way STEPS long."""
    for start, end in zip(z, z.roll(-1, 0), strict=True):
        for i in range(STEPS):
            yield latent.between(start, end, i / STEPS)
