"""RLlib's modules, saved by the real RLlib: recognised by their folder, and the same outputs."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import nn

import lrpdyn
from lrpdyn.architectures.registry import heads_of, load_weights, path_of, resolve
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ArchitectureError

VECTOR, IMAGE = Box(-1, 1, (5,), np.float32), Box(0, 255, (42, 42, 3), np.uint8)
OBLONG = Box(0, 1, (30, 24, 2), np.float32)
THREE, MEANS, TWO = Discrete(3), Box(-1, 1, (2,), np.float32), MultiDiscrete([3, 2])
SMALL = {"fcnet_hiddens": [8, 6]}

PPO: list[tuple[Any, Any, dict[str, Any]]] = [
    (VECTOR, THREE, SMALL),
    (VECTOR, MEANS, {**SMALL, "vf_share_layers": False, "fcnet_activation": "swish"}),
    (VECTOR, MEANS, {**SMALL, "free_log_std": True, "head_fcnet_hiddens": [4]}),
    (VECTOR, TWO, {**SMALL, "fcnet_activation": "linear", "fcnet_use_layernorm": True}),
    (IMAGE, THREE, {"vf_share_layers": False}),
    (
        OBLONG, THREE,
        {"conv_filters": [[4, [5, 4], 2, "valid"], [6, 3, [2, 1]]], "conv_activation": "tanh"},
    ),
    (VECTOR, THREE, {**SMALL, "use_lstm": True, "lstm_cell_size": 7}),
    (VECTOR, MEANS, {**SMALL, "use_lstm": True, "lstm_cell_size": 7, "vf_share_layers": False}),
]  # fmt: skip
Q: list[tuple[Any, dict[str, Any]]] = [
    (VECTOR, {}),
    (VECTOR, {"dueling": False, "head_fcnet_hiddens": [4], "head_fcnet_activation": "elu"}),
    (VECTOR, {"num_atoms": 5}),
    (VECTOR, {"num_atoms": 5, "dueling": False}),
    (OBLONG, {"conv_filters": [[4, 4, 2]]}),
]


@pytest.fixture
def rllib() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ray.rllib")
        yield


def saved(folder: Path, kind: str, observed: Any, actions: Any, config: dict[str, Any]) -> Any:
    """Return a module of RLlib's with weights far from the first, that was saved in the folder."""
    from ray.rllib.algorithms.dqn.dqn_catalog import DQNCatalog
    from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
    from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
    from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec

    of_kind = {
        "ppo": (DefaultPPOTorchRLModule, PPOCatalog),
        "dqn": (DefaultDQNTorchRLModule, DQNCatalog),
    }
    module_class, catalog = of_kind[kind]
    torch.manual_seed(0)
    spec = RLModuleSpec(
        module_class=module_class, observation_space=observed, action_space=actions,
        catalog_class=catalog, model_config={**vars(DefaultModelConfig()), **config},
    )  # fmt: skip
    module = spec.build()
    with torch.no_grad():
        for weights in module.parameters():
            weights += 0.1 * torch.randn_like(weights)
    module.save_to_path(folder)
    return module


def ours(folder: Path, **given: Any) -> tuple[Any, nn.Module]:
    header = read_header(folder, "rllib")
    resolved = resolve(None, given, header, str(folder))
    network = resolved.build()
    load_weights(network, read_weights(folder, "rllib")[0], resolved, str(folder))
    return resolved, network


def seen(space: Any, count: int) -> torch.Tensor:
    space.seed(0)
    return torch.as_tensor(np.stack([space.sample() for _ in range(count)])).float()


def arranged(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


@pytest.mark.frameworks
@pytest.mark.usefixtures("rllib")
@pytest.mark.parametrize(("observed", "actions", "config"), PPO)
def test_outputs_of_ppo_are_those_of_rllib(
    tmp_path: Path, observed: Any, actions: Any, config: dict[str, Any]
) -> None:
    module = saved(tmp_path / "module_3", "ppo", observed, actions, config)
    resolved, network = ours(tmp_path / "module_3")
    assert resolved.architecture.name == "rllib-ppo"
    assert len(resolved.assumed) == 1
    x = seen(observed, 4)
    recurrent, count = config.get("use_lstm", False), 3
    batch: dict[str, Any] = {"obs": x}
    states = {n: {s: torch.randn(4, 1, 7) for s in "hc"} for n in ("actor", "critic")}
    if recurrent:
        x = seen(observed, 4 * count).view(4, count, -1)
        own = not config.get("vf_share_layers", True)
        batch = {"obs": x, "state_in": states if own else states["actor"]}
    with torch.no_grad():
        encoded = module.encoder(batch)["encoder_out"]
        wanted = {"policy": module.pi(encoded["actor"]), "value": module.vf(encoded["critic"])}
        if actions is MEANS:
            wanted["policy"] = wanted["policy"][..., :2]
        assert heads_of(network) == ("policy", "value")
        for head, expected in wanted.items():
            path = path_of(network, head)[1].eval()
            for name in getattr(path, "held", {}):
                side = "critic" if name.startswith("critic") else "actor"
                path.get_buffer(f"held_{name}").data = states[side][name[-1]]
            found = path(x if recurrent else arranged(x))
            assert found.abs().max() > 1e-2
            torch.testing.assert_close(found, expected[:, -1] if recurrent else expected)


@pytest.mark.frameworks
@pytest.mark.usefixtures("rllib")
@pytest.mark.parametrize(("observed", "config"), Q)
def test_q_values_are_those_of_rllib(tmp_path: Path, observed: Any, config: dict[str, Any]) -> None:
    usual = {
        "double_q": True, "dueling": True, "num_atoms": 1, "v_min": -3.0, "v_max": 5.0,
        "epsilon": [(0, 1.0), (10, 0.1)], **SMALL,
    }  # fmt: skip
    module = saved(tmp_path / "module_3", "dqn", observed, THREE, {**usual, **config})
    resolved, network = ours(tmp_path / "module_3")
    assert resolved.architecture.name == "rllib-dqn"
    x = seen(observed, 4)
    with torch.no_grad():
        wanted = module.compute_q_values({"obs": x})["qf_preds"]
        torch.testing.assert_close(path_of(network, "q")[1](arranged(x)), wanted)


@pytest.mark.frameworks
@pytest.mark.usefixtures("rllib")
def test_what_the_folder_does_not_say_is_requested_or_assumed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint_000003" / "rl_module" / "default_policy"
    saved(folder, "ppo", VECTOR, THREE, {**SMALL, "fcnet_activation": "relu"})
    (folder / "class_and_ctor_args.pkl").unlink()
    with pytest.raises(ArchitectureError, match="activation=relu"):
        ours(tmp_path / "checkpoint_000003")
    resolved, _ = ours(tmp_path / "checkpoint_000003", activation="relu")
    assert "logits of one discrete action" in resolved.assumed[0]
    saved(folder, "ppo", IMAGE, THREE, {})
    (folder / "class_and_ctor_args.pkl").unlink()
    with pytest.raises(ArchitectureError, match="strides=4,2,1"):
        ours(tmp_path / "checkpoint_000003")


@pytest.mark.frameworks
@pytest.mark.usefixtures("rllib")
def test_a_module_of_the_user_s_own_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "module_3"
    saved(folder, "ppo", VECTOR, THREE, SMALL)
    constructor = folder / "class_and_ctor_args.pkl"
    stock = b"ray.rllib.algorithms.ppo.ppo_catalog"
    own = b"own.networks.of.somebody.ppo_catalog"
    assert len(stock) == len(own)
    constructor.write_bytes(constructor.read_bytes().replace(stock, own))
    with pytest.raises(ArchitectureError, match=r"names own\.networks\.of\.somebody"):
        ours(folder)


@pytest.mark.frameworks
@pytest.mark.usefixtures("rllib")
def test_a_run_of_modules_is_explained(tmp_path: Path) -> None:
    for step in (1, 2):
        config = {**SMALL, "use_lstm": True, "lstm_cell_size": 7}
        module = saved(tmp_path / f"run/step_{step}", "ppo", VECTOR, MEANS, config)
    x = seen(VECTOR, 6).view(2, 3, 5)
    with torch.no_grad():
        states = {s: torch.zeros(2, 1, 7) for s in "hc"}
        encoded = module.encoder({"obs": x, "state_in": states})["encoder_out"]["actor"]
        wanted = module.pi(encoded)[:, -1, :2]
    expected = tmp_path / "outputs.npy"
    np.save(expected, wanted.numpy())
    run = lrpdyn.compute(
        tmp_path / "run", x.numpy(), out=tmp_path / "out", quiet=True, expect=expected,
        expect_step=2,
    )  # fmt: skip
    assert run.manifest["checks"]["expected"]["largest_difference"] < 1e-5
    assert run.manifest["units"]["kind"] == "gaussian"


def test_weights_of_the_published_layout_without_rllib(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).normal
    sizes = {"encoder.encoder": (5, 4), "pi": (4, 3), "vf": (4, 1)}
    weights = {
        f"{name}.net.mlp.0.{part}": draw(size=shape).astype(np.float32)
        for name, (inputs, outputs) in sizes.items()
        for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,)))
    }
    weights["pi.log_std_clip_param_const"] = np.array([20.0], np.float32)
    folder = tmp_path / "checkpoint_000003/learner_group/learner/rl_module/default_policy"
    folder.mkdir(parents=True)
    (folder / "module_state.pkl").write_bytes(pickle.dumps(weights, protocol=5))
    constructor = {
        "class": None,
        "ctor_args_and_kwargs": ((), {"model_config": {"fcnet_activation": "elu"}}),
    }
    (folder / "class_and_ctor_args.pkl").write_bytes(pickle.dumps(constructor, protocol=5))
    resolved, network = ours(tmp_path / "checkpoint_000003")
    assert resolved.architecture.name == "rllib-ppo"
    x = draw(size=(6, 5)).astype(np.float32)
    hidden = x @ weights["encoder.encoder.net.mlp.0.weight"].T
    hidden += weights["encoder.encoder.net.mlp.0.bias"]
    hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
    for head, name in (("policy", "pi"), ("value", "vf")):
        wanted = hidden @ weights[f"{name}.net.mlp.0.weight"].T + weights[f"{name}.net.mlp.0.bias"]
        found = path_of(network, head)[1](torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
