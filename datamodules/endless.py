"""Whether a trainer comes to an end over training data that has none."""

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, Timer


def check_end(trainer: L.Trainer) -> None:
    """Raise ValueError where ``trainer`` counts epochs of a loader without end; by now a clock has set max_steps.

    ``max_epochs=-1`` asks for no end in so many words.
    """
    by_steps = trainer.max_steps != -1 or isinstance(trainer.limit_train_batches, int)
    stopped = any(isinstance(callback, Timer | EarlyStopping) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    if not by_steps and not stopped and trainer.max_epochs != -1:
        raise ValueError(
            "training data here has no end: give the Trainer max_steps or limit_train_batches, or the Clock callback"
        )
