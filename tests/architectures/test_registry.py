"""Which network the weights belong to, what is said where none does, and how they are loaded."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrpdyn.architectures import registry
from lrpdyn.architectures.registry import (
    load_weights,
    named,
    parse_arguments,
    path_of,
    register_architecture,
    resolve,
)
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError, UsageError
from tests.checkpoints.networks import Net


def image_env() -> Any:
    from stable_baselines3.common.envs import FakeImageEnv

    return FakeImageEnv(screen_height=84, screen_width=84, n_channels=4, channel_first=True)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def test_misfit_lists_keys_with_both_shapes() -> None:
    sizes = {"channels": 4, "convolved": 3136, "features": 512, "actions": 6}
    found = shapes(named("cleanrl-ppo-atari").factory(**sizes))
    found["critic.weight"] = (2, 512)
    with pytest.raises(
        ArchitectureError, match=r"critic.weight expected \(1, 512\), found \(2, 512\)"
    ):
        resolve(None, {}, Header(found), "here")


def test_named_architecture_of_other_weights() -> None:
    found = Header(shapes(nn.Sequential(nn.Linear(4, 2))))
    with pytest.raises(ArchitectureError, match=r"not the weights of .*0.weight \(2, 4\)"):
        resolve("cleanrl-ppo-atari", {}, found, "here")


def test_unknown_weights_show_what_was_seen() -> None:
    with pytest.raises(ArchitectureError, match=r"strange \(3, 4, 5\).*--arch FILE.py:CALLABLE"):
        resolve(None, {}, Header({"strange": (3, 4, 5)}), "here")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="already"):
        register_architecture("mlp", nn.Linear)


def test_only_what_the_path_goes_through_is_copied() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium and Stable-Baselines3 warn about each other
        from stable_baselines3 import PPO

        model = PPO("CnnPolicy", image_env(), n_steps=16, batch_size=16, device="cpu")
    weights = model.policy.state_dict()
    header = Header({key: tuple(value.shape) for key, value in weights.items()})
    resolved = resolve(None, {}, header, "here")
    network = resolved.build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_weights(network, weights, resolved, "here", path_of(network, "policy")[1])
    for key, value in network.state_dict().items():
        loaded = key.startswith(("pi_features_extractor", "action_net"))
        assert torch.equal(value, weights[key] if loaded else before[key]), key


def test_several_architectures_that_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = registry.Architecture("net-a", Net, lambda shapes, hints: {})
    also = registry.Architecture("net-b", Net, lambda shapes, hints: {})
    monkeypatch.setattr(registry, "ARCHITECTURES", {"net-a": ours, "net-b": also})
    resolved = resolve(None, {}, Header(shapes(Net())), "here")
    assert (resolved.architecture.name, resolved.also) == ("net-a", ("net-b",))


def test_shapes_that_no_weight_can_have_are_not_recognised(tmp_path: Path) -> None:
    for key in ("policy.weight", "features.0.weight", "network.7.weight", "action_net.weight"):
        strange = Header({key: (), "value.weight": (), "value_net.weight": (), "actor.weight": ()})
        with pytest.raises(ArchitectureError):
            resolve(None, {}, strange, "here")


def test_arguments_are_literals_or_text() -> None:
    pairs = ("width=8", "activation=tanh", "sizes=[1, 2]", "name=a=b")
    assert parse_arguments(pairs) == {
        "width": 8, "activation": "tanh", "sizes": [1, 2], "name": "a=b",
    }  # fmt: skip
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        parse_arguments(("8",))


def test_a_head_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    network = named("catch").factory()
    assert path_of(network, None)[0] == "policy"
    with pytest.raises(UsageError, match="heads are policy, value"):
        path_of(network, "q")


SMALL_NET = """
from torch import nn

from lrpdyn.architectures.model import OUTSIDE, Architecture


class SmallNet(nn.Module):
    heads = ("policy", "value")

    def __init__(self, channels, features, actions):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten())
        self.policy, self.value = nn.Linear(features, actions), nn.Linear(features, 1)

    def path(self, head):
        return nn.Sequential(self.body, getattr(self, head))


def recognise(shapes, hints):
    first, last = shapes.get("body.0.weight", ()), shapes.get("policy.weight", ())
    fits = len(first) == 4 and first[0] == 8 and len(last) == 2
    return {"channels": first[1], "features": last[1], "actions": last[0]} if fits else None


ARCHITECTURE = Architecture(
    name="small-net", factory=SmallNet, recognise=recognise, preprocessing=OUTSIDE
)
"""


def test_an_architecture_is_added_by_a_module_and_its_entry_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small_net_of_a_test.py").write_text(SMALL_NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    added = importlib.import_module("small_net_of_a_test").ARCHITECTURE
    monkeypatch.setitem(registry.ARCHITECTURES, added.name, added)
    theirs = added.factory(channels=3, features=128, actions=5)
    resolved = resolve(None, {}, Header(shapes(theirs)), "here")
    assert resolved.architecture.name == "small-net"
    assert resolved.arguments == {"channels": 3, "features": 128, "actions": 5}
    network = resolved.build()
    load_weights(network, theirs.state_dict(), resolved, "here")
    x = torch.rand(2, 3, 6, 6)
    for head in ("policy", "value"):
        torch.testing.assert_close(path_of(network, head)[1](x), theirs.path(head)(x))


#: Whose file or weights tell all that they compute.
_TOLD = {"catch": "lrpdyn demo writes it, and nothing else"}


@pytest.mark.parametrize("name", sorted(registry.ARCHITECTURES))
def test_what_weights_do_not_tell_is_said(name: str) -> None:
    arguments = {"obs_subtract_mean": 0.0, "obs_scale": 255.0}
    sentences = registry.ARCHITECTURES[name].assumes(arguments, {})
    assert (sentences == ()) == (name in _TOLD)
    for sentence in sentences:
        assert "\n" not in sentence
        assert not sentence.endswith(".")


def test_the_user_s_own_network_assumes_nothing(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Linear(4, 2)\n"
    )
    header = Header(shapes(nn.Linear(4, 2)), hints={"policy_class": "my.Own", "activation": "my"})
    assert resolve(f"{tmp_path / 'net.py'}:net", {}, header, "here").assumed == ()


def test_a_network_that_is_refused_is_not_taken_for_a_part_of_it() -> None:
    found = {f"{n}.quantile_net.{i}.weight": s for n in ("quantile_net", "quantile_net_target")
             for i, s in ((0, (8, 4)), (2, (75, 8)))}  # fmt: skip
    biases = {key.replace("weight", "bias"): shape[:1] for key, shape in found.items()}
    with pytest.raises(ArchitectureError, match="n_quantiles=N"):
        resolve(None, {"activation": "relu"}, Header({**found, **biases}), "here")


@pytest.mark.parametrize(
    ("first", "further", "differs"),
    [
        ({"metadata": True}, {"metadata": True, "activation": "ReLU"}, "activation is ReLU"),
        ({"activation": "ReLU"}, {"activation": "ELU"}, "first checkpoint is ReLU"),
        ({"activation": "ReLU"}, {"activation": "ReLU", "normalize_images": False}, None),
        ({"activation": "ReLU"}, {}, None),
    ],
)
def test_all_checkpoints_are_of_one_network(
    first: dict[str, Any], further: dict[str, Any], differs: str | None
) -> None:
    found = shapes(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)))
    given = {} if "activation" in first else {"activation": "tanh"}
    resolved = resolve(None, given, Header(found, hints=first), "here")
    if given:
        registry.check_function(resolved, Header(found, hints=further), "there")
        resolved = replace(resolved, given={}, hints=first)
    if differs is None:
        registry.check_function(resolved, Header(found, hints=further), "there")
        return
    with pytest.raises(ArchitectureError, match=differs):
        registry.check_function(resolved, Header(found, hints=further), "there")


@pytest.mark.parametrize(
    ("space", "further", "differs"),
    [
        (
            {"kind": "Discrete", "n": 4},
            {"kind": "MultiDiscrete", "nvec": (2, 2)},
            "is MultiDiscrete, ",
        ),
        (
            {"kind": "Box", "low": 0.0},
            {"kind": "Box", "low": -1.0},
            "Box with low -1.0, .* low 0.0: ",
        ),
        ({"kind": "Box", "low": None}, {"kind": "Box", "low": -1.0}, None),
        ({"kind": "Discrete", "n": 4}, None, None),
    ],
)
@pytest.mark.parametrize("name", ["action_space", "observation_space"])
def test_all_checkpoints_have_the_same_spaces(
    name: str, space: dict[str, Any], further: dict[str, Any] | None, differs: str | None
) -> None:
    found = shapes(nn.Sequential(nn.Linear(4, 3)))
    resolved = resolve(None, {}, Header(found, hints={name: space}), "here")
    other = Header(found, hints={name: further} if further else {})
    if differs is None:
        registry.check_spaces(resolved, other, "there")
        return
    with pytest.raises(ArchitectureError, match=f"there: its {name.replace('_', ' ')} .*{differs}"):
        registry.check_spaces(resolved, other, "there")


def test_images_are_scaled_or_not() -> None:
    sizes = {"channels": 4, "convolved": 3136, "features": 512, "actions": 6}
    found = Header(shapes(named("pfrl-dqn-atari").factory(**sizes)))
    resolved = resolve(None, {"normalize_images": False}, found, "here")
    assert resolved.architecture.preprocessing.divisor == 1
    assert resolved.build()
    with pytest.raises(UsageError, match="normalize_images=no: expected True or False"):
        resolve(None, {"normalize_images": "no"}, found, "here")
