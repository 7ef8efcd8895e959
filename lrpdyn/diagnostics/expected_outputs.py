"""Whether the network gives the outputs that were recorded for it, and what makes them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrpdyn.architectures.mlp import ACTIVATIONS
from lrpdyn.architectures.registry import heads_of, path_of
from lrpdyn.checkpoints.digests import named
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.checkpoints.readers import find_reader, has_digest, read_header, read_weights
from lrpdyn.errors import LrpdynError, ObservationError, UsageError
from lrpdyn.explain.loaded import LoadedNetwork, load
from lrpdyn.explain.model import Model, WeightsNow, batches, with_units
from lrpdyn.files.text import first_line
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.normalisation import from_file
from lrpdyn.observations.recording import RecordedOutputs, is_recording, read_outputs
from lrpdyn.observations.training_statistics import statistics_near
from lrpdyn.remote.path import as_path

#: Outputs may differ from the recorded ones by this share of the largest of these.
LARGEST_DIFFERENCE = 1e-3
#: So many other steps, and files of statistics, are tried where outputs differ.
_MOST_TRIED = 24
_CAUSES = (
    "usual causes: another activation or network (--arch-arg, --arch), observations that were "
    "normalised or scaled otherwise (--statistics, --scale), frames in another order (--stack-order), "
    "samples in another order, another step or run, a policy that was trained on after this file was saved"
)


class MissingStepError(ObservationError):
    """There is no checkpoint of the step that was recorded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """Recorded outputs (n, K) of some of the explained samples, and where these are among them."""

    recorded: RecordedOutputs
    samples: list[int]
    values: NDArray[np.float64]


def check_recorded(
    model: Model,
    listing: Listing,
    observations: Observations,
    expect: str | Path | None,
    step: int | None,
    *,
    actions: str | None,
    trust: bool,
) -> dict[str, Any] | None:
    """Return how far the network's outputs are from those that were recorded; None without any.

    Parameters
    ----------
    model
        Its network is left with the weights of a checkpoint whose outputs were recorded.
    expect
        A file of recorded outputs, next to those in files of observations.
    step
        Of the checkpoint, where the recording does not say it.
    actions
        As `lrpdyn.explain.model.with_units` takes it.

    Raises
    ------
    ObservationError
        Outputs differ, or are of a checkpoint, samples or a head that are not there.
    UsageError
        The step is not known.
    """
    found = [
        _compared(model, listing, observations, expected, step, actions=actions, trust=trust)
        for expected in _expected(observations, expect)
    ]
    if not found and step is not None:
        raise UsageError(
            "--expect-step: no outputs were recorded with the observations; give them with --expect"
        )
    return max(
        found, key=lambda one: one["largest_difference"] / one["largest_output"], default=None
    )


def _expected(observations: Observations, expect: str | Path | None) -> Iterator[Expected]:
    """Yield the recorded outputs of the explained samples."""
    start = 0
    for name, count in zip(observations.files, observations.counts, strict=True):
        file = name.partition(".npz:observations.")[0]
        path = as_path(name if file == name else f"{file}.npz")
        if is_recording(path):
            yield from _chosen(observations, read_outputs(path), start, count)
        start += count
    if expect is not None:
        yield from _chosen(observations, read_outputs(expect), 0, start)


def _chosen(
    observations: Observations, recorded: RecordedOutputs, start: int, count: int
) -> Iterator[Expected]:
    if len(recorded.values) != count:
        raise ObservationError(
            f"{recorded.file}: recorded the outputs of {len(recorded.values)} samples, and there are "
            f"{count} observations; give the observations that they were recorded for, in that order"
        )
    samples = [n for n, row in enumerate(observations.chosen) if start <= row < start + count]
    if samples:
        rows = [observations.chosen[n] - start for n in samples]
        yield Expected(recorded=recorded, samples=samples, values=recorded.values[rows])


def _compared(
    model: Model,
    listing: Listing,
    observations: Observations,
    expected: Expected,
    step: int | None,
    *,
    actions: str | None,
    trust: bool,
) -> dict[str, Any]:
    recorded = expected.recorded
    checkpoint = _checkpoint(listing, recorded, step)
    head = model.head if recorded.head is None else recorded.head
    if head not in heads_of(model.network):
        raise ObservationError(
            f"{recorded.file}: recorded head {head}, and the network's heads are "
            f"{', '.join(heads_of(model.network))}; {_without(recorded)}"
        )
    if head != model.head:
        model = replace(model, head=head, path=path_of(model.network, head)[1])
    loaded = load(model, checkpoint, trust=trust)
    own = _outputs(loaded, observations, expected)
    if own.shape != expected.values.shape:
        raise ObservationError(
            f"{recorded.file}: recorded {expected.values.shape[1]} outputs for each sample, and head "
            f"{head} has {own.shape[1]}; {_without(recorded)}"
        )
    free: tuple[int, ...] = ()
    if not recorded.exact and head in ("policy", "logits"):
        units = with_units(model, own.shape[1], actions).units
        free = () if units.have_no_preference else units.groups or (own.shape[1],)
    found = _comparison(own, expected.values, free)
    squashed = () if found.fits else _squashed(loaded, own, trust=trust)
    of_actions = (_comparison(each, expected.values) for each in squashed)
    found = next((one for one in of_actions if one.fits), found)
    if not found.fits:
        remedy = _remedy(loaded, listing, observations, expected, free, trust=trust)
        raise ObservationError(_refusal(loaded, expected, own, found, remedy))
    return {
        "file": recorded.file,
        "step": checkpoint.step,
        "head": head,
        "samples": len(expected.samples),
        "largest_difference": float(found.difference.max()),
        "largest_output": float(found.largest),
        **({"up_to_constant": True} if found.up_to_constant else {}),
        **({"squashed": True} if squashed else {}),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Comparison:
    """The largest difference of each sample, (n,), and the largest recorded output."""

    difference: NDArray[np.float64]
    largest: float
    up_to_constant: bool = False

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """The samples whose outputs differ."""
        found: NDArray[np.bool_] = ~(self.difference <= LARGEST_DIFFERENCE * self.largest)
        return found

    @property
    def fits(self) -> bool:
        return not self.beyond.any()


def _comparison(
    own: NDArray[np.float64], values: NDArray[np.float64], free: tuple[int, ...] = ()
) -> _Comparison:
    """Compare outputs (n, K); where they differ, without what units of a group share.

    `free` are the sizes of groups of units that one constant may be added to.
    """
    found = _Comparison(
        difference=np.abs(own - values).max(axis=1), largest=max(np.abs(values).max(), 1e-30)
    )
    if found.fits or not free or values.shape[1] < 2:
        return found
    own, values = (_centred(each, free) for each in (own, values))
    centred = replace(_comparison(own, values), up_to_constant=True)
    return centred if centred.fits else found


def _centred(outputs: NDArray[np.float64], groups: tuple[int, ...]) -> NDArray[np.float64]:
    parts = np.split(outputs, np.cumsum(groups)[:-1], axis=1)
    return np.concatenate([part - part.mean(axis=1, keepdims=True) for part in parts], axis=1)


def _squashed(
    loaded: LoadedNetwork, own: NDArray[np.float64], *, trust: bool
) -> list[NDArray[np.float64]]:
    """Return the actions that means stand for where a tanh follows what is explained, else nothing.

    In -1..1, in the bounds of the action space, and by CleanRL's ``action_scale`` and ``action_bias``.
    """
    left_out: Mapping[str, str] = getattr(loaded.model.network, "left_out", {})
    if loaded.model.head not in left_out:
        return []
    actions = np.tanh(own)
    found, source = [actions], loaded.source
    assert isinstance(source, Checkpoint)
    space = source.header.hints.get("action_space", {})
    low, high = space.get("low"), space.get("high")
    if low is not None and high is not None:
        found.append(low + (actions + 1) / 2 * (high - low))
    weights, _ = read_weights(source.path, source.format, trust=trust, weights=source.weights)
    ranges = [
        [tensor.numpy() for key, tensor in weights.items() if key.endswith(name)]
        for name in ("action_scale", "action_bias")
    ]
    return found + [actions * scale + bias for scale, bias in zip(*ranges, strict=False)]


def _checkpoint(listing: Listing, recorded: RecordedOutputs, step: int | None) -> Checkpoint:
    """Return the checkpoint that was recorded: explained, or in the folder and not selected."""
    wanted = recorded.step if step is None else step
    # best_model.zip may have the step of another file, and other weights.
    at_step = [*_at_step(listing, wanted)]
    candidates = at_step or (listing.checkpoints if step is None else ())
    if recorded.sha256 is not None:
        for checkpoint in candidates:
            if _is_of(recorded, checkpoint):
                return checkpoint
    if at_step:
        return at_step[0]
    steps = [checkpoint.step for checkpoint in listing.checkpoints]
    there = ", ".join(f"{steps[n]:,}" for n in evenly_spaced(len(steps), 6))
    if wanted is None:
        raise UsageError(
            f"{recorded.file}: does not say at which step its outputs were recorded; give --expect-step, "
            f"one of {there}"
        )
    raise MissingStepError(
        f"{recorded.file}: recorded at step {wanted:,}, which is not among the checkpoints ({there}); give "
        f"the step that it is here, --expect-step STEP; {_without(recorded)}"
    )


def _is_of(recorded: RecordedOutputs, checkpoint: Checkpoint) -> bool:
    """Tell whether a checkpoint has the weights whose outputs were recorded."""
    return has_digest(checkpoint.path, checkpoint.format, named(recorded.sha256 or ""))


def _at_step(listing: Listing, step: int | None) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a step, explained or not."""
    yield from (checkpoint for checkpoint in listing.checkpoints if checkpoint.step == step)
    like = listing.checkpoints[0]
    for entry in listing.left_out:
        if step is None or entry.bad or entry.step != step:
            continue
        reader = find_reader(entry.path)
        if reader is not None:
            header = read_header(entry.path, reader.format, weights=like.weights)
            yield replace(like, step=step, path=entry.path, format=reader.format, header=header)


def _without(recorded: RecordedOutputs) -> str:
    """Return how to do without the check."""
    if is_recording(as_path(recorded.file)):
        return f"{recorded.file}:observations are its observations alone"
    return "leave --expect out to go on without this check"


def _outputs(
    loaded: LoadedNetwork, observations: Observations, expected: Expected
) -> NDArray[np.float64]:
    """Return the plain outputs (n, K) of the untouched network."""
    chosen = loaded.with_samples(expected.samples)
    return _outputs_for(chosen, observations.values[expected.samples])


def _outputs_for(loaded: LoadedNetwork, values: NDArray[np.float32]) -> NDArray[np.float64]:
    try:
        with torch.no_grad():
            found = [loaded.path(x).cpu() for _, x in batches(loaded.model, values)]
    except RuntimeError as error:
        raise ObservationError(
            f"observations of shape {values.shape[1:]} do not fit architecture "
            f"{loaded.model.resolved.architecture.name}: {first_line(error)}"
        ) from error
    return torch.cat(found).double().numpy()


def _refusal(
    loaded: LoadedNetwork,
    expected: Expected,
    own: NDArray[np.float64],
    found: _Comparison,
    remedy: str | None,
) -> str:
    place = int(found.beyond.argmax())
    recorded = expected.recorded
    source = loaded.source
    of_others = (
        isinstance(source, Checkpoint)
        and recorded.sha256 is not None
        and not _is_of(recorded, source)
    )
    if remedy is None and of_others:
        remedy = (
            "its weights are not those that were recorded (their SHA-256 differs): another run, or a file "
            "that was changed"
        )
    return (
        f"{recorded.file}: at step {loaded.step:,} the network gives other outputs than were recorded, "
        f"first for sample {expected.samples[place]}: {_short(own[place])} here, "
        f"{_short(expected.values[place])} recorded (largest difference {found.difference.max():.2g}, "
        f"largest output {np.abs(expected.values).max():.2g}); {remedy or _CAUSES}; {_without(recorded)}"
    )


def _short(values: NDArray[np.float64]) -> str:
    more = ", ..." if len(values) > 4 else ""
    return f"({', '.join(f'{value:.4g}' for value in values[:4])}{more})"


def _remedy(
    loaded: LoadedNetwork,
    listing: Listing,
    observations: Observations,
    expected: Expected,
    free: tuple[int, ...],
    *,
    trust: bool,
) -> str | None:
    """Return what makes the outputs those that were recorded, None where nothing that is tried does."""

    def fits(own: NDArray[np.float64]) -> bool:
        return own.shape == expected.values.shape and _comparison(own, expected.values, free).fits

    parts = np.split(expected.values, np.cumsum(free)[:-1], axis=1)
    sums = np.stack([part.sum(axis=1) for part in parts])
    if (expected.values >= 0).all() and np.allclose(sums, 1, atol=1e-4):
        return "the recorded ones look like probabilities: record logits, or their logarithms"
    seen = observations.values[expected.samples]
    chosen = loaded.with_samples(expected.samples)
    for option, changed in _other_observations(chosen, observations, seen):
        with suppress(ObservationError):
            if fits(_outputs_for(chosen, changed)):
                return f"with {option} they are equal"
    for option, other in _other_networks(chosen, trust=trust):
        if fits(_outputs_for(other, seen)):
            return f"with {option} they are equal"
    places = evenly_spaced(len(listing.checkpoints), _MOST_TRIED)
    for checkpoint in (listing.checkpoints[place] for place in places):
        with suppress(LrpdynError):
            if fits(_outputs_for(load(chosen.model, checkpoint, trust=trust), seen)):
                return (
                    f"they are those of step {checkpoint.step:,} (--expect-step {checkpoint.step})"
                )
    return None


def _other_observations(
    loaded: LoadedNetwork, observations: Observations, seen: NDArray[np.float32]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the observations (n, ...) as other options would arrange them, each with its option."""
    if seen.ndim == 4 and seen.shape[1] > 1:
        order = observations.preparation.get("stack_order")
        other = "oldest" if order == "newest" else "newest"
        yield f"--stack-order {other}", np.ascontiguousarray(seen[:, ::-1])
    applied = observations.normalisation
    if applied is not None:
        given = observations.preparation["statistics"] is not None
        undone = (seen * applied.deviation + applied.mean).astype(np.float32)
        yield "--statistics none" if given else "no --mean and --std", undone
        return
    scale = observations.scale
    for divisor in (1.0, 255.0, 1 / 255):
        if divisor != scale:
            said = "none" if divisor == 1 else f"{divisor:.17g}"
            yield f"--scale {said}", seen * np.float32(scale / divisor)
    assert isinstance(loaded.source, Checkpoint)
    for path in statistics_near(loaded.source.path)[:_MOST_TRIED]:
        with suppress(LrpdynError, OSError):
            # It is followed and not run, and the recorded outputs confirm its numbers.
            statistics = from_file(path, trust=True)
            if statistics is not None:
                yield f"--statistics {path} --trust", statistics.apply(seen * np.float32(scale))


def _other_networks(loaded: LoadedNetwork, *, trust: bool) -> Iterator[tuple[str, LoadedNetwork]]:
    """Yield the network with other activations, which are not in its weights."""
    model, source = loaded.model, loaded.source
    assert isinstance(source, Checkpoint)
    for name in ACTIVATIONS:
        resolved = replace(
            model.resolved, arguments={**model.resolved.arguments, "activation": name}
        )
        with suppress(LrpdynError):
            network = resolved.build().to(model.device)
            path = path_of(network, model.head)[1].eval()
            other = replace(
                model, resolved=resolved, network=network, path=path, weights=WeightsNow()
            )
            yield f"--arch-arg activation={name}", load(other, source, trust=trust)
