"""The commands of ``atelier``: what each does in a line, how it is used, and its function, imported when called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments import catalogue
from experiments.errors import UserError

DRY_RUN = "--dry_run"


def _fit(argv: Sequence[str]) -> int:
    if DRY_RUN in argv:
        from experiments.dry_run import dry_run

        return dry_run([word for word in argv if word != DRY_RUN])
    from experiments.train import fit

    return fit(argv)


def _validate(argv: Sequence[str]) -> int:
    from experiments.look import validate

    return validate(argv)


def _test(argv: Sequence[str]) -> int:
    from experiments.look import test

    return test(argv)


def _predict(argv: Sequence[str]) -> int:
    from experiments.look import predict

    return predict(argv)


def _sample(argv: Sequence[str]) -> int:
    from experiments.sample import sample

    return sample(argv)


def _evaluate(argv: Sequence[str]) -> int:
    from experiments.evaluate import evaluate

    return evaluate(argv)


def _restore(argv: Sequence[str]) -> int:
    from experiments.restore import restore

    return restore(argv)


def _translate(argv: Sequence[str]) -> int:
    from experiments.restore import translate

    return translate(argv)


def _matte(argv: Sequence[str]) -> int:
    from experiments.matte import matte

    return matte(argv)


def _stylise(argv: Sequence[str]) -> int:
    from experiments.stylise import stylise

    return stylise(argv)


def _photo(argv: Sequence[str]) -> int:
    from experiments.photo import photo

    return photo(argv)


def _edit(argv: Sequence[str]) -> int:
    from experiments.edit import edit

    return edit(argv)


def _interpolate(argv: Sequence[str]) -> int:
    from experiments.interpolate import interpolate

    return interpolate(argv)


def _export(argv: Sequence[str]) -> int:
    from experiments.export import export

    return export(argv)


def _contact_sheet(argv: Sequence[str]) -> int:
    from experiments.contact_sheet import show_augmentation

    return show_augmentation(argv)


def _table(argv: Sequence[str]) -> int:
    from experiments.table import table

    return table(argv)


def _list(argv: Sequence[str]) -> int:
    if argv:
        raise UserError(f"list takes no options, got {argv[0]}")
    catalogue.show_list()
    return 0


def _doctor(argv: Sequence[str]) -> int:
    from experiments.doctor import doctor

    return doctor(argv)


@dataclass(frozen=True)
class Command:
    """One command: what it does in a line, how it is used, and its function."""

    line: str
    usage: str
    run: Callable[[Sequence[str]], int]


CONFIGURATION = """
  --config FILE        merge one more YAML, or an overlay by name (smoke, multi_gpu, debug/overfit); may be repeated
  --KEY VALUE          set one key, such as --data.batch_size 32 or --trainer.devices 2
  --print_config       print the whole configuration and do nothing else"""

WEIGHTS = """  atelier {0} RUN_DIR [--ckpt last|best]
  atelier {0} EXPERIMENT --ckpt FILE
"""

COMMANDS = {
    "fit": Command(
        "train an experiment, or go on with a run",
        """  atelier fit EXPERIMENT [options]      such as gan/dcgan_digits; `atelier list` names them
  atelier fit --config FILE [options]
  atelier fit --resume RUN_DIR          goes on from the last checkpoint; length, hardware, loggers and evaluation
                                        may be changed by further options, nothing else
"""
        + CONFIGURATION
        + """
  --dry_run            print parameters, FLOPs, memory and time of a few real steps, and write nothing
  --clock.g_steps N    length in updates of the generator; or --clock.kimg, in thousands of images; or --clock.epochs
  --seed_everything N  seed of networks, noise and data order
  --trainer.logger false      no Weights & Biases, no metrics.jsonl
  --evaluation null    no scores; so with samples, checkpoint, record, progress
  --runs_dir DIR       where run directories are made (runs)""",
        _fit,
    ),
    "validate": Command("score a run on its validation data", WEIGHTS.format("validate") + CONFIGURATION, _validate),
    "test": Command(
        "score a run on its test data",
        WEIGHTS.format("test")
        + "  atelier test EXPERIMENT               one without weights, such as super_resolution/bicubic\n"
        + "\n  --out FILE.json      also write the scores as a record; must be new"
        + CONFIGURATION,
        _test,
    ),
    "evaluate": Command(
        "score a generator, or images against images, under a named protocol",
        """  atelier evaluate RUN_DIR_OR_CKPT [options]
  atelier evaluate EXPERIMENT --ckpt FILE [options]
  atelier evaluate IMAGES REFERENCE [options]   each a folder, a .zip archive, a folder in one (faces.zip/test), or
                                                an array of images in a .npy, .npz or .pt file
  atelier evaluate --cache show|clear           what is remembered of references

  --metrics A,B        of fid, is, classes, kid, prdc, neighbours, modes, swd, spectrum, diversity; all for all that
                       suit; psnr, ssim, ms_ssim, mae, lpips compare image with image, paired by name
  --protocol NAME      measure as a published table was: studiogan-v0.4, studiogan-v0.3, mimicry, collections,
                       stylegan2-ada, clean, or atelier; says what could not be followed
  --extractor NAME     inception, one of this repository's, such as mnist-cnn, or the class_path of your own;
                       --weights FILE for its weights
  --fakes N            how many are scored
  --out FILE           also write the scores as JSON; must be new; pictures go beside it
  of a run: --seeds N  so many evaluations with other fakes: mean and standard deviation
            --split train|test of the reference, --floor yes|no to score real images too, --ckpt last|best
  of images: --size N, --channels 1|3, --background 0..255 to change those that are not alike
  of pairs: --colour rgb|grey|y8|y|y8_full, --shave N pixels at each side""",
        _evaluate,
    ),
    "predict": Command(
        "write a run's predictions on its test data into a file",
        WEIGHTS.format("predict") + "\n  --out FILE           predictions.pt unless given" + CONFIGURATION,
        _predict,
    ),
    "sample": Command(
        "draw pictures from a trained generator",
        """  atelier sample RUN_DIR_OR_CKPT [options]

  --count N            N single PNGs; a grid of 64 unless given
  --interpolate K      an animated WebP on a round trip through K latents
  --class K            of one class, where the generator knows classes
  --seed N             of the noise (0)
  --ckpt last|best     which checkpoint of a run directory (last)
  --out DIR            where to write (RUN_DIR/generated)""",
        _sample,
    ),
    "restore": Command(
        "restore an image, or a folder of images, with a trained network",
        """  atelier restore RUN_DIR_OR_CKPT IMAGE_OR_FOLDER [options]
  atelier restore NAME IMAGE_OR_FOLDER [options]    with a network that is shipped
  atelier restore EXPERIMENT IMAGE_OR_FOLDER --ckpt FILE [options]
  atelier restore RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --mask MASK_OR_FOLDER [options]    with a network that fills holes

  --mask PLACE         an image of the picture's size, 255 where pixels are missing and 0 elsewhere; or a folder with
                       one for each picture, of its name but for the suffix; all other pixels stay as they are
  --out DIR            where the PNGs go, each under the name of its image (restored); none is overwritten
  --scale S            how many times as large, where the network knows several scales
  --ensemble           the mean over eight turns of the image: eight times the work
  --strip              beside each result a picture of before (enlarged by bicubic interpolation) and after
  --tile N             side of the tiles that it is done in, in pixels of the image (256); 0 does it in one piece
  --overlap N          pixels around a tile; as far as the network sees unless given, so that there is no seam
  --ckpt last|best     which checkpoint of a run directory (last)

  Alpha is kept, and so are 16 bits of grey; of 16-bit colour Pillow reads 8 bits.""",
        _restore,
    ),
    "translate": Command(
        "turn an image, or a folder of images, into the other kind",
        """  atelier translate RUN_DIR_OR_CKPT IMAGE_OR_FOLDER [options]
  atelier translate EXPERIMENT IMAGE_OR_FOLDER --ckpt FILE [options]

  --out DIR            where the PNGs go, each under the name of its image (translated); none is overwritten
  --size N             resize each image to N x N px first, as in training; else they stay as they are
  --to x|y             which kind to make, where the family knows both, as CycleGAN (x)
  --seed N             of the noise of networks that draw some, such as pix2pix's (0)
  --strip              beside each result a picture of before and after
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _translate,
    ),
    "matte": Command(
        "find the alpha of an image, or of a folder of images, by its trimap",
        """  atelier matte RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --trimap TRIMAP_OR_FOLDER [options]
  atelier matte EXPERIMENT IMAGE_OR_FOLDER --trimap TRIMAP_OR_FOLDER [--ckpt FILE] [options]

  --trimap PLACE       an image of the picture's size, 0 for background, 255 for foreground and 128 where alpha is to be
                       found; or a folder with one for each picture, of its name but for the suffix
  --background WHAT    an image, or a colour such as white or #00b140: also write the cut-out before it
  --out DIR            where NAME-alpha.png, NAME-foreground.png and NAME-composite.png go (matted)
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _matte,
    ),
    "stylise": Command(
        "put an image, or a folder of images, into the style of others",
        """  atelier stylise RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --style IMAGE[,IMAGE...] [options]    with a run of AdaIN

  --style A,B          whose style; of several a mixture
  --weights 0.7,0.3    of the styles (all alike)
  --strength S         0 is the picture as it is decoded, 1 the style (1)
  --mask PLACE         a grey image of the picture's size, white where the style is to be; or a folder of them
  --keep_colours       give the styles the picture's colours first
  --out DIR            where the PNGs go, each under the name of its image (stylised); none is overwritten
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _stylise,
    ),
    "photo": Command(
        "make something of the one photograph that a run of SinGAN has learned",
        """  atelier photo RUN_DIR_OR_CKPT sample [--size WIDTHxHEIGHT]
  atelier photo RUN_DIR_OR_CKPT remake --image FILE [--mask FILE] [--scale K]
  atelier photo RUN_DIR_OR_CKPT enlarge [--image FILE] [--times 4]
  atelier photo RUN_DIR_OR_CKPT animate [--frames 48] [--scale K]

  --image FILE         a painting, an edited photograph, a composition; to enlarge: the photograph unless given
  --mask FILE          of its size, white where it is to be made anew
  --scale K            from which scale on: a low one changes much (the middle one; 0 for animate)
  --seed N             of the noise (0)
  --out FILE           the PNG, or animate's WebP (TASK.png, animate.webp); must be new
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _photo,
    ),
    "edit": Command(
        "edit in the latent space of a trained generator: ways, mixed styles, directions, inversion",
        """  atelier edit RUN_DIR_OR_CKPT between|truncate|vary [options]
  atelier edit RUN_DIR_OR_CKPT mix [--layers 4,5|2-7]
  atelier edit RUN_DIR_OR_CKPT sefa|ganspace [--count 5] [--reach R]
  atelier edit RUN_DIR_OR_CKPT attribute --class K [--classifier mnist-cnn] [--reach 4]
  atelier edit RUN_DIR_OR_CKPT invert --image FILE[,FILE...] [--steps 500]

  --space z|w|w+       where; w where the generator has styles, else z
  --label K            class of all images, where the generator knows classes
  --count N            rows, directions or variations; --columns N of a sheet
  --reach R            of a traversal; for attribute in deviations of the codes along it
  --strength S         of vary: a share of the way to other codes (0.3)
  --image FILE         pictures of the generator's size; vary takes one too
  --seed N             of the codes (0)
  --out FILE.png       the sheet, with a JSON of numbers beside it (RUN_DIR/edits/TASK-stepN-seedN.png); must be new
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _edit,
    ),
    "interpolate": Command(
        "write a checkpoint between two of the same network, such as SRResNet's and SRGAN's",
        """  atelier interpolate RUN_DIR_OR_CKPT OTHER_RUN_DIR_OR_CKPT --alpha A [options]

  --alpha A            0 is the first network, 1 the second; all else of the checkpoint is the second's
  --out FILE.ckpt      where to write (beside the second, as interpolated-A.ckpt); must be new""",
        _interpolate,
    ),
    "export": Command(
        "write a trained network as safetensors, a JSON card and ONNX",
        """  atelier export RUN_DIR_OR_CKPT [options]
  atelier export EXPERIMENT --ckpt FILE [options]

  --ckpt last|best     which checkpoint of a run directory (last)
  --out DIR            where to write (RUN_DIR/export-stepN); must be new
  --onnx auto|yes|no   whether to write ONNX; auto: where the packages of lightning-atelier[onnx] are installed""",
        _export,
    ),
    "contact-sheet": Command(
        "show what an experiment's augmentation does",
        """  atelier contact-sheet EXPERIMENT [options]
  atelier contact-sheet --config FILE [options]

  --images N           rows: training images (8)
  --variants N         columns beside the image itself (8)
  --seed N             of the augmentation (0)
  --out FILE.png       where to write (contact_sheet.png); must be new"""
        + CONFIGURATION,
        _contact_sheet,
    ),
    "table": Command(
        "print a benchmark's table from the records that there are, or run what is missing; without a name, list them",
        """  atelier table [NAME | FILE.yaml] [options]

  --format NAME        rich (the default on a terminal), markdown (elsewhere), csv, latex or html
  --runs_dir DIR       where local runs are looked for beside the committed ones (runs)
  --run                first run what is missing, and go on with what was cut off; after Ctrl-C too
  --dry_run            print the commands that --run would run, and how long each would take
  --jobs N             N cells at a time, which share the cores unless OMP_NUM_THREADS is set (1; of slurm, all)
  --executor NAME      local, or slurm: one job a cell, with --slurm.partition NAME, --slurm.gpus N (1) and
                       --slurm.hours N (24); what else sbatch needs in its own SBATCH_* variables""",
        _table,
    ),
    "list": Command("name the experiments and the overlays", "  atelier list", _list),
    "doctor": Command("look at this machine: devices, packages, data, keys", "  atelier doctor", _doctor),
}
