"""layers.csv against plain torch: forward hooks, loaded state dicts, and formulas written out."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.exports.csv_files import write_csv
from lrpdyn.files.atomic import sha256_of
from lrpdyn.pipeline.results.layer_rows import in_order
from lrpdyn.run.journal import append_journal, read_journal
from lrpdyn.run.layout import RESULTS
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.verify import verify
from tests.pipeline.test_compute import contents
from tests.small_runs import UNCHECKED

STEPS = (0, 10, 20, 30, 40, 50)
NETWORK = """
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(72, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, x):
        return self.head(self.body(x))
"""


def small() -> Any:
    names: dict[str, Any] = {}
    exec(NETWORK, names)
    return names["Small"]()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a trained CNN, whose BatchNorm is reset at step 30; half of a layer is dead there."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "nets.py").write_text(NETWORK)
    (folder / "ckpts").mkdir()
    torch.manual_seed(0)
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in STEPS:
        if step == 30:
            network.body[1].reset_running_stats()
        if step == 50:  # its statistics alone, as who forgets that these are no parameters does
            network.body[1].running_mean.zero_()
            network.body[1].running_var.fill_(1)
        if step == 20:  # a counter alone: training that began anew
            network.body[1].num_batches_tracked.zero_()
        if step == 30:
            with torch.no_grad():
                network.body[3].bias[:4] = -100
        torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
        for _ in range(5):
            x = torch.rand(32, 1, 9, 9)
            loss = nn.functional.cross_entropy(network(x), (3 * x.mean(dim=(1, 2, 3))).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    observations = np.random.default_rng(0).random((90, 1, 9, 9)).astype(np.float32)
    np.save(folder / "obs.npy", observations)
    return folder


def computed(trained: Path, out: Path, **options: Any) -> lrpdyn.Run:
    options = {"workers": 1, **options}
    return lrpdyn.compute(
        trained / "ckpts", trained / "obs.npy", out=out, arch=f"{trained / 'nets.py'}:Small",
        quiet=True, batch_size=32, baseline="none", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> lrpdyn.Run:
    return computed(trained, tmp_path_factory.mktemp("run") / "run")


def features_of(
    network: nn.Module, layers: dict[str, str], x: torch.Tensor
) -> dict[str, NDArray[np.float64]]:
    """Return what the activation after each layer gives, by plain forward hooks."""
    found: dict[str, NDArray[np.float64]] = {}
    handles = []
    for layer, activation in layers.items():

        def hook(module: Any, inputs: Any, output: torch.Tensor, layer: str = layer) -> None:
            found[layer] = output.detach().double().numpy()

        handles.append(network.get_submodule(activation).register_forward_hook(hook))
    with torch.no_grad():
        network.eval()(x)
    for handle in handles:
        handle.remove()
    return found


def dormant_share(features: NDArray[np.float64]) -> float:
    """Return the share of tau-dormant units, tau = .025 (Sokar et al. 2023), channel by channel."""
    size = [np.abs(features[:, unit]).mean() for unit in range(features.shape[1])]
    return float(np.mean([one / np.mean(size) <= 0.025 for one in size]))


def rank_of(features: NDArray[np.float64]) -> float:
    values = np.linalg.svd(features.reshape(len(features), -1), compute_uv=False)
    share = values / values.sum()
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


def hsic(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the unbiased HSIC as sums over pairs, triples and quadruples of different samples."""
    n = len(one)
    both = sum(one[i, j] * other[i, j] for i, j in itertools.permutations(range(n), 2))
    three = sum(one[i, j] * other[i, k] for i, j, k in itertools.permutations(range(n), 3))
    all_one, all_other = (m.sum() - np.trace(m) for m in (one, other))
    # Pairs that share one sample, or both, are no quadruples.
    four = all_one * all_other - 4 * three - 2 * both
    return float(
        both / (n * (n - 1))
        - 2 * three / (n * (n - 1) * (n - 2))
        + four / (n * (n - 1) * (n - 2) * (n - 3))
    )


def cka_of(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    a, b = (f.reshape(len(f), -1) @ f.reshape(len(f), -1).T for f in (one, other))
    return hsic(a, b) / float(np.sqrt(hsic(a, a) * hsic(b, b)))


def check_units(
    run: lrpdyn.Run, features: dict[int, dict[str, NDArray[np.float64]]], few: list[int]
) -> None:
    """Compare the rows of a run with the features of plain torch at each step."""
    steps = list(features)
    for place, step in enumerate(steps):
        of_step = run.layers[run.layers["step"] == step]
        for layer, of_layer in features[step].items():
            (row,) = of_step[of_step["layer"] == layer]
            assert row["dormant_share"] == pytest.approx(dormant_share(of_layer), abs=1e-9)
            checked = of_layer if len(of_layer) <= 64 else of_layer[CHECKED]
            assert row["effective_rank"] == pytest.approx(rank_of(checked), rel=1e-4)
            last = cka_of(of_layer[few], features[steps[-1]][layer][few])
            assert row["cka_last"] == pytest.approx(last, abs=1e-5)
            if place:
                before = features[steps[place - 1]][layer][few]
                assert row["cka_previous"] == pytest.approx(cka_of(of_layer[few], before), abs=1e-5)
            else:
                assert np.isnan(row["cka_previous"])


#: The 64 of 90 samples that are checked, and 16 of them.
CHECKED = [round(place * 89 / 63) for place in range(64)]
FEW = [CHECKED[round(place * 63 / 15)] for place in range(16)]


def test_units_are_those_of_a_plain_forward_pass(run: lrpdyn.Run, trained: Path) -> None:
    x, features, network = torch.from_numpy(run.observations.copy()), {}, small()
    # The BatchNorm is part of the layer before it, whose name the units have.
    layers = {"body.0": "body.2", "body.3": "body.4", "head.0": "head.1"}
    for step in STEPS:
        network.load_state_dict(torch.load(trained / "ckpts" / f"net_{step}.pt"))
        features[step] = features_of(network, layers, x)
    check_units(run, features, FEW)
    (row,) = run.layers[(run.layers["step"] == 30) & (run.layers["layer"] == "body.3")]
    assert row["dormant_share"] >= row["dead_share"] >= 0.5


def test_units_of_stable_baselines3_are_those_of_its_own_policy(
    ppo_folder: Path, tmp_path: Path
) -> None:
    from stable_baselines3 import PPO

    images = np.random.default_rng(3).integers(0, 256, (9, 4, 84, 84), dtype=np.uint8)
    run = lrpdyn.compute(ppo_folder, images, out=tmp_path / "run", **UNCHECKED, workers=1)
    name = "pi_features_extractor"
    layers = {f"{name}.cnn.{n}": f"{name}.cnn.{n + 1}" for n in (0, 2, 4)}
    layers[f"{name}.linear.0"] = f"{name}.linear.1"
    features = {}
    for step in run.steps:
        policy = PPO.load(ppo_folder / f"rl_model_{step}_steps.zip", device="cpu").policy
        scaled = torch.from_numpy(images).float() / 255
        found = features_of(policy.pi_features_extractor,
                            {k: v.removeprefix(f"{name}.") for k, v in layers.items()}, scaled)  # fmt: skip
        features[step] = found
    check_units(run, features, list(range(9)))


def test_weights_are_those_of_the_state_dicts(run: lrpdyn.Run, trained: Path) -> None:
    states = {step: torch.load(trained / "ckpts" / f"net_{step}.pt") for step in STEPS}
    tensors = {
        "body.0": ["body.0.weight", "body.0.bias"], "body.1": ["body.1.weight", "body.1.bias"],
        "body.1 statistics": ["body.1.running_mean", "body.1.running_var"],
        "body.3": ["body.3.weight", "body.3.bias"], "head.0": ["head.0.weight", "head.0.bias"],
        "head.2": ["head.2.weight", "head.2.bias"],
    }  # fmt: skip

    def vector(step: int, layer: str) -> NDArray[np.float64]:
        return np.concatenate([states[step][name].double().flatten() for name in tensors[layer]])

    journal = {record["step"]: record["evidence"]["weights"] for record in read_journal(run.path)}
    for place, step in enumerate(STEPS):
        of_step = run.layers[run.layers["step"] == step]
        assert of_step["layer"].tolist() == list(tensors)  # the network's order
        for row in of_step:
            now = vector(step, row["layer"])
            assert row["weight_norm"] == pytest.approx(np.linalg.norm(now), rel=1e-6)
            if place > 0:
                before = vector(STEPS[place - 1], row["layer"])
                change = np.linalg.norm(now - before) / np.linalg.norm(before)
                assert row["weight_change"] == pytest.approx(change, rel=1e-5)
            else:
                assert np.isnan(row["weight_change"])
            if place > 1:
                back = np.linalg.norm(now - vector(STEPS[place - 2], row["layer"]))
                assert journal[step]["back"][row["layer"]] == pytest.approx(back, rel=1e-5)
        assert journal[step]["back_step"] == (STEPS[place - 2] if place > 1 else None)
    assert journal[0]["back"] is journal[10]["back"] is None
    # A BatchNorm that is fresh from the start was not reset.
    assert {step: of["reset"] for step, of in journal.items() if of["reset"]} == {
        step: ["body.1"] for step in (20, 30, 50)
    }


def evidence_of(run: lrpdyn.Run) -> dict[int, dict[str, Any]]:
    return {record["step"]: record["evidence"] for record in read_journal(run.path)}


def test_the_table_is_the_same_for_any_workers_and_shards(
    run: lrpdyn.Run, trained: Path, tmp_path: Path
) -> None:
    shared = computed(trained, tmp_path / "run", workers=3)
    assert contents(shared.path) == contents(run.path)
    # What layers.csv does not show is the same too, such as the distance to two steps before.
    assert evidence_of(shared) == evidence_of(run)
    parts = [computed(trained, tmp_path / f"{k}", shard=f"{k}/3").path for k in (1, 2, 3)]
    merged = lrpdyn.merge(
        parts, out=tmp_path / "merged", arch=f"{trained / 'nets.py'}:Small", quiet=True
    )
    assert contents(merged.path) == contents(run.path)
    assert evidence_of(merged) == evidence_of(run)


def of_version_0_1(run: Path) -> Path:
    """Make a run or a shard as version 0.1 left it: no layers.csv, and less evidence, SHA-256 alone."""
    manifest = json.loads((run / "manifest.json").read_text())
    if (run / "layers.csv").exists():
        (run / "layers.csv").unlink()
        del manifest["files"]["layers.csv"], manifest["stamps"]["layers.csv"]
    del manifest["digest"]
    lines = list(read_journal(run))
    for record in [*lines, *manifest["checkpoints"]]:
        del record["digest"]
        record["sha256"] = sha256_of(Path(record["path"]))
    save_manifest(run, manifest)
    (run / "journal.jsonl").unlink()
    known = {record["step"]: record["sha256"] for record in lines}
    for record in lines:
        evidence = record["evidence"]
        del evidence["units"]
        before = evidence["weights"]["from_step"]
        evidence["weights"] = {
            "from_step": before, "from_sha256": known.get(before), "change": evidence["weights"]["change"]
        }  # fmt: skip
        evidence["key"] = [evidence["key"][0], evidence["key"][-1]]
    append_journal(run, *lines)
    return run


def test_a_run_of_version_0_1_is_read_and_gets_the_table_when_it_is_resumed(
    run: lrpdyn.Run, trained: Path, tmp_path: Path
) -> None:
    path = of_version_0_1(shutil.copytree(run.path, tmp_path / "run"))
    earlier = lrpdyn.open_run(path)
    assert len(earlier.metrics) == len(run.metrics)
    with pytest.raises(RunError, match=r"has no layers\.csv, which version 0\.1 did not write"):
        _ = earlier.layers
    assert verify(path).is_good
    write_csv(earlier, tmp_path / "csv", iter)
    assert (tmp_path / "csv" / "metrics.csv").exists()
    assert not (tmp_path / "csv" / "layers.csv").exists()
    assert contents(computed(trained, path).path) == contents(run.path)


def test_what_version_0_1_did_not_gather_stays_unknown_where_checkpoints_are_gone(
    run: lrpdyn.Run, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "trained")
    parts = [
        of_version_0_1(computed(tmp_path / "trained", tmp_path / f"{k}", shard=f"{k}/2").path)
        for k in (1, 2)
    ]
    shutil.rmtree(tmp_path / "trained" / "ckpts")
    merged = lrpdyn.merge(
        parts, out=tmp_path / "merged", arch=f"{tmp_path / 'trained' / 'nets.py'}:Small", quiet=True
    )
    for name in ("weight_change", "dead_share"):
        np.testing.assert_array_equal(merged.layers[name], run.layers[name])
    for name in ("weight_norm", "dormant_share", "effective_rank", "cka_previous", "cka_last"):
        assert np.isnan(merged.layers[name]).all()


def test_the_table_is_a_result_like_the_others(run: lrpdyn.Run, tmp_path: Path) -> None:
    assert "layers.csv" in RESULTS
    assert len(run.layers.to_pandas()) == len(run.layers) == len(STEPS) * 6
    write_csv(run, tmp_path / "csv", iter)
    assert (tmp_path / "csv" / "layers.csv").read_bytes() == (run.path / "layers.csv").read_bytes()
    path = shutil.copytree(run.path, tmp_path / "run")
    with (path / "layers.csv").open("a") as file:
        file.write("60,body.0,,,,,,,\n")
    (damage,) = verify(path).damaged
    assert damage.file == "layers.csv"
    with pytest.raises(RunError, match=r"layers\.csv: cannot be read: its bytes are not those"):
        _ = lrpdyn.open_run(path).layers


def test_layers_of_activations_alone_follow_the_one_before() -> None:
    assert in_order(("a", "b"), ()) == ["a", "b"]
    assert in_order((), ("first", "b")) == ["first", "b"]
    assert in_order(("a", "b"), ("x", "b", "y", "z")) == ["x", "a", "b", "y", "z"]
