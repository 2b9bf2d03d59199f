"""``atelier``: find the command and run it. Help and lists answer without importing torch.

Exit codes: 0 all is well, 1 the run failed, 2 the command cannot be run as given, 130 interrupted.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments import catalogue
from experiments.errors import AtelierError, UserError, did_you_mean, report

HELP = ("-h", "--help", "help")


def _fit(argv: Sequence[str]) -> int:
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
  --config FILE        merge one more YAML, or an overlay by name (smoke, multi_gpu, tensorboard); may be repeated
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
  --clock.g_steps N    length in updates of the generator; or --clock.kimg, in thousands of images; or --clock.epochs
  --seed_everything N  seed of networks, noise and data order
  --trainer.logger false      no Weights & Biases, no metrics.jsonl
  --evaluation null    no scores; so with samples, checkpoint, record, progress
  --runs_dir DIR       where run directories are made (runs)""",
        _fit,
    ),
    "validate": Command("score a run on its validation data", WEIGHTS.format("validate") + CONFIGURATION, _validate),
    "test": Command("score a run on its test data", WEIGHTS.format("test") + CONFIGURATION, _test),
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
    "list": Command("name the experiments and the overlays", "  atelier list", _list),
    "doctor": Command("look at this machine: devices, packages, data, keys", "  atelier doctor", _doctor),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` unless given) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return dispatch(words)
    except AtelierError as error:
        return report(error)
    except SystemExit as leaving:  # jsonargparse's --print_config, and Lightning after Ctrl-C
        return leaving.code if isinstance(leaving.code, int) else 1
    except KeyboardInterrupt:
        return 130


def dispatch(words: list[str]) -> int:
    """Find the command and run it.

    Raises:
        AtelierError: whatever keeps it from its end.
    """
    if not words or words[0] in HELP:
        show_help()
        return 0
    name, *rest = words
    if name not in COMMANDS:
        raise UserError(f"there is no command {name}: {did_you_mean(name, COMMANDS, 'atelier --help lists them')}")
    if any(word in HELP[:2] for word in rest):
        print(f"{COMMANDS[name].line}\n\n{COMMANDS[name].usage}")
        return 0
    return COMMANDS[name].run(rest)


def show_help() -> None:
    """Print what commands there are."""
    print("atelier: make and mend images with neural networks\n\ncommands")
    for name, command in COMMANDS.items():
        print(f"  {name:10}{command.line}")
    print("\n`atelier COMMAND --help` tells more. Begin with: atelier fit gan/dcgan_digits")


if __name__ == "__main__":
    sys.exit(main())
