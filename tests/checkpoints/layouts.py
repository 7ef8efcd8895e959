"""Folders as frameworks write them: names, containers and keys from each framework's source."""

from __future__ import annotations

import argparse
import collections
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.checkpoints.networks import STEPS, Net, Weights, arrays, own, states, under

Series = dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class Layout:
    """How a framework names and fills its files.

    `write` fills a folder and returns what it left beside the checkpoints: names, with the reason
    that is given for each.
    """

    write: Callable[[Path, Series], dict[str, str]]
    unit: str = "steps"
    steps: tuple[int, ...] = STEPS
    options: dict[str, Any] = field(default_factory=dict)


def adam(weights: Weights) -> dict[str, Any]:
    """Return a real optimizer's state after a step."""
    parameters = [value.clone().requires_grad_() for value in weights.values()]
    optimizer = torch.optim.Adam(parameters)
    sum(parameter.sum() for parameter in parameters).backward()  # type: ignore[union-attr]
    optimizer.step()
    return optimizer.state_dict()


def safetensors(path: Path, weights: Weights, metadata: dict[str, str] | None = None) -> None:
    """Write the format's own bytes, https://github.com/huggingface/safetensors#format."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for key, value in weights.items():
        raw = value.numpy().tobytes()
        ends = [len(data), len(data) + len(raw)]
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": ends}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def bare(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        torch.save(weights, folder / f"net_{step}.pt")
    return {}


def legacy(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        torch.save(weights, folder / f"net_{step}.pt", _use_new_zipfile_serialization=False)
    return {}


def nested(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        saved = {"model_state_dict": weights, "optimizer_state_dict": adam(weights), "step": step}
        torch.save(saved, folder / f"checkpoint_{step}.pt")
    return {}


def safetensors_files(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        safetensors(folder / f"model-{step}.safetensors", weights, {"format": "pt"})
    return {}


def compiled(folder: Path, series: Series) -> dict[str, str]:
    """torch.compile of a submodule, within DataParallel."""
    for step, weights in series.items():
        keys = {key: key.replace("features.", "features._orig_mod.") for key in weights}
        torch.save({f"module.{keys[k]}": v for k, v in weights.items()}, folder / f"net_{step}.pt")
    return {}


def averaged(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        saved = {"n_averaged": torch.tensor(5), **under("module.", weights)}
        torch.save(saved, folder / f"swa_{step}.pt")
    return {}


def _sb3_zip(step: int, weights: Weights) -> bytes:
    policy, buffer = io.BytesIO(), io.BytesIO()
    torch.save(weights, policy)
    data = {"num_timesteps": step, "policy_class": {":type:": "<class>", ":serialized:": "gAWV"}}
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", json.dumps(data))
        archive.writestr("pytorch_variables.pth", policy.getvalue()[:100])
        archive.writestr("policy.pth", policy.getvalue())
        archive.writestr("_stable_baselines3_version", "1.6.2")
    return buffer.getvalue()


def stable_baselines3(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        (folder / f"rl_model_{step}_steps.zip").write_bytes(_sb3_zip(step, weights))
        (folder / f"rl_model_replay_buffer_{step}_steps.pkl").write_bytes(b"\x80\x05N.")
        (folder / f"rl_model_vecnormalize_{step}_steps.pkl").write_bytes(b"\x80\x05N.")
    last = max(series)
    (folder / "best_model.zip").write_bytes(_sb3_zip(last, series[last]))
    return {
        f"rl_model_{what}_{step}_steps.pkl": reason
        for step in series
        for what, reason in (
            ("replay_buffer", "a replay buffer"),
            ("vecnormalize", "the running statistics of observations"),
        )
    }


def rl_zoo3(folder: Path, series: Series) -> dict[str, str]:
    stable_baselines3(folder, series)
    last = max(series)
    (folder / "PongNoFrameskip-v4.zip").write_bytes(_sb3_zip(last, series[last]))
    (folder / "PongNoFrameskip-v4").mkdir()
    (folder / "evaluations.npz").write_bytes(b"PK\x03\x04")
    return {}


def hub(folder: Path, series: Series) -> dict[str, str]:
    """Zips of the model hub beside their unpacked folders."""
    for (step, weights), name in zip(series.items(), ("100k", "1mm", "2.5M"), strict=True):
        payload = _sb3_zip(step, weights)
        (folder / f"{name}.zip").write_bytes(payload)
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            archive.extractall(folder / name)
    return {}


def cleanrl(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        torch.save(weights, folder / f"ppo_{step}.cleanrl_model")
    (folder / "events.out.tfevents.1700000000.host").write_bytes(b"\x18\0\0\0\0\0\0\0abc\xff\xfe")
    return {"events.out.tfevents.1700000000.host": "holds no checkpoint of a known format"}


def cleanrl_c51(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        saved = {"model_weights": weights, "args": {"env_id": "Pong-v5", "n_atoms": 51}}
        torch.save(saved, folder / f"c51_{step}.cleanrl_model")
    return {}


def cleanrl_td3(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        saved = (weights, own(weights), own(weights))
        torch.save(saved, folder / f"td3_{step}.cleanrl_model")
    return {}


def lightning(folder: Path, series: Series) -> dict[str, str]:
    for epoch, (step, weights) in enumerate(series.items()):
        saved = {
            "epoch": epoch, "global_step": step, "pytorch-lightning_version": "2.5.0",
            "state_dict": under("model.", weights), "loops": {"fit_loop": {"state_dict": {}}},
            "optimizer_states": [adam(weights)], "lr_schedulers": [],
            "hyper_parameters": argparse.Namespace(width=4),
        }  # fmt: skip
        torch.save(saved, folder / f"epoch={epoch}-step={step}.ckpt")
    (folder / "last.ckpt").symlink_to(f"epoch={epoch}-step={step}.ckpt")
    return {}


def lightning_versions(folder: Path, series: Series) -> dict[str, str]:
    """A run that was started again into the same folder: ``-v1`` is the later one."""
    lightning(folder, series)
    first = min(series)
    old = folder / f"epoch=0-step={first}.ckpt"
    old.rename(folder / f"epoch=0-step={first}-v1.ckpt")
    saved = {"global_step": first, "state_dict": under("model.", own(states((99,))[99]))}
    torch.save(saved, old)
    return {old.name: f"epoch=0-step={first}-v1.ckpt is at its step, {first}"}


def hugging_face(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        inner = folder / f"checkpoint-{step}"
        inner.mkdir()
        safetensors(inner / "model.safetensors", under("net.", weights), {"format": "pt"})
        (inner / "trainer_state.json").write_text(json.dumps({"global_step": step, "epoch": 1.5}))
        torch.save(adam(weights), inner / "optimizer.pt")
    safetensors(folder / "model.safetensors", under("net.", weights))
    torch.save({"x": 1}, folder / "training_args.bin")
    return {
        "model.safetensors": "no step in the file or its name",
        "training_args.bin": "a trainer's settings",
    }


def hugging_face_bin(folder: Path, series: Series) -> dict[str, str]:
    hugging_face(folder, series)
    for step, weights in series.items():
        inner = folder / f"checkpoint-{step}"
        (inner / "model.safetensors").unlink()
        torch.save(under("net.", weights), inner / "pytorch_model.bin")
    return {}


def hugging_face_shards(folder: Path, series: Series) -> dict[str, str]:
    hugging_face(folder, series)
    for step, weights in series.items():
        inner = folder / f"checkpoint-{step}"
        (inner / "model.safetensors").unlink()
        keys = list(weights)
        names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
        index = {key: names[place % 2] for place, key in enumerate(keys)}
        for name in names:
            shard = {key: weights[key] for key in keys if index[key] == name}
            safetensors(inner / name, shard)
        (inner / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return {}


def accelerate(folder: Path, series: Series) -> dict[str, str]:
    for count, weights in enumerate(series.values()):
        inner = folder / f"checkpoint_{count}"
        inner.mkdir()
        safetensors(inner / "model.safetensors", weights)
        torch.save(adam(weights), inner / "optimizer.bin")
        (inner / "random_states_0.pkl").write_bytes(b"\x80\x02N.")
    return {}


def le_robot(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        inner = folder / f"{step:06d}" / "pretrained_model"
        inner.mkdir(parents=True)
        safetensors(inner / "model.safetensors", weights)
        (inner.parent / "training_state").mkdir()
        (inner.parent / "training_state/training_step.json").write_text(json.dumps({"step": step}))
    (folder / "last").symlink_to(f"{step:06d}", target_is_directory=True)
    return {}


def timm(folder: Path, series: Series) -> dict[str, str]:
    for epoch, weights in series.items():
        saved = {
            "epoch": epoch, "arch": "net", "state_dict": own(weights), "version": 2, "metric": 0.5,
            "optimizer": adam(weights), "args": argparse.Namespace(lr=0.1, model="net"),
            "state_dict_ema": under("module._orig_mod.", weights),
        }  # fmt: skip
        for value in saved["state_dict"].values():  # type: ignore[attr-defined]
            value.add_(1)
        torch.save(saved, folder / f"checkpoint-{epoch}.pth.tar")
    for name in ("last", "model_best"):
        (folder / f"{name}.pth.tar").hardlink_to(folder / f"checkpoint-{epoch}.pth.tar")
    return {}


def torchvision_references(folder: Path, series: Series) -> dict[str, str]:
    for epoch, weights in series.items():
        saved = {
            "model": own(weights), "optimizer": adam(weights), "lr_scheduler": {"last_epoch": epoch},
            "epoch": epoch, "args": argparse.Namespace(device="cpu", lr=0.1),
            "model_ema": {"n_averaged": torch.tensor(1), **under("module.", own(weights))},
        }  # fmt: skip
        torch.save(saved, folder / f"model_{epoch}.pth")
        torch.save(saved, folder / "checkpoint.pth")
    return {}


def mmengine(folder: Path, series: Series) -> dict[str, str]:
    for count, (step, weights) in enumerate(series.items()):
        saved = {
            "meta": {"epoch": count, "iter": step, "cfg": "model = dict()", "seed": np.int64(3)},
            "state_dict": own(weights), "optimizer": adam(weights), "message_hub": {},
        }  # fmt: skip
        torch.save(saved, folder / f"iter_{step}.pth")
    torch.save(saved, folder / f"best_accuracy_top1_iter_{step}.pth")
    (folder / "last_checkpoint").write_text(f"iter_{step}.pth")
    return {"last_checkpoint": "is a text file"}


def fairseq(folder: Path, series: Series) -> dict[str, str]:
    for count, (step, weights) in enumerate(series.items(), start=1):
        saved = {
            "args": None, "cfg": {"common": {"seed": 1}}, "model": weights, "criterion": None,
            "optimizer_history": [{"num_updates": step, "optimizer_name": "Adam"}],
            "last_optimizer_state": adam(weights), "extra_state": {"train_iterator": {"epoch": 1}},
        }  # fmt: skip
        torch.save(saved, folder / f"checkpoint{count}.pt")
    for name in ("checkpoint_last.pt", "checkpoint.best_loss_3.210.pt"):
        torch.save(saved, folder / name)
    return {}


def tianshou(folder: Path, series: Series) -> dict[str, str]:
    for epoch, weights in series.items():
        saved = {
            "model": {
                **under("policy.model.", weights), **under("model_old.module.", weights),
                "_optimizers": [adam(weights)],
            },
        }  # fmt: skip
        torch.save(saved, folder / f"checkpoint_{epoch}.pth")
    return {}


def sample_factory(folder: Path, series: Series) -> dict[str, str]:
    for count, (step, weights) in enumerate(series.items()):
        saved = {
            "train_step": count, "env_steps": step, "best_performance": np.float64(-20.5),
            "model": weights, "optimizer": adam(weights), "curr_lr": 1e-4,
        }  # fmt: skip
        torch.save(saved, folder / f"checkpoint_{count:09d}_{step}.pth")
    torch.save(saved, folder / f"best_{count:09d}_{step}_reward_1.250.pth")
    (folder / "checkpoint_temp").write_bytes(b"PK\x03\x04")
    (folder / "milestones").mkdir()
    return {"checkpoint_temp": "a hidden or temporary file", "milestones": "a folder"}


def pfrl(folder: Path, series: Series) -> dict[str, str]:
    kinds = ("checkpoint", "checkpoint", "finish")
    for (step, weights), kind in zip(series.items(), kinds, strict=True):
        inner = folder / f"{step}_{kind}"
        inner.mkdir()
        torch.save(weights, inner / "model.pt")
        torch.save(weights, inner / "target_model.pt")
        torch.save(adam(weights), inner / "optimizer.pt")
    return {}


def torchrl(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        _torchrl_folder(folder / f"checkpoint-{step:012d}", weights, {})
    return {}


def torchrl_torch(folder: Path, series: Series) -> dict[str, str]:
    """StateDictCheckpointAdapter(payload_format="torch"), and the frames as metadata."""
    for step, weights in series.items():
        inner = folder / f"checkpoint-{step:012d}"
        _torchrl_folder(inner, weights, {"frames": step})
        component = inner / "components/0000-policy"
        for file in (component / "state").iterdir():
            file.unlink()
        (component / "state").rmdir()
        (component / "state.json").unlink()
        torch.save(weights, component / "state.pt")
    return {}


def _torchrl_folder(folder: Path, weights: Weights, metadata: dict[str, Any]) -> None:
    component = folder / "components/0000-policy"
    (component / "state").mkdir(parents=True)
    entries: dict[str, Any] = {"shape": [], "device": "None", "_type": "tensordict.TensorDict"}
    items = []
    for number, (key, value) in enumerate(weights.items()):
        name = f"tensor_{number:08d}"
        entries[name] = {"device": "cpu", "shape": list(value.shape), "dtype": "torch.float32"}
        (component / f"state/{name}.memmap").write_bytes(value.numpy().tobytes())
        tensor = {"kind": "tensor", "key": name, "device": "cpu"}
        items.append([{"kind": "value", "value": key}, tensor])
    (component / "state/meta.json").write_text(json.dumps(entries))
    (component / "state.json").write_text(json.dumps({"kind": "ordered_dict", "items": items}))
    record = {"adapter": "torchrl.state_dict", "adapter_version": 1, "files": []}
    manifest = {
        "format": "torchrl.checkpoint", "format_version": 1, "container": "directory",
        "metadata": metadata,
        "components": {"policy": {**record, "path": "components/0000-policy"}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rllib(folder: Path, series: Series) -> dict[str, str]:
    for count, weights in enumerate(series.values()):
        inner = folder / f"checkpoint_{count:06d}"
        module = inner / "learner_group/learner/rl_module/default_policy"
        module.mkdir(parents=True)
        (inner / "rllib_checkpoint.json").write_text('{"type": "Algorithm"}')
        (inner / "algorithm_state.pkl").write_bytes(b"\x80\x05N.")
        (module / "module_state.pkl").write_bytes(pickle.dumps(arrays(weights), protocol=5))
    return {}


def skrl(folder: Path, series: Series) -> dict[str, str]:
    for step, weights in series.items():
        saved = {"policy": own(weights), "optimizer": adam(weights)}
        torch.save(saved, folder / f"agent_{step}.pt")
    torch.save(saved, folder / "best_agent.pt")
    return {"best_agent.pt": "no step in the file or its name"}


def namespaces(folder: Path, series: Series) -> dict[str, str]:
    """What weights_only refuses, and is harmless."""
    for step, weights in series.items():
        saved = {
            "model": weights, "args": argparse.Namespace(path=Path("/data"), seed=np.int64(4)),
            "scores": collections.defaultdict(list, {"return": [1.0]}), "table": np.arange(3.0),
            "step": step,
        }  # fmt: skip
        torch.save(saved, folder / f"net_{step}.pt")
    return {}


LAYOUTS: dict[str, Layout] = {
    "bare": Layout(bare),
    "legacy": Layout(legacy),
    "nested": Layout(nested),
    "namespaces": Layout(namespaces),
    "safetensors": Layout(safetensors_files),
    "compiled": Layout(compiled),
    "averaged": Layout(averaged),
    "stable-baselines3": Layout(stable_baselines3),
    "rl-zoo3": Layout(rl_zoo3),
    "hub": Layout(hub),
    "cleanrl": Layout(cleanrl),
    "cleanrl-c51": Layout(cleanrl_c51),
    "cleanrl-td3": Layout(cleanrl_td3),
    "lightning": Layout(lightning),
    "lightning-versions": Layout(lightning_versions),
    "huggingface": Layout(hugging_face),
    "huggingface-bin": Layout(hugging_face_bin),
    "huggingface-shards": Layout(hugging_face_shards),
    "accelerate": Layout(accelerate, unit="saves", steps=(0, 1, 2)),
    "lerobot": Layout(le_robot),
    "timm": Layout(timm, unit="epochs", options={"weights": "ema"}),
    "torchvision-references": Layout(torchvision_references, unit="epochs"),
    "torchvision-ema": Layout(torchvision_references, unit="epochs", options={"weights": "ema"}),
    "mmengine": Layout(mmengine),
    "fairseq": Layout(fairseq),
    "tianshou": Layout(tianshou),
    "sample-factory": Layout(sample_factory),
    "pfrl": Layout(pfrl),
    "torchrl": Layout(torchrl),
    "torchrl-torch": Layout(torchrl_torch),
    "rllib": Layout(rllib, unit="saves", steps=(0, 1, 2)),
    "skrl": Layout(skrl),
}

__all__ = ["LAYOUTS", "Layout", "Net", "adam", "safetensors"]
