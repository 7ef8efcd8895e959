"""What calls `lrpdyn.Watch` from a training framework; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lrpdyn.pipeline.live_board import is_wandb

if TYPE_CHECKING:
    from lrpdyn.pipeline.live import Watch


def sb3_callback(watch: Watch) -> Any:
    """Return a callback for ``model.learn(..., callback=...)`` of Stable-Baselines3.

    The weights are explained as they are before each rollout, at ``num_timesteps``, and once more at the
    end, which closes the watch. Scalars and pictures go to the TensorBoard log that the model has.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    def _on_training_start(self: Any) -> None:
        writers = (getattr(output, "writer", None) for output in self.logger.output_formats)
        watch.writer = watch.writer or next((one for one in writers if _is_board(one)), None)

    def _on_rollout_start(self: Any) -> None:
        watch.step(self.num_timesteps)

    def _on_step(self: Any) -> bool:
        return True

    def _on_training_end(self: Any) -> None:
        watch.step(self.num_timesteps)
        watch.close()

    return _made(BaseCallback, _on_training_start, _on_rollout_start, _on_step, _on_training_end)


def trainer_callback(watch: Watch) -> Any:
    """Return a callback for a ``Trainer`` of Hugging Face: ``Trainer(..., callbacks=[...])``.

    The weights are explained as they are after each optimizer step, at ``global_step``.
    """
    from transformers import TrainerCallback

    def step(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        watch.step(state.global_step)

    def on_train_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        watch.close()

    return _made(TrainerCallback, on_train_end, on_train_begin=step, on_step_end=step)


def lightning_callback(watch: Watch) -> Any:
    """Return a callback for a ``Trainer`` of Lightning: ``Trainer(callbacks=[...])``.

    The weights are explained as they are after each training batch, at ``global_step``. Scalars and
    pictures go to the first of its loggers that takes them: TensorBoard's, or that of Weights & Biases.
    """
    package = "lightning.pytorch" if find_spec("lightning") else "pytorch_lightning"
    base = importlib.import_module(package).Callback

    def on_train_start(self: Any, trainer: Any, module: Any) -> None:
        boards = (getattr(logger, "experiment", None) for logger in trainer.loggers)
        watch.writer = watch.writer or next((one for one in boards if _is_board(one)), None)
        watch.step(trainer.global_step)

    def on_train_batch_end(self: Any, trainer: Any, *more: Any) -> None:
        watch.step(trainer.global_step)

    def on_train_end(self: Any, trainer: Any, module: Any) -> None:
        watch.close()

    return _made(base, on_train_start, on_train_batch_end, on_train_end)


def _is_board(found: Any) -> bool:
    return (hasattr(found, "add_scalar") and hasattr(found, "add_image")) or is_wandb(found)


def _made(base: Any, *methods: Callable[..., Any], **named: Callable[..., Any]) -> Any:
    """Return a callback of a framework's class with these methods."""
    own = {method.__name__: method for method in methods}
    return type("Watching", (base,), {**own, **named})()
