"""The commands of ``atelier``: what each does in a line, how it is used, and its function, imported when called."""

from collections.abc import Sequence

from experiments import catalogue
from experiments.command import CONFIGURATION, WEIGHTS, Command
from experiments.errors import UserError
from experiments.picture_commands import PICTURES

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


def _evaluate(argv: Sequence[str]) -> int:
    from experiments.evaluate import evaluate

    return evaluate(argv)


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


def _compare(argv: Sequence[str]) -> int:
    from experiments.compare import compare

    return compare(argv)


def _report(argv: Sequence[str]) -> int:
    from experiments.report import report

    return report(argv)


def _list(argv: Sequence[str]) -> int:
    if argv:
        raise UserError(f"list takes no options, got {argv[0]}")
    catalogue.show_list()
    return 0


def _doctor(argv: Sequence[str]) -> int:
    from experiments.doctor import doctor

    return doctor(argv)


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
                       suit; psnr, ssim, ms_ssim, mae, lpips compare image with image, paired by name, and so do
                       pixel_accuracy, class_accuracy, class_iou with label maps; files are turned by EXIF before
  --protocol NAME      measure as a published table was: studiogan-v0.4, studiogan-v0.3, mimicry, collections,
                       stylegan2-ada, clean, or atelier; says what could not be followed
  --extractor NAME     inception, one of this repository's, such as mnist-cnn, or the class_path of your own;
                       --weights FILE for its weights
  --fakes N            how many are scored
  --out FILE           also write the scores as JSON; must be new; pictures go beside it
  of a run: --seeds N  so many evaluations with other fakes: mean and standard deviation
            --split train|test of the reference, --floor yes|no to score real images too, --ckpt last|best
  of images: --size N, --channels 1|3, --background 0..255 to change those that are not alike
  of pairs: --colour rgb|grey|y8|y|y8_full, --shave N pixels at each side,
            --palette facades|#RRGGBB,#RRGGBB,... of label maps""",
        _evaluate,
    ),
    "predict": Command(
        "write a run's predictions on its test data into a file",
        WEIGHTS.format("predict") + "\n  --out FILE           predictions.pt unless given" + CONFIGURATION,
        _predict,
    ),
    **PICTURES,
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
  --own                your own runs alone, and what the committed ones have beside: with --run, the table made anew
  --dry_run            print the commands that --run would run, and how long each would take
  --jobs N             N cells at a time, which share the cores unless OMP_NUM_THREADS is set, and of several GPUs
                       have one each (1; of slurm, all)
  --executor NAME      local, or slurm: one job a cell, with --slurm.partition NAME, --slurm.gpus N (1) and
                       --slurm.hours N (24); what else sbatch needs in its own SBATCH_* variables""",
        _table,
    ),
    "compare": Command(
        "print what sets runs apart: scores, cost and settings; also as one HTML page",
        """  atelier compare RUN ... [options]

  RUN is a run directory, a record such as experiments/results/gan/dcgan_digits-s0.json, a folder or a quoted pattern
  of either, an experiment's name or a quoted pattern of names (their committed results and runs), a .wandb file or the
  folder of an offline run, or wandb:ENTITY/PROJECT, where a key is configured; segments of a resumed run are one.

  --by SCORE           what runs are ranked by; the first score that most of them have unless given. Values of
                       different protocols are never ranked together
  --out FILE.html      a page, too: a table to sort, curves, pictures side by side over time; must be new
  --runs_dir DIR       where the runs of a named experiment are looked for (runs)

  atelier compare A B --blind [--pairs 50] [--seed 0] [--out blind.html]
  atelier compare --votes votes.json ...

  A page with pairs of pictures of two runs, or of two folders, on sides that nobody is told; keys vote. Its votes.json
  gives the win rate with an interval.""",
        _compare,
    ),
    "report": Command(
        "write all that a run directory holds as one HTML page",
        """  atelier report RUN_DIR [--out FILE.html]

  Configuration, cost, curves, pictures over time, scores, edits and explanations: RUN_DIR/report.html unless given,
  written anew each time.""",
        _report,
    ),
    "list": Command("name the experiments and the overlays", "  atelier list", _list),
    "doctor": Command("look at this machine: devices, packages, data, keys", "  atelier doctor", _doctor),
}
