"""How families whose steps leave weights idle, as those of two players do, train on several ranks unless told."""

from typing import Any, cast

import lightning as L
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import instantiate_class
from lightning.pytorch.strategies import DDPStrategy

from experiments.catalogue import overlays
from experiments.house import own_ranks
from experiments.layers import read_layer
from lightning_modules.base import AtelierModule

ASKED = ("accelerator", "devices", "num_nodes")
NONE_OF = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")


def strategy_for_idle(parser: ArgumentParser, config: Namespace, model: L.LightningModule) -> DDPStrategy | None:
    """That of multi_gpu.yaml where Lightning would choose plain DDP, which fails on idle weights; else None.

    ``config`` then says so too.
    """
    leaves_idle = isinstance(model, AtelierModule) and model.leaves_idle
    if config.trainer.strategy != "auto" or not leaves_idle:
        return None
    asked: dict[str, Any] = {name: config.trainer[name] for name in ASKED} | {"plugins": own_ranks()}
    choice = L.Trainer(**asked, **cast(dict[str, Any], dict.fromkeys(NONE_OF, False)))
    if not isinstance(choice.strategy, DDPStrategy):
        return None
    strategy = read_layer(overlays()["multi_gpu"])["trainer"]["strategy"]
    whole = config.clone()
    whole.trainer.strategy = Namespace(strategy | {"init_args": Namespace(strategy["init_args"])})
    config.trainer.strategy = parser.parse_object(whole).trainer.strategy  # spelt out
    return instantiate_class((), strategy)
