"""``atelier``: find the command and run it. Help and lists answer without importing torch.

Exit codes: 0 all is well, 1 the run failed, 2 the command cannot be run as given, 130 interrupted.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from experiments.commands import COMMANDS
from experiments.errors import (
    AtelierError,
    InterruptedRunError,
    UserError,
    did_you_mean,
    memory_is_full,
    of_memory,
    of_the_system,
    print_any_name,
    report,
)

HELP = ("-h", "--help", "help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` unless given) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    print_any_name()
    try:
        with classes_from_here():
            code = dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has enough of it, as under `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]  # it was written to
        return 1
    except AtelierError as error:
        return report(error)
    except OSError as error:  # a place that was sound when the command began: its disk is full, or it has gone
        return report(of_the_system(error))
    except (MemoryError, RuntimeError) as error:
        if not memory_is_full(error):
            raise
        return report(of_memory(error))
    except SystemExit as leaving:  # jsonargparse's --print_config, and Lightning after Ctrl-C
        return leaving.code if isinstance(leaving.code, int) else 1
    except KeyboardInterrupt:
        return report(InterruptedRunError("interrupted"))


@contextmanager
def classes_from_here() -> Iterator[None]:
    """Let a class_path name a file of the working directory, as under ``python -m``; installed modules come first."""
    before = [*sys.path]
    sys.path.append(os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


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
        print(f"  {name:15}{command.line}")
    print("\n`atelier COMMAND --help` tells more. Begin with: atelier fit gan/dcgan_digits")


if __name__ == "__main__":
    sys.exit(main())
