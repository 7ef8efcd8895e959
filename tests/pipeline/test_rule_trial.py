"""All rules on real networks: what is measured, which one is named, and --rule auto."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lrpdyn
from lrpdyn.errors import CheckpointError, LrpdynError, RunError, UsageError
from lrpdyn.pipeline import rule_trial
from lrpdyn.pipeline.rule_trial import Trial, try_rules
from lrpdyn.pipeline.setup.options import Options
from tests.pipeline.linear import linear_folder

NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(12 * 36, 24), nn.ReLU(), nn.Linear(24, 10),
        )
"""


def _network(seed: int) -> nn.Module:
    found: dict[str, Any] = {}
    exec(NET, found)
    torch.manual_seed(seed)
    network: nn.Module = found["Net"]()
    return network


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ckpts/` of a CNN that learns scikit-learn's digits, `fresh/` of ones that do not."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    (folder / "net.py").write_text(NET)
    data = load_digits()
    x = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(data.target)
    np.save(folder / "obs.npy", x[1500:1516].numpy())
    (folder / "ckpts").mkdir()
    (folder / "fresh").mkdir()
    network = _network(0)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(101):
        if step % 20 == 0:
            torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
            torch.save(_network(step + 1).state_dict(), folder / "fresh" / f"net_{step}.pt")
        chosen = torch.randperm(1500)[:50]
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
        optimizer.step()
    return folder


def _options(folder: Path, **more: Any) -> dict[str, Any]:
    of_compute = {"baseline": "none", "interventions": 0}
    return {
        "arch": f"{folder / 'net.py'}:Net",
        "scale": "none",
        "quiet": True,
        **of_compute,
        **more,
    }


@pytest.fixture(scope="module")
def trial(digits: Path) -> Trial:
    return try_rules(digits / "ckpts", digits / "obs.npy", Options(**_options(digits)))


def test_every_rule_that_fits_is_ranked_by_its_faithfulness(trial: Trial) -> None:
    rows = {row.rule: row for row in trial.rows}
    assert {"zplus", "gamma:0.25", "epsilon:1e-06", "alphabeta:2,1", "epsilon-plus"} <= set(rows)
    found = [row.faithfulness for row in trial.rows]
    assert found == sorted(found, reverse=True)
    assert all(row.low <= row.faithfulness <= row.high for row in trial.rows)
    assert trial.steps == [20, 40, 100]
    assert trial.samples == [0, 2, 4, 6, 9, 11, 13, 15]
    # What is known of these rules: z-plus shows the same for every unit, and of random networks too.
    assert (rows["zplus"].unit or 0) > 0.9 > (rows["gamma:0.25"].unit or 1)
    assert (rows["zplus"].random or 0) > 0.9 > (rows["epsilon:1e-06"].random or 1)
    assert rows["flat"].sum_to_score == pytest.approx(1, abs=1e-4)
    assert {"zbox", "pass", "captum:gamma"} <= {one.rule for one in trial.left_out}
    assert trial.named is not None
    named = rows[trial.named]
    assert named.high >= found[0]
    assert named.low > trial.random_order[1]


def _score(network: nn.Module, x: torch.Tensor, unit: int) -> torch.Tensor:
    outputs = network(x)
    return outputs[:, unit] - outputs.mean(dim=1)


def _abpc(network: nn.Module, picture: torch.Tensor) -> tuple[float, float]:
    """Return the area between the curves of gradient x input, not divided, and the score's movement."""
    unit = int(network(picture).argmax())
    leaf = picture.clone().requires_grad_()
    (slope,) = torch.autograd.grad(_score(network, leaf, unit).sum(), leaf)
    relevance = (slope * picture)[0, 0]
    cuts = [0, 2, 3, 4, 5, 6, 7, 8]  # eight rows in seven parts
    patches = [(slice(*rows), slice(*columns))
               for rows, columns in product(list(pairwise(cuts)), repeat=2)]  # fmt: skip
    sums = np.array([relevance[patch].double().sum().item() for patch in patches])
    areas = []
    for order in (np.argsort(-sums, kind="stable"), np.argsort(sums, kind="stable")):
        states = [picture]
        for n in order:
            states.append(states[-1].clone())
            states[-1][0, 0][patches[n]] = 0.0
        curve = _score(network, torch.cat(states), unit).tolist()
        areas.append(np.trapezoid(curve) / 49)
    return areas[1] - areas[0], abs(curve[-1] - curve[0])


def test_faithfulness_is_that_of_a_formula_of_its_own(digits: Path, trial: Trial) -> None:
    # Epsilon is gradient x input where a network has ReLU alone.
    pictures = torch.from_numpy(np.load(digits / "obs.npy"))[trial.samples]
    shares = []
    for step in trial.steps:
        network = _network(0)
        network.load_state_dict(torch.load(digits / "ckpts" / f"net_{step}.pt"))
        areas, ends = zip(*(_abpc(network, one[None]) for one in pictures), strict=True)
        shares.append(np.array(areas) / np.median(ends))
    row = next(row for row in trial.rows if row.rule == "epsilon:1e-06")
    assert row.faithfulness == pytest.approx(float(np.median(shares)), abs=2e-3)


def test_of_networks_that_learned_nothing_no_rule_is_named(digits: Path) -> None:
    found = try_rules(digits / "fresh", digits / "obs.npy", Options(**_options(digits)))
    assert found.named is None
    assert "hardly more decided than an untrained one" in found.reason
    assert found.rows[0].rule in found.reason


def test_the_same_is_found_by_any_number_of_workers(digits: Path, trial: Trial) -> None:
    alone = try_rules(digits / "ckpts", digits / "obs.npy", Options(**_options(digits, workers=1)))
    same = [replace(row, milliseconds=0.0) for row in alone.rows]
    assert same == [replace(row, milliseconds=0.0) for row in trial.rows]
    assert alone.reason == trial.reason


def test_one_checkpoint_is_enough_and_a_broken_one_is_passed_over(
    digits: Path, tmp_path: Path
) -> None:
    last = digits / "ckpts" / "net_100.pt"
    alone = try_rules(
        digits / "ckpts" / "net_100*", digits / "obs.npy", Options(**_options(digits))
    )
    assert alone.steps == [100]
    weights = torch.load(last)
    torch.save(weights, tmp_path / "net_50.pt")
    torch.save({key: value * torch.nan for key, value in weights.items()}, tmp_path / "net_60.pt")
    assert try_rules(tmp_path, digits / "obs.npy", Options(**_options(digits))).steps == [50]
    (tmp_path / "net_50.pt").unlink()
    with pytest.raises(CheckpointError, match="outputs at steps 60 are not finite"):
        try_rules(tmp_path, digits / "obs.npy", Options(**_options(digits)))


@pytest.fixture(scope="module")
def cart_pole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a real PPO run on the four features of CartPole."""
    folder = tmp_path_factory.mktemp("cart")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_baselines3 import PPO

        model = PPO("MlpPolicy", "CartPole-v1", n_steps=256, n_epochs=3, seed=0, device="cpu")
        for step in (0, 256, 512):
            model.save(folder / f"ppo_{step}_steps.zip")
            model.learn(256, reset_num_timesteps=False)
    return folder


def test_flat_features_of_a_policy_with_two_actions(cart_pole: Path) -> None:
    observations = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    found = try_rules(cart_pole, [observations], Options(quiet=True))
    assert found.steps == [256, 512]
    assert {row.unit for row in found.rows} == {None}  # one map is the other's negative
    twins = {one.rule: one.reason for one in found.left_out}
    # There is no convolution that a composite would treat by itself.
    assert twins["epsilon-plus"] == "its maps are those of epsilon:1e-06 here"
    json.dumps(found.as_dict(), allow_nan=False)


def test_auto_takes_the_rule_that_is_named_and_records_the_trial(
    digits: Path, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def compute(**more: Any) -> lrpdyn.Run:
        options = _options(
            digits, **{"out": tmp_path / "run", "workers": 1, "quiet": False, **more}
        )
        return lrpdyn.compute(digits / "ckpts", digits / "obs.npy", **options)

    run = compute(rule="auto")
    assert f"Note: rule {trial.reason}" in " ".join(capsys.readouterr().err.split())
    rule = run.manifest["rule"]
    other = compute(rule=str(trial.named), out=tmp_path / "other", quiet=True)
    assert other.manifest["rule"] == {name: rule[name] for name in other.manifest["rule"]}
    for name in ("dynamics.npy", "metrics.csv", "outliers.json"):
        assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    tried = rule["tried"]
    assert tried["named"] == trial.named
    assert [row["rule"] for row in tried["rules"]] == [row.rule for row in trial.rows]

    # Resumed, the rule stays what it was, and nothing is tried again.
    monkeypatch.setattr(rule_trial, "trial", lambda *_: pytest.fail("tried again"))
    assert compute(rule="auto").manifest["rule"] == rule
    torch.save(_network(9).state_dict(), digits / "ckpts" / "net_120.pt")
    try:
        more = compute(rule="auto")
        assert more.steps[-1] == 120
        assert more.manifest["rule"] == rule
        assert compute(rule=str(trial.named)).manifest["rule"]["tried"] == tried
    finally:
        (digits / "ckpts" / "net_120.pt").unlink()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"shard": "1/2", "interventions": None},
            UsageError,
            "--rule auto: cannot be with --shard",
        ),
        ({"follow": True}, UsageError, "--rule auto: cannot be with --follow"),
        ({"rule": "auto+attnlrp"}, LrpdynError, "no rule is called auto"),
    ],
)
def test_what_auto_cannot_be_with(
    digits: Path, tmp_path: Path, options: dict[str, Any], error: type[LrpdynError], message: str
) -> None:
    given = _options(digits, **{"rule": "auto", "out": tmp_path / "run", **options})
    with pytest.raises(error, match=message.replace("+", "\\+")):
        lrpdyn.compute(digits / "ckpts", digits / "obs.npy", **given)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_auto_refuses_where_no_rule_is_named_and_where_another_was_given(
    digits: Path, tmp_path: Path
) -> None:
    def compute(checkpoints: str, **more: Any) -> lrpdyn.Run:
        given = _options(digits, out=tmp_path / "run", **more)
        return lrpdyn.compute(digits / checkpoints, digits / "obs.npy", **given)

    with pytest.raises(CheckpointError, match=r"untrained one.*to take it all the same: --rule \w"):
        compute("fresh", rule="auto")
    compute("ckpts", rule="zplus", limit=2)
    with pytest.raises(RunError, match=r"rule \(zplus there, auto here\); give the rule"):
        compute("ckpts", rule="auto", limit=2)


def _planted(folder: Path, **more: Any) -> dict[str, Any]:
    known = _options(folder, **more)
    return {**known, "arch": f"{folder / 'nets.py'}:linear"}


@pytest.mark.parametrize(("background", "helps"), [(5.0, True), (0.0, False)])
def test_a_reference_is_named_only_where_it_helps_under_two_fills(
    tmp_path: Path, background: float, helps: bool
) -> None:
    folder = linear_folder(tmp_path, background)
    found = try_rules(folder / "ckpts", folder / "obs.npy", Options(**_planted(folder)))
    assert found.fills == ["modal", "mean"]
    rows = {row.name: row for row in found.rows}
    # Epsilon is the gradient times x, and with the reference times what x has more than it.
    alone, referred = rows["epsilon:1e-06"], rows["epsilon:1e-06, reference mean"]
    assert alone.other_fill is not None
    assert referred.other_fill is not None
    assert referred.helps is helps
    assert (referred.faithfulness > alone.faithfulness) is helps
    assert referred.other_fill.median > alone.other_fill.median  # the fill is the reference
    assert found.reference == ("mean" if helps else None)
    assert ("under both fills (modal: " in found.reason) is helps
    json.dumps(found.as_dict(), allow_nan=False)
    given = try_rules(
        folder / "ckpts", folder / "obs.npy", Options(**_planted(folder, reference="mean"))
    )
    assert {row.reference for row in given.rows} == {None}
    own = next(row for row in given.rows if row.rule == "epsilon:1e-06")
    assert own.faithfulness == pytest.approx(referred.faithfulness, abs=1e-6)


def test_auto_takes_the_reference_unless_one_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = linear_folder(tmp_path, 5.0)

    def compute(out: str, **more: Any) -> lrpdyn.Run:
        options = _planted(folder, **{"out": tmp_path / out, "workers": 1, **more})
        return lrpdyn.compute(folder / "ckpts", folder / "obs.npy", **options)

    run = compute("run", rule="auto", quiet=False)
    assert "with the reference mean: more faithful than" in capsys.readouterr().err
    assert (run.manifest["reference"], run.manifest["rule"]["tried"]["reference"]) == (
        "mean",
        "mean",
    )
    named = run.manifest["rule"]["tried"]["named"]
    other = compute("other", rule=named, reference="mean")
    assert (run.path / "dynamics.npy").read_bytes() == (other.path / "dynamics.npy").read_bytes()
    given = compute("given", rule="auto", reference="mean").manifest
    assert (given["reference"], given["rule"]["tried"]["reference"]) == ("mean", None)
    with pytest.raises(CheckpointError, match="no rule is clearly more faithful than random"):
        compute("none", rule="auto", reference="none")
    monkeypatch.setattr(rule_trial, "trial", lambda *_: pytest.fail("tried again"))
    assert compute("run", rule="auto").manifest["reference"] == "mean"
    with pytest.raises(RunError, match="another question: reference "):
        compute("run", rule="auto", reference="none")
