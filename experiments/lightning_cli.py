"""LightningCLI with the house's rules: one sentence for a mistake, callbacks by name, nothing taken from checkpoints.

The base class parses, builds and runs in its constructor. This one only parses there; ``build`` and ``make_trainer``
follow when the command is known to be sound. What a checkpoint says of hyper-parameters is never merged into the
configuration (Lightning issue 21455).
"""

import argparse
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import lightning as L
import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from experiments.cell_key import cell_key
from experiments.complaints import arguments_of, broken_file, explain, refusal
from experiments.errors import UserError, disk_is_full, of_the_system, sentence_of
from experiments.house import HOUSE, SCORES, plugins
from experiments.layers import as_text, check_top, keep_off, one_length, one_length_options
from experiments.optimizers import spelt_out
from experiments.ranks import strategy_for_idle
from experiments.values import check_optimizers, check_values, check_widths
from lightning_modules.metrics.protocol import INCEPTION, metric_name

PRINT_CONFIG = "--print_config"  # jsonargparse's own cannot print a default that is a function
# Settings of the trainer that the clock sets, and what they are here before it does.
CLOCKS_OWN = {"max_steps": -1, "max_epochs": -1, "max_time": None, "val_check_interval": None}

MOST_SEED = 2**32 - 1  # that NumPy takes

INCEPTIONS = ("val/fid", "val/is")  # scores that name no extractor, since the world means Inception's

Layer = tuple[str, Mapping[str, Any]]  # where it comes from, and what it says


class AtelierCLI(LightningCLI):
    """The configuration of ``layers`` and then ``overrides``, parsed and checked.

    Args:
        layers: merged in order.
        overrides: options of the command line, ``--key value``.
        house: the callbacks that are top-level keys, each of which may be null.

    Raises:
        UserError: any mistake in them.
    """

    def __init__(
        self, layers: Sequence[Layer], overrides: Sequence[str], house: Mapping[str, type[Callback]] = HOUSE
    ) -> None:
        self.layers, self.house = layers, house
        super().__init__(
            model_class=L.LightningModule,
            datamodule_class=L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False, "dump_header": []},
            run=False,
            args=list(overrides),
        )

    # --- parsing --------------------------------------------------------------------------------------------

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The root keys."""
        parser.add_argument("--experiment", type=str, default="unnamed", help="name of the run's folder in runs_dir")
        parser.add_argument("--runs_dir", type=str, default="runs", help="where run directories are made")
        parser.add_argument("--seed_everything", type=int, default=0, help="seed of the run, its module and its data")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The house callbacks, each with its arguments or null, and the seed's links."""
        set_parsing_settings(subclasses_disabled=list(self.house.values()))
        for name, callback in self.house.items():
            parser.add_argument(f"--{name}", type=callback | None, default=None)
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Merge the layers, then the options."""
        known = self.known_keys(parser)
        heads = {key.split(".")[0] for key in known}
        for where, layer in self.layers:
            check_top(layer, where, heads, groups={"trainer"})
        self.check_classes(args)
        merged = keep_off((one_length(layer) for _, layer in self.layers), self.house)
        texts = [word for layer in merged for word in ("--config", as_text(layer))]
        try:
            options = [word for word in args if word != PRINT_CONFIG]
            self.config = parse_both(parser, texts, one_length_options(options))
            check_values(parser, self.config)
            check_optimizers(self.config.as_dict())
        except (argparse.ArgumentError, TypeError) as error:
            values = (word.partition("=")[2] if word.startswith("--") else word for word in args)
            raise UserError(broken_file([*texts, *values]) or explain(str(error), known)) from error
        self.settle()
        if PRINT_CONFIG in args:
            print(self.text, end="")
            raise SystemExit(0)

    def settle(self) -> None:
        """Draw conclusions: the record bears the experiment's name, and without scores there is no best checkpoint.

        Raises:
            UserError: the best checkpoint is to be chosen by a score of an extractor that is not the evaluation's.
        """
        config = self.config
        if not 0 <= config.seed_everything <= MOST_SEED:
            raise UserError(f"seed_everything must lie in 0 to {MOST_SEED}, got {config.seed_everything}")
        for name, unset in CLOCKS_OWN.items():
            if config.trainer[name] not in (unset, None):
                raise UserError(
                    f"trainer.{name} follows from the clock: give clock.g_steps, kimg, epochs or validations"
                )
        if config.record is not None:
            config.record.experiment = config.experiment
        if config.checkpoint is None or config.checkpoint.monitor is None:
            return
        if all(config[scores] is None for scores in SCORES):
            config.checkpoint.monitor = None
            return
        score, at, extractor = config.checkpoint.monitor.partition("@")
        if config.evaluation is not None and (at or score in INCEPTIONS):
            wanted = config.evaluation.extractor
            if (extractor or INCEPTION) != wanted and "." not in wanted:  # a class says its name itself
                raise UserError(
                    f"checkpoint.monitor is {config.checkpoint.monitor}, and evaluation.extractor is {wanted}: give"
                    f" --checkpoint.monitor {metric_name(score, wanted)} too"
                )

    def check_classes(self, options: Sequence[str]) -> None:
        """See that something names a model and its data, before the parser wonders about their arguments."""
        for key in ("model", "data"):
            said = [layer[key] for _, layer in self.layers if key in layer]
            named = any(
                isinstance(value, str) or (isinstance(value, Mapping) and "class_path" in value) for value in said
            )
            if not named and not {f"--{key}", f"--{key}.class_path"} & set(options):
                raise UserError(f"nothing names the class of {key}: begin with an experiment, or give {key}.class_path")

    def known_keys(self, parser: LightningArgumentParser) -> set[str]:
        """Every key but those of the classes that the configuration itself names."""
        named = {
            f"{name}.{argument}"
            for name, callback in self.house.items()
            for argument in arguments_of(f"{callback.__module__}.{callback.__qualname__}")
            if argument not in ("class_path", "init_args")
        }
        return set(parser.get_defaults().keys()) | named | set(self.house)

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint's hyper-parameters never override the configuration."""

    def _set_seed(self) -> None:
        """Nothing yet: ``build`` seeds."""

    def instantiate_classes(self) -> None:
        """Nothing yet: see ``build``."""

    @property
    def text(self) -> str:
        """The whole resolved configuration as YAML, without what belongs to this machine."""
        config = self.config.clone()
        del config["runs_dir"]
        return self.parser.dump(config, skip_unset=False, skip_validation=True)

    @property
    def resolved(self) -> dict[str, Any]:
        """The same as plain values."""
        return yaml.safe_load(self.text)

    def build(self) -> None:
        """Seed, and make ``model``, ``datamodule`` and the callbacks.

        Raises:
            UserError: one of them refuses its arguments, or a network has a layer without units.
        """
        with users_mistakes():
            L.seed_everything(self.config.seed_everything, workers=True, verbose=False)
            self.config_init = self.parser.instantiate(self.config)
        if self.config_init.record is not None:
            self.config_init.record.key = cell_key(self.resolved)
        self.model: L.LightningModule = self.config_init.model
        self.datamodule: L.LightningDataModule = self.config_init.data
        if self.model is not None:  # a contact sheet is of the data alone
            check_widths(self.model)

    def make_trainer(self, root: Path, first: Sequence[Callback] = ()) -> L.Trainer:
        """The trainer that works in ``root``, with the callbacks ``first``, the house's, then the user's.

        Raises:
            UserError: settings that Lightning refuses, such as more devices than there are.
        """
        settings: dict[str, Any] = {**self.config_init.trainer}
        house = [self.config_init[name] for name in self.house if self.config_init[name] is not None]
        settings["callbacks"] = [*first, *house, *as_list(settings["callbacks"])]
        if settings["enable_checkpointing"] is None:  # else Lightning would add a callback of its own
            settings["enable_checkpointing"] = any(isinstance(c, Checkpoint) for c in settings["callbacks"])
        settings["plugins"] = plugins(as_list(settings["plugins"]), settings["sync_batchnorm"])
        settings["default_root_dir"] = str(root)
        with users_mistakes(TypeError):
            settings["strategy"] = strategy_for_idle(self.parser, self.config, self.model) or settings["strategy"]
            return L.Trainer(**settings)


USERS = (ValueError, OSError, MisconfigurationException, ModuleNotFoundError)  # mistakes to mend in the configuration

NO_GPU = "No supported gpu backend found"  # what Lightning says of accelerator: gpu
NEGATIVE = "tensor with negative dimension"  # torch's RuntimeError over a width below 0


@contextmanager
def users_mistakes(*more: type[Exception]) -> Iterator[None]:
    """Turn a refusal (or one of ``more``) raised inside into a UserError of the same sentence; a bug stays a bug."""
    try:
        yield
    except Exception as error:
        cause = refusal(error)
        if isinstance(cause, OSError) and disk_is_full(cause):
            raise of_the_system(cause) from error
        if NO_GPU in str(cause):
            raise UserError("trainer.accelerator is gpu, and there is none here: leave it out") from error
        if isinstance(cause, (*USERS, *more)) or NEGATIVE in str(cause):
            raise UserError(sentence_of(cause)) from error
        raise cause from None


def parse_both(parser: LightningArgumentParser, texts: list[str], options: list[str]) -> Namespace:
    """``texts`` (layers), then ``options``; default optimizers become classes with arguments, which options may change.

    jsonargparse reads a default such as ``lambda p: Adam(p, lr=2e-4)`` itself, but not one with a tuple in it.
    """
    try:
        config = parser.parse_args([*texts, *options])
    except argparse.ArgumentError:
        with suppress(argparse.ArgumentError):
            defaults = default_optimizers(parser.parse_args(texts))
            texts = [*texts, "--config", as_text(defaults.as_dict())]
        config = parser.parse_args([*texts, *options])
    defaults = default_optimizers(config)
    for key, value in defaults.items(branches=True):
        if isinstance(config.get(key), FunctionType):
            config[key] = value
    return parser.parse_object(config) if defaults else config


def default_optimizers(config: Namespace) -> Namespace:
    """The optimizers in ``config`` that are functions, spelt out."""
    defaults = Namespace()
    for key, value in config.items():
        if isinstance(value, FunctionType):
            stated = spelt_out(value)
            defaults[key] = Namespace(class_path=stated["class_path"], init_args=Namespace(**stated["init_args"]))
    return defaults


def as_list(value: Any) -> list[Any]:
    """``value`` where it is a list, nothing as an empty one, anything else as a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def switch_off(cli: AtelierCLI, *names: str) -> None:
    """Take the named callbacks out of a parsed configuration."""
    for name in names:
        cli.config[name] = None


UNFIT_ADVICE = (
    ".*isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    ".*module.s. in eval mode at the start of training",  # averaged weights and extractors are
    ".*broadcast_buffers. is deprecated",  # its successor still copies buffers once
    ".*Grad strides do not match bucket view strides",  # one-channel convolutions in channels-last format
    ".*It is recommended to use .self.log.*sync_dist=True",  # scores are the same on every rank
    "Initializing zero-element tensors",  # of a width of 0, which is refused
    ".*callbacks used to create the checkpoint need to be provided",  # looking needs none of those that write
)


def hush_lightning() -> None:
    """Silence what Lightning says at every start: hardware found, tips, and advice that does not fit here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in UNFIT_ADVICE:
        warnings.filterwarnings("ignore", message=advice)
