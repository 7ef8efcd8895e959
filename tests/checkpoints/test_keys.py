"""From saved keys to a network's: only where keys and shapes then fit exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lrpdyn.architectures.frameworks.catch import CatchNetwork
from lrpdyn.architectures.registry import load_weights, resolve
from lrpdyn.checkpoints.keys import KeyMapping, candidates
from lrpdyn.checkpoints.model import Header
from lrpdyn.errors import ArchitectureError
from tests.checkpoints.networks import Net, architecture, states, under

WEIGHTS = states((1,))[1]


def header(weights: dict[str, Tensor]) -> Header:
    return Header({key: tuple(value.shape) for key, value in weights.items()})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("module.a.weight", "a.weight"),
        ("_orig_mod.module.a.weight", "a.weight"),
        ("a._orig_mod.b.weight", "a.b.weight"),
        ("model._orig_mod.module._orig_mod.a", "model.a"),
        ("a.module_list.0.weight", "a.module_list.0.weight"),
        ("n_averaged", None),
    ],
)
def test_wrappers_come_off_anywhere(key: str, name: str | None) -> None:
    assert KeyMapping().rename(key) == name


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("", {}),
        ("module.", {}),
        ("model.", {}),
        ("policy.network.", {}),
        ("_orig_mod.model.", {}),
        ("q_network.", under("target_network.", WEIGHTS)),
        ("model.", under("model_old.", WEIGHTS)),
        ("model.", {"criterion.weight": torch.ones(3)}),
    ],
)
def test_named_architecture_under_prefixes(prefix: str, beside: dict[str, Tensor]) -> None:
    saved = {**under(prefix, WEIGHTS), **beside}
    resolved = resolve(architecture(), {}, header(saved), "here")
    network = Net()
    load_weights(network, saved, resolved, "here")
    assert all(torch.equal(value, WEIGHTS[key]) for key, value in network.state_dict().items())
    assert set(resolved.mapping.unused(saved)) == set(beside)


def test_two_networks_that_fit_ask_for_a_prefix() -> None:
    saved = {**under("left.", WEIGHTS), **under("right.", WEIGHTS)}
    with pytest.raises(ArchitectureError, match=r"several prefixes, left\., right\..*--prefix"):
        resolve(architecture(), {}, header(saved), "here")
    resolved = resolve(architecture(), {}, header(saved), "here", prefix="right.")
    assert resolved.mapping.prefix == "right."


def test_recognition_never_takes_a_part_for_the_whole() -> None:
    agent = CatchNetwork(channels=1, actions=3).state_dict()
    whole = {**under("model.", agent), **under("model_target.", agent)}
    resolved = resolve(None, {}, header(whole), "here")
    assert (resolved.architecture.name, resolved.mapping.prefix) == ("catch", "model.")
    part = {**under("agent.", agent), **under("encoder.", {"weight": torch.ones(4, 1, 3, 3)})}
    with pytest.raises(ArchitectureError, match="no registered architecture"):
        resolve(None, {}, header(part), "here")


def test_one_mapping_for_the_whole_run() -> None:
    resolved = resolve(architecture(), {}, header(under("model.", WEIGHTS)), "here")
    with pytest.raises(ArchitectureError, match=r"features\.0\.weight expected .* found nothing"):
        load_weights(Net(), under("other.", WEIGHTS), resolved, "later.pt")


def test_wrappers_that_come_later_in_a_run_are_no_other_mapping() -> None:
    resolved = resolve(architecture(), {}, header(dict(WEIGHTS)), "here")
    network = Net()
    load_weights(network, under("module.", WEIGHTS), resolved, "later.pt")
    for key, value in network.state_dict().items():
        assert torch.equal(value, WEIGHTS[key])


def test_keys_that_would_become_one_stay_apart() -> None:
    entries = {"module.a": 1, "a": 2}
    assert sorted(KeyMapping().apply(entries).values()) == [1, 2]


def test_the_plainest_is_proposed_first() -> None:
    shapes = {key: tuple(value.shape) for key, value in under("model.", WEIGHTS).items()}
    proposed = list(candidates(shapes, whole=True))
    assert [mapping.prefix for mapping in proposed] == ["", "model."]
