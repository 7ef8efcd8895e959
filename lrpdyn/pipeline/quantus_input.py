"""What the metrics of Quantus take, of one step of a run: the network, its observations and its maps.

Quantus (Hedström et al. 2023) is not needed for it. A run is data from a stranger: it gives neither code
nor trust, and its checkpoint is loaded only where it has the SHA-256 of the one that was explained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrpdyn.architectures.registry import Resolved, is_own, named
from lrpdyn.checkpoints.digests import recorded
from lrpdyn.checkpoints.formats.live import LIVE
from lrpdyn.checkpoints.keys import KeyMapping
from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.checkpoints.readers import known_format, read_header
from lrpdyn.errors import CheckpointError, RunError, UsageError
from lrpdyn.explain.explanation import explain_rows
from lrpdyn.explain.loaded import LoadedNetwork, load_again
from lrpdyn.explain.model import Model, OtherWeights, WeightsNow, make_model, with_layers, with_plan
from lrpdyn.explain.units import recorded_units
from lrpdyn.files.text import first_line
from lrpdyn.lrp.attribution import contrast_rows
from lrpdyn.lrp.composites import Composite, composite_of, is_file, parse_composite
from lrpdyn.pipeline.merge import may_be_read
from lrpdyn.remote.path import as_path
from lrpdyn.run.journal import whole_records
from lrpdyn.run.layout import damaged
from lrpdyn.run.manifest import MANIFEST
from lrpdyn.run.reader import RunFolder

#: What JSON of another shape than a run's raises.
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)
#: By how much of the largest a score may differ from that of the run: last bits depend on the batches.
_TOLERANCE = 1e-3


class ExplainedScores(nn.Module):
    """A network whose outputs are scores that are explained: of each unit, less its contrast.

    Parameters
    ----------
    network
        Gives the outputs of the head, (N, K).
    weights
        The weights of the outputs in each of R scores, (R, K).
    """

    weights: Tensor

    def __init__(self, network: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of each observation, (N, R)."""
        scores: Tensor = self.network(x) @ self.weights.T
        return scores


def quantus(
    run: RunFolder,
    step: int,
    *,
    checkpoint: str | Path | None = None,
    arch: str | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Return what the metrics of Quantus take: ``metric(**lrpdyn.exports.quantus(run, step))``.

    Parameters
    ----------
    run
        A run of pictures or of flat observations.
    step
        One of its steps.
    checkpoint
        Where the checkpoint of this step is now; where the run says, if not given.
    arch
        The run's ``--arch``, which is needed where it is code of your own.
    trust
        Unpickle a checkpoint that is more than weights, which can run code.

    Returns
    -------
    dict
        ``model`` gives the explained score as the output of index ``y_batch`` (N,): the target's less its
        contrast, for every unit; under the contrast ``runner-up`` for each pair of units that occurs.
        ``x_batch`` are the observations as the network takes them, ``a_batch`` the raw relevance,
        (N, C, H, W) or (N, F), with one channel under ``--keep pixels``. ``explain_func`` explains a
        changed network or observation by the run's rule. ``softmax`` is False, for the score would be
        another.

    Raises
    ------
    UsageError
        There is no such step, the observations are sequences, or `arch` is not given or another.
    CheckpointError
        The checkpoint is gone, or is not the one that was explained.
    RunError
        The run keeps no relevance, is damaged, or its network does not give its scores.
    """
    if step not in run.steps:
        raise UsageError(
            f"step {step}: the run has none; expected one of {', '.join(map(str, run.steps))}"
        )
    if len(run.shape) not in (2, 4):
        raise UsageError(
            f"{run.path}: Quantus takes pictures and flat observations, found sequences {run.shape}"
        )
    values = run.observations
    maps = np.array(run.relevance[step])
    try:
        record = next(r for r in reversed(list(whole_records(run.path))) if r["step"] == step)
        found = _checkpoint(run, step, checkpoint, trust)
        model = with_layers(_model(run.manifest, arch, found.header), values)
        network = load_again(model, found, trust=trust).path
        weights, index = _scores(run.manifest, model, network, values, record)
        scored = ExplainedScores(network, weights).eval()
        with torch.no_grad():
            scores = scored(torch.from_numpy(values)).numpy()[np.arange(len(index)), index]
        recorded = np.array(record["score"], dtype=np.float64)
        furthest = int(np.abs(scores - recorded).argmax())
    except StopIteration as error:
        raise RunError(f"{run.path}: its journal says nothing of step {step}") from error
    except _UNUSABLE as error:
        raise damaged(run.path, MANIFEST, first_line(error), step) from error
    if abs(scores[furthest] - recorded[furthest]) > _TOLERANCE * np.abs(recorded).max():
        raise RunError(
            f"{run.path}: step {step}: the network gives sample {furthest} the score {scores[furthest]:.6g}, "
            f"the run has {recorded[furthest]:.6g}; where a network ends in a softmax or takes more than the "
            "observation, there is no model for Quantus"
        )
    return {
        "model": scored,
        "x_batch": values,
        "y_batch": index,
        "a_batch": maps if maps.ndim == values.ndim else maps[:, None],
        "explain_func": _explaining(model, str(run.manifest.get("reference", "none"))),
        "softmax": False,
        "channel_first": True,
    }


def _model(manifest: Mapping[str, Any], arch: str | None, header: Header) -> Model:
    """Return the network of a run, without weights."""
    made = manifest["architecture"]
    if arch is None and is_own(made["name"]):
        raise UsageError(
            f"the run was made with code, {made['name']}, which is not run because a run names it; give "
            "arch= if you trust it"
        )
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in made["arguments"].items()}
    resolved = Resolved(
        architecture=named(arch or made["name"]),
        arguments=arguments,
        mapping=KeyMapping(**manifest["weights"]["keys"]),
        hints={**header.hints, **arguments},
        given=arguments,
    )
    model = make_model(resolved, manifest["head"], "cpu", 64, _composite(manifest["rule"]))
    return replace(model, units=recorded_units(manifest))


def _composite(rule: Mapping[str, Any]) -> Composite:
    name, parameters = rule["name"], rule["parameters"]
    if is_file(name):
        return composite_of(name, parameters["layers"])
    return parse_composite(str(Composite(name=name, assignments=(), parameters=parameters)))


def _checkpoint(run: RunFolder, step: int, place: str | Path | None, trust: bool) -> Checkpoint:
    entry = next(e for e in run.manifest["checkpoints"] if e["step"] == step)
    if entry["format"] == LIVE:
        raise CheckpointError(
            f"{run.path}: step {step} was explained by lrpdyn.Watch while the network was trained, and "
            "has no checkpoint file; explain checkpoints with lrpdyn compute for Quantus"
        )
    path, kind = as_path(str(place or entry["path"])), known_format(entry["format"])
    if place is None and not may_be_read(str(path)):
        raise CheckpointError(
            f"{path}: is named as a checkpoint by the run, and is no file or folder of this machine; say "
            "where it is with checkpoint="
        )
    chosen = run.manifest["selection"]["weights"]
    return Checkpoint(
        step=step, path=path, format=kind, step_source="", weights=chosen, digest=recorded(entry),
        header=read_header(path, kind, trust=trust, weights=chosen),
    )  # fmt: skip


def _scores(
    manifest: Mapping[str, Any],
    model: Model,
    network: nn.Module,
    values: NDArray[np.float32],
    record: Mapping[str, Any],
) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the weights of the outputs in each score (R, K), and which score is each sample's, (N,)."""
    target, contrast = torch.tensor(record["target"]), manifest["contrast"]
    with torch.no_grad():
        outputs = network(torch.from_numpy(values))
    if contrast != "runner-up":
        every = torch.arange(outputs.shape[1])
        alone = torch.zeros(len(every), len(every), dtype=outputs.dtype)
        return contrast_rows(alone, every, contrast, None, model.units.groups), target.numpy()
    fixed = manifest["target"].get("runner_up")
    rows = contrast_rows(
        outputs,
        target,
        contrast,
        None if fixed is None else torch.tensor(fixed),
        model.units.groups,
    )
    weights, index = torch.unique(rows, dim=0, return_inverse=True)
    return weights, index.numpy()


def _explaining(of_run: Model, reference: str) -> Any:
    """Return what Quantus calls to explain what it changed: a network, or observations."""

    def explain_func(
        model: ExplainedScores, inputs: NDArray[Any], targets: NDArray[Any], **more: Any
    ) -> NDArray[np.float32]:
        """Return the relevance of each entry of `inputs` for the score of index `targets`."""
        if reference != "none":
            raise UsageError(
                f"--reference {reference}: a run does not keep it, so that nothing can be explained again; "
                "take a metric that needs a_batch alone, or a run without it"
            )
        source = OtherWeights(name="the network that Quantus gives")
        values = np.asarray(inputs, dtype=np.float32)
        given = replace(
            of_run, path=model.network, layers=None, plan={}, weights=WeightsNow(source=source)
        )
        loaded = LoadedNetwork(model=with_plan(given, values, None), source=source)
        rows = model.weights[torch.as_tensor(np.atleast_1d(targets))]
        maps = explain_rows(loaded, torch.from_numpy(values).to(rows), lambda outputs: rows)[1]
        found: NDArray[np.float32] = maps.numpy()
        return found

    return explain_func
