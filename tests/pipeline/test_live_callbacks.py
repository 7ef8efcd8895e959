"""Watch in real training frameworks; TensorBoard's own reader and real checkpoints are the judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import ArchitectureError

Vectors = NDArray[np.float32]
BARE: dict[str, Any] = {
    "faithfulness": "none",
    "interventions": 0,
    "baseline": "none",
    "quiet": True,
}


def agent(folder: Path) -> Any:
    from stable_baselines3 import PPO

    return PPO(
        "MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu",
        policy_kwargs={"activation_fn": torch.nn.ReLU}, tensorboard_log=str(folder / "board"),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_stable_baselines(tmp_path: Path) -> None:
    from stable_baselines3.common.callbacks import BaseCallback
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Saving(BaseCallback):
        def _on_rollout_start(self) -> None:
            self.model.save(tmp_path / "ckpts" / f"ppo_{self.num_timesteps}_steps")

        def _on_step(self) -> bool:
            return True

        def _on_training_end(self) -> None:
            self._on_rollout_start()

    (tmp_path / "ckpts").mkdir()
    observations = np.random.default_rng(0).normal(scale=0.1, size=(4, 4)).astype(np.float32)
    model = agent(tmp_path)
    with pytest.raises(ArchitectureError, match="give the algorithm"):
        lrpdyn.Watch(model.policy, observations, out=tmp_path / "live", **BARE)
    watch = lrpdyn.Watch(model, observations, out=tmp_path / "live", share=1, **BARE)
    model.learn(256, callback=[Saving(), watch.sb3()])
    assert watch.run is not None
    run = watch.run
    expected = lrpdyn.compute(
        tmp_path / "ckpts", observations, out=tmp_path / "run", workers=1, **BARE
    )
    assert run.steps == expected.steps == (0, 64, 128, 192, 256)
    assert run.manifest["architecture"] == expected.manifest["architecture"]
    for step in run.steps:
        np.testing.assert_allclose(run.relevance[step], expected.relevance[step], rtol=1e-6, atol=0)
    assert np.abs(run.relevance[256]).max() > 0

    (log,) = (tmp_path / "board").iterdir()
    board = EventAccumulator(str(log), size_guidance={"images": 0}).Reload()
    change = run.transitions["change"].reshape(4, 4).mean(axis=1)
    shown = board.Scalars("lrpdyn/change")
    assert [event.step for event in shown] == [64, 128, 192, 256]
    np.testing.assert_allclose([event.value for event in shown], change, rtol=1e-6)
    assert [event.step for event in board.Scalars("lrpdyn/score")] == list(run.steps)
    pictures = board.Images("lrpdyn/relevance")
    assert [event.step for event in pictures] == list(run.steps)
    assert (pictures[0].width, pictures[0].height) == (
        96,
        96,
    )  # 4 features of 4 samples, a row each


def test_hugging_face(vectors: Vectors, tmp_path: Path) -> None:
    """What its ``Trainer`` calls callbacks with; `accelerate`, which that needs, is large."""
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import CallbackHandler

    network = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    watch = lrpdyn.Watch(network, vectors, out=tmp_path / "live", share=1, **BARE)
    handler = CallbackHandler([watch.trainer()], network, None, None, None)
    arguments = TrainingArguments.__new__(TrainingArguments)
    state, control = TrainerState(), TrainerControl()
    handler.on_train_begin(arguments, state, control)
    for step in (1, 2):
        with torch.no_grad():
            network[0].weight += 0.1
        state.global_step = step
        handler.on_step_end(arguments, state, control)
    handler.on_train_end(arguments, state, control)
    assert lrpdyn.open_run(tmp_path / "live").steps == (0, 1, 2)


@pytest.mark.frameworks
def test_lightning(vectors: Vectors, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Classifier(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Sequential(
                torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
            )

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return self.network(batch[0]).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Classifier()
    watch = lrpdyn.Watch(module.network, vectors, out=tmp_path / "live", share=1, **BARE)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(vectors)))
    lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, callbacks=[watch.lightning()],
    ).fit(module, data)  # fmt: skip
    assert lrpdyn.open_run(tmp_path / "live").steps == (0, 1, 2, 3, 4, 5)
