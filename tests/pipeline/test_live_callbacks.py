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


def _lightning_run(lightning: Any, vectors: Vectors, folder: Path, **options: Any) -> lrpdyn.Run:
    class Classifier(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Sequential(
                torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
            )

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            loss: torch.Tensor = self.network(batch[0]).square().mean()
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Classifier()
    watch = lrpdyn.Watch(module.network, vectors, out=folder / "live", share=1, **BARE)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(vectors)))
    lightning.Trainer(
        max_epochs=2, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[watch.lightning()], **options,
    ).fit(module, data)  # fmt: skip
    return lrpdyn.open_run(folder / "live")


@pytest.mark.frameworks
@pytest.mark.filterwarnings("ignore")  # Lightning's own, of few batches and of deprecated names
@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(package: str, vectors: Vectors, tmp_path: Path) -> None:
    lightning = pytest.importorskip(package)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = lightning.loggers.TensorBoardLogger(tmp_path, name="board", version="one")
    rows = lightning.loggers.CSVLogger(tmp_path, name="rows")
    run = _lightning_run(
        lightning, vectors, tmp_path, logger=[rows, board], accumulate_grad_batches=2
    )
    count = len(vectors)
    per_epoch = -(-count // 2)
    assert run.steps == tuple(range(2 * per_epoch + 1))
    shown = EventAccumulator(str(tmp_path / "board" / "one")).Reload()
    assert [event.step for event in shown.Scalars("lrpdyn/score")] == list(run.steps)
    assert [event.step for event in shown.Images("lrpdyn/relevance")]


@pytest.mark.frameworks
@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    network = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    logged: list[dict[str, Any]] = []
    with wandb.init(mode="offline", project="lrpdyn", dir=tmp_path) as board:
        log = board.log
        monkeypatch.setattr(board, "log", lambda row: (logged.append(row), log(row)))
        with lrpdyn.Watch(
            network, vectors, out=tmp_path / "live", share=1, writer=board, **BARE
        ) as watch:
            for step in range(3):
                with torch.no_grad():
                    network[0].weight += 0.1
                board.log({"loss": 1.0 / (step + 1)})
                watch.step(step)
        assert board.summary["lrpdyn/step"] == 2
        assert board.summary["loss"] == pytest.approx(1 / 3)
    run = lrpdyn.open_run(tmp_path / "live")
    scores = [row["lrpdyn/score"] for row in logged if "lrpdyn/score" in row]
    expected = run.metrics["score"].reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/lrpdyn/*.png"))) == 3
