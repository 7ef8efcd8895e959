"""Short real runs, saved by the frameworks themselves, and explained.

Deselected unless asked for, with the extra of the same name installed:

    python -m pytest -m frameworks tests/checkpoints/frameworks
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrpdyn
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import read_weights
from tests.checkpoints.networks import Net, architecture, observations

pytestmark = [
    pytest.mark.frameworks,
    # Frameworks warn of each other and of themselves.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Return batches of 8 pictures with labels."""
    return [(torch.rand(8, 3, 8, 8), torch.randint(0, 3, (8,))) for _ in range(count)]


def train(network: nn.Module, steps: int = 2) -> torch.optim.Optimizer:
    """Take a few real steps."""
    optimizer = torch.optim.Adam(network.parameters())
    for images, labels in batches(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return optimizer


def explained(folder: Path, out: Path, **options: Any) -> lrpdyn.Run:
    given = {"arch": architecture(), "scale": 255, "baseline": "none", **options}
    return lrpdyn.compute(folder, observations(), out=out, quiet=True, **given)


def weights_of(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    return read_weights(checkpoint.path, checkpoint.format, weights=checkpoint.weights)[0]


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def image_env() -> Any:
    from stable_baselines3.common.envs import FakeImageEnv

    return FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "DQN"])
def test_stable_baselines3(algorithm: str, tmp_path: Path) -> None:
    import stable_baselines3
    from stable_baselines3.common.callbacks import CheckpointCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env = VecNormalize(DummyVecEnv([image_env]), norm_obs=False)
    extra = {"buffer_size": 50, "learning_starts": 8} if algorithm == "DQN" else {"n_steps": 8}
    kind = getattr(stable_baselines3, algorithm)
    model = kind("CnnPolicy", env, seed=0, device="cpu", **extra)
    callback = CheckpointCallback(
        8, str(tmp_path / "ckpts"), save_vecnormalize=True, save_replay_buffer=algorithm == "DQN"
    )
    model.learn(24, callback=callback)
    listing = discover(tmp_path / "ckpts")
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [8, 16, 24]
    assert not listing.bad
    last = listing.checkpoints[-1]
    assert_same(weights_of(last), kind.load(last.path, device="cpu").policy.state_dict())
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 84, 84), dtype=np.uint8)
    run = lrpdyn.compute(
        tmp_path / "ckpts", images, out=tmp_path / "run", quiet=True, baseline="none"
    )
    assert run.steps == (8, 16, 24)


@pytest.mark.parametrize("algorithm", ["QRDQN", "TRPO", "MaskablePPO"])
def test_sb3_contrib(algorithm: str, tmp_path: Path) -> None:
    import sb3_contrib
    from sb3_contrib.common.envs import InvalidActionEnvDiscrete
    from stable_baselines3.common.callbacks import CheckpointCallback

    kind = getattr(sb3_contrib, algorithm)
    if algorithm == "MaskablePPO":
        model = kind("MlpPolicy", InvalidActionEnvDiscrete(dim=6, n_invalid_actions=2), n_steps=8,
                     batch_size=8, seed=0, device="cpu")  # fmt: skip
        seen: Any = np.eye(6, dtype=np.float32)
    else:
        extra = (
            {"buffer_size": 50, "learning_starts": 8} if algorithm == "QRDQN" else {"n_steps": 8}
        )
        extra |= {"batch_size": 8}
        model = kind("CnnPolicy", image_env(), seed=0, device="cpu", **extra)
        seen = np.random.default_rng(0).integers(0, 256, (2, 4, 84, 84), dtype=np.uint8)
    model.learn(24, callback=CheckpointCallback(8, str(tmp_path / "ckpts")))
    listing = discover(tmp_path / "ckpts")
    last = listing.checkpoints[-1]
    assert_same(weights_of(last), kind.load(last.path, device="cpu").policy.state_dict())
    if algorithm == "MaskablePPO":
        seen = np.stack([model.observation_space.sample() for _ in range(3)]).astype(np.float32)
        seen = np.eye(last.header.shapes["mlp_extractor.policy_net.0.weight"][1], dtype=np.float32)
    run = lrpdyn.compute(
        tmp_path / "ckpts", seen, out=tmp_path / "run", quiet=True, baseline="none"
    )
    assert run.steps == (8, 16, 24)


def test_vecnormalize(tmp_path: Path) -> None:
    import gymnasium
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from lrpdyn.observations.normalisation import from_file

    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]), clip_obs=1.5)
    env.reset()
    for _ in range(50):
        env.step([env.action_space.sample()])
    env.save(str(tmp_path / "vecnormalize.pkl"))
    raw = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = from_file(tmp_path / "vecnormalize.pkl", trust=True).apply(raw)
    np.testing.assert_array_equal(found, env.normalize_obs(raw).astype(np.float32))
    assert abs(found).max() == 1.5


def test_lightning(tmp_path: Path) -> None:
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = Net(width)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    saver = ModelCheckpoint(
        tmp_path / "ckpts", every_n_train_steps=4, save_top_k=-1, save_last=True
    )
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, callbacks=[saver],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Module()
    trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None))  # type: ignore[arg-type]
    listing = discover(tmp_path / "ckpts")
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [4, 8, 12]
    assert listing.checkpoints[-1].aliases == (tmp_path / "ckpts/last.ckpt",)
    assert_same(weights_of(listing.checkpoints[-1]), module.state_dict())
    assert explained(tmp_path / "ckpts", tmp_path / "run").steps == (4, 8, 12)


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "ckpts"
    folder.mkdir()
    network = Net()
    for step in (5, 10, 100):
        train(network)
        half = {key: value.half() for key, value in network.state_dict().items()}
        save_file(half, folder / f"model_{step}.safetensors", {"format": "pt"})
    assert_same(weights_of(discover(folder).checkpoints[-1]), half)
    assert explained(folder, tmp_path / "run").steps == (5, 10, 100)


def test_hugging_face_trainer(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    pairs = [zip(images, labels, strict=True) for images, labels in batches()]
    rows = [{"x": image, "labels": label} for pair in pairs for image, label in pair]
    arguments = TrainingArguments(
        str(tmp_path / "ckpts"), max_steps=12, save_steps=4, per_device_train_batch_size=8,
        report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    model = Wrapped()
    Trainer(model, arguments, train_dataset=rows).train()
    listing = discover(tmp_path / "ckpts")
    assert [(c.step, c.format) for c in listing.checkpoints] == [
        (4, "huggingface"), (8, "huggingface"), (12, "huggingface"),
    ]  # fmt: skip
    assert_same(weights_of(listing.checkpoints[-1]), model.state_dict())
    assert explained(tmp_path / "ckpts", tmp_path / "run").steps == (4, 8, 12)


def test_accelerate(tmp_path: Path) -> None:
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    configuration = ProjectConfiguration(str(tmp_path), automatic_checkpoint_naming=True)
    accelerator = Accelerator(cpu=True, project_config=configuration)
    network = Net()
    model, optimizer = accelerator.prepare(network, torch.optim.Adam(network.parameters()))
    for images, labels in batches(3):
        accelerator.backward(nn.functional.cross_entropy(model(images), labels))
        optimizer.step()
        optimizer.zero_grad()
        accelerator.save_state()
    listing = discover(tmp_path)
    assert ([c.step for c in listing.checkpoints], listing.unit) == ([0, 1, 2], "saves")
    assert_same(weights_of(listing.checkpoints[-1]), network.state_dict())
    assert explained(tmp_path, tmp_path / "run").steps == (0, 1, 2)


@pytest.mark.parametrize("weights", ["model", "ema"])
def test_timm(weights: str, tmp_path: Path) -> None:
    from timm.utils import CheckpointSaver, ModelEmaV2

    network = Net()
    average = ModelEmaV2(network, decay=0.5)
    folder = tmp_path / "ckpts"
    folder.mkdir()
    saver = CheckpointSaver(
        network, torch.optim.Adam(network.parameters()), args=argparse.Namespace(model="net"),
        model_ema=average, checkpoint_dir=str(folder), recovery_dir=str(folder),
    )  # fmt: skip
    for epoch in range(3):
        train(network)
        average.update(network)
        saver.save_checkpoint(epoch, metric=float(-epoch))
    run = explained(folder, tmp_path / "run", weights=weights)
    assert (run.steps, run.manifest["unit"]) == ((0, 1, 2), "epochs")
    last = next(e for e in discover(folder, pattern="*-2.pth.tar").checkpoints)
    found, _ = read_weights(last.path, last.format, weights=weights)
    assert_same(found, (average.module if weights == "ema" else network).state_dict())


def test_torchvision_model_as_its_references_save_it(tmp_path: Path) -> None:
    from torch.optim.swa_utils import AveragedModel
    from torchvision.models import resnet18

    folder = tmp_path / "ckpts"
    folder.mkdir()
    network = resnet18(num_classes=3)
    average = AveragedModel(network, use_buffers=True)
    for epoch in range(2):
        optimizer = train(network, 1)
        average.update_parameters(network)
        saved = {
            "model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch,
            "model_ema": average.state_dict(), "args": argparse.Namespace(lr=0.1),
        }  # fmt: skip
        torch.save(saved, folder / f"model_{epoch}.pth")
        torch.save(saved, folder / "checkpoint.pth")
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    for weights in ("model", "ema"):
        run = lrpdyn.compute(
            folder, images, out=tmp_path / weights, scale="imagenet", weights=weights,
            rule="epsilon-plus", quiet=True, baseline="none",
        )  # fmt: skip
        assert run.steps == (0, 1)
        assert run.manifest["architecture"]["name"] == "torchvision:resnet18"


def test_torch_distributed_checkpoint(tmp_path: Path) -> None:
    from torch.distributed import checkpoint

    network = Net()
    for step in (5, 10, 100):
        optimizer = train(network)
        state = {"model": network.state_dict(), "optim": optimizer.state_dict(), "step": step}
        checkpoint.save(state, checkpoint_id=str(tmp_path / f"ckpts/step-{step}"))
    listing = discover(tmp_path / "ckpts")
    assert [(c.step, c.step_source) for c in listing.checkpoints] == [
        (5, "step"), (10, "step"), (100, "step"),
    ]  # fmt: skip
    assert_same(weights_of(listing.checkpoints[-1]), network.state_dict())
    assert explained(tmp_path / "ckpts", tmp_path / "run").steps == (5, 10, 100)


def test_tianshou(tmp_path: Path) -> None:
    import gymnasium
    from tianshou.algorithm import DQN
    from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.trainer import OffPolicyTrainerParams
    from tianshou.utils import TensorboardLogger
    from tianshou.utils.net.common import Net as Perceptron
    from torch.utils.tensorboard import SummaryWriter

    env = gymnasium.make("CartPole-v1")
    model = Perceptron(state_shape=4, action_shape=2, hidden_sizes=[8])
    policy = DiscreteQLearningPolicy(
        model=model, action_space=env.action_space, observation_space=env.observation_space
    )
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), target_update_freq=10)
    envs = DummyVectorEnv([lambda: gymnasium.make("CartPole-v1")])
    collector = Collector(algorithm, envs, VectorReplayBuffer(200, 1))
    folder = tmp_path / "ckpts"
    folder.mkdir()

    def save(epoch: int, step: int, gradient_step: int) -> str:
        path = folder / f"checkpoint_{epoch}.pth"
        torch.save({"model": algorithm.state_dict()}, path)
        return str(path)

    with SummaryWriter(str(tmp_path / "log")) as writer:
        algorithm.run_training(
            OffPolicyTrainerParams(
                max_epochs=3, epoch_num_steps=40, training_collector=collector, batch_size=16,
                collection_step_num_env_steps=10, save_checkpoint_fn=save, show_progress=False,
                verbose=False, logger=TensorboardLogger(writer, save_interval=1),
            )
        )  # fmt: skip
    listing = discover(folder)
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [1, 2, 3]
    saved = {key: v for key, v in algorithm.state_dict().items() if key != "_optimizers"}
    assert_same(weights_of(listing.checkpoints[-1]), saved)
    own = tmp_path / "own.py"
    network = model.model.model
    assert isinstance(network, nn.Sequential)
    seen = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    own.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))\n"
    )
    run = lrpdyn.compute(
        folder, seen, out=tmp_path / "run", arch=f"{own}:make", quiet=True, baseline="none",
        target=0, contrast="none",
    )  # fmt: skip
    assert run.steps == (1, 2, 3)
    with torch.no_grad():
        expected = network(torch.from_numpy(seen))[:, 0].numpy()
    np.testing.assert_allclose(run.metrics["score"][-3:], expected, rtol=1e-5)


def test_torchrl(tmp_path: Path) -> None:
    from torchrl.checkpoint import Checkpoint as Saver

    network = Net()
    for frames in (100, 2000, 30000):
        optimizer = train(network)
        saver = Saver(policy=network, optimizer=optimizer, settings={"lr": 0.1})
        saver.save(tmp_path / f"ckpts/checkpoint-{frames:012d}")
    listing = discover(tmp_path / "ckpts")
    assert [checkpoint.step for checkpoint in listing.checkpoints] == [100, 2000, 30000]
    assert_same(weights_of(listing.checkpoints[-1]), network.state_dict())
    assert explained(tmp_path / "ckpts", tmp_path / "run").steps == (100, 2000, 30000)
