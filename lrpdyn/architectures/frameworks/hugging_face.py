"""Hugging Face's image classifiers and decision transformer, by the ``config.json`` beside their weights.

Classes are those of transformers alone: what a configuration says of code of its own is not followed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.frameworks import decision_transformer as decisions
from lrpdyn.architectures.model import Architecture, Arguments, Family, is_installed
from lrpdyn.architectures.shapes import OtherSizesError, built_like, not_installed
from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import ArchitectureError, UsageError
from lrpdyn.files.reasons import reason_of

PREFIX = "hf:"
_ENDING = "ForImageClassification"
#: Built from another package's networks, which are recognised as that package's.
_WRAPPERS = frozenset(("TimmWrapperForImageClassification",))
#: What has no part in the function, or would have code fetched that computes it.
_IGNORED = frozenset(
    ("architectures", "attn_implementation", "auto_map", "dtype", "id2label", "label2id", "output_attentions",
     "output_hidden_states", "quantization_config", "return_dict", "torch_dtype", "torchscript",
     "transformers_version", "use_cache")
)  # fmt: skip
_LARGEST, _LONGEST, _DEEPEST, _MOST_ENTRIES = 1 << 18, 200, 4, 32
_LARGEST_TABLES = 50_000_000


class Classifier(nn.Module):
    """A classifier of transformers, whose weights are called as transformers saves them.

    Parameters
    ----------
    model
        The class in transformers.
    config
        The content of ``config.json``.
    as_saved
        False: the weights are called as in the network itself, which later versions of transformers
        call otherwise than their files do.
    options
        Further settings, which replace those of `config`.
    """

    heads = ("logits",)

    def __init__(
        self,
        model: str = "",
        config: Mapping[str, Any] | None = None,
        as_saved: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self.network = _network(model, {**(config or {}), **options})
        saved = _saved_names(self.network) if as_saved else {}
        own = self.network.state_dict().keys()
        self.names = {f"network.{key}": saved.get(key, key) for key in own}
        self.register_state_dict_post_hook(_call_as_saved)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_call_as_own)  # type: ignore[no-untyped-call]

    def path(self, head: str) -> nn.Module:
        """Return the network from pictures (N, channels, height, width) to logits (N, classes)."""
        return _Logits(self.network)


class DecisionTransformer(Classifier):
    """The decision transformer, which gives an action for a sequence of states; arguments as above."""

    heads = ("policy",)
    action_space = "box"

    def __init__(self, model: str = decisions.CLASS, **settings: Any) -> None:
        super().__init__(model, **settings)
        last: Any = self.network.predict_action
        if len(last) > 1:
            self.left_out = {"policy": "the tanh that squashes an action"}
            self.network.predict_action = last[:1]

    def path(self, head: str) -> nn.Module:
        """Return the network from states (N, T, features) to the last action, before its tanh."""
        return decisions.Decisions(self.network)


def _call_as_saved(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for own, saved in module.names.items():
        state[prefix + saved] = state.pop(prefix + own)


def _call_as_own(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    found = {
        own: state.pop(prefix + key) for own, key in module.names.items() if prefix + key in state
    }
    state.update({prefix + own: value for own, value in found.items()})


def _saved_names(network: Any) -> dict[str, str]:
    """Return what transformers calls the weights in its files, by their names in the network."""
    try:
        from transformers.core_model_loading import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
            revert_weight_conversion,
        )
    except ImportError:  # before transformers 5 they were called the same
        return {}
    own = list(network.state_dict())
    # Each is told by its size.
    numbered = {key: torch.empty(number, device="meta") for number, key in enumerate(own)}
    reverted = revert_weight_conversion(network, numbered)
    return {own[value.shape[0]]: key for key, value in reverted.items()}


class _Logits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(pixel_values=pictures).logits
        return logits


def named(name: str) -> Architecture:
    """Return the architecture of ``hf:CLASS``; of ``hf:`` alone, what ``config.json`` names.

    Raises
    ------
    UsageError
        transformers is not installed, or has no image classifier of this name.
    """
    model, known = name.removeprefix(PREFIX), _known()
    if model and model not in known:
        raise UsageError(
            f"--arch {name}: transformers has no image classifier of this name; expected {PREFIX} alone, "
            f"where config.json lies beside the weights, or a class such as {PREFIX}ViT{_ENDING}"
        )
    return _architecture(model)


def _recognised(shapes: Shapes, hints: Mapping[str, Any]) -> Sequence[Architecture]:
    """Return the class that the configuration names.

    Raises
    ------
    ArchitectureError
        It is none of transformers, or transformers is not installed.
    """
    config = hints.get("config")
    classes = config.get("architectures") if isinstance(config, Mapping) else None
    model = str(classes[0] if isinstance(classes, list) and classes else classes or "")
    if not model or model in _WRAPPERS:
        return []
    if not is_installed("transformers") and model.endswith((_ENDING, decisions.CLASS)):
        raise ArchitectureError(f"config.json names {model}; {not_installed('transformers', 'hf')}")
    if not is_installed("transformers") or model not in _known():
        raise ArchitectureError(
            f"config.json names {model[:_LONGEST]}, expected an image classifier of transformers such "
            f"as ViT{_ENDING}, or {decisions.CLASS}; give the network with --arch FILE.py:CALLABLE"
        )
    return [_architecture(model)]


def _architecture(model: str) -> Architecture:
    kind = DecisionTransformer if model == decisions.CLASS else Classifier
    return Architecture(
        name=f"{PREFIX}{model}",
        factory=Classifier if not model else functools.partial(kind, model),
        recognise=functools.partial(_recognise, model=model),
        source=f"transformers.{model}" if model else "transformers",
        assumes=functools.partial(_assumes, pictures=model != decisions.CLASS),
        unused=r".*\.(relative_position_index|position_ids)$",
    )


def _recognise(shapes: Shapes, hints: Mapping[str, Any], *, model: str) -> Arguments | None:
    """Return the settings of ``config.json``, as far as they say what is computed.

    Raises
    ------
    ArchitectureError
        They are not those of a network with these weights.
    """
    if "config" not in hints:
        return {}
    settings = settings_of(hints["config"])
    of_config = [] if model else _recognised(shapes, hints)
    if not model and not of_config:
        return None
    named_class = model or of_config[0].name.removeprefix(PREFIX)

    def build() -> nn.Module:
        with torch.device("meta"):  # what is computed of sizes too: nobody knows these yet
            return _network(named_class, settings)

    try:
        # What a stranger's settings make is stopped before it is large.
        network = built_like(build, shapes, replaced=0)
        tables = sum(table.numel() for table in network.buffers())
        if tables > _LARGEST_TABLES:
            raise OtherSizesError(f"it has tables of {tables:,} numbers beside its weights")
    except OtherSizesError as error:
        raise ArchitectureError(
            f"config.json describes another {named_class} than the weights are of: {error}"
        ) from error
    own = set(network.state_dict()) <= shapes.keys()
    told: Arguments = {"config": settings} | ({"as_saved": False} if own else {})
    return told if model else {"model": named_class, **told}


def settings_of(config: Any) -> Arguments:
    """Return what a ``config.json`` says of the function, checked: it may be anybody's.

    Raises
    ------
    ArchitectureError
        A setting is no plain value, or so large that no network has it.

    Examples
    --------
    >>> settings_of({"hidden_size": 32, "id2label": {"0": "cat", "1": "dog"}, "auto_map": {}})
    {'hidden_size': 32, 'num_labels': 2}
    """
    if not isinstance(config, Mapping):
        raise ArchitectureError(
            f"config.json: expected settings by name, found a {type(config).__name__}"
        )
    labels = config.get("id2label")
    counted = {"num_labels": len(labels)} if isinstance(labels, Mapping) else {}
    return {**_plain(config, "config.json", _DEEPEST), **counted}


def _plain(value: Any, where: str, deepest: int) -> Any:
    if isinstance(value, Mapping) and deepest:
        kept = [str(key) for key in value if key not in _IGNORED and not str(key).startswith("_")]
        return {key: _plain(value[key], f"{where}: {key[:_LONGEST]}", deepest - 1) for key in kept}
    if isinstance(value, list | tuple) and deepest and len(value) <= _MOST_ENTRIES:
        return [_plain(entry, where, deepest - 1) for entry in value]
    number = isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _LARGEST
    if value is None or number or (isinstance(value, str) and len(value) <= _LONGEST):
        return value
    raise ArchitectureError(
        f"{where}: {str(value)[:40]} is no setting that a network has, expected a number up to "
        f"{_LARGEST:,}, a word, or up to {_MOST_ENTRIES} of them"
    )


def _network(model: str, settings: Mapping[str, Any]) -> nn.Module:
    """Return the network of transformers with these settings."""
    known = _known()
    if model not in known:
        raise ArchitectureError(
            "config.json, which says what the network is, does not lie beside the weights; say which it is "
            f"with --arch {PREFIX}CLASS and its settings with --arch-arg, such as ViT{_ENDING}"
        )
    import transformers  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kind = getattr(transformers, model)
    try:
        network: nn.Module = kind(kind.config_class.from_dict(dict(settings)))
    except OtherSizesError:
        raise
    except Exception as error:  # another package's code and a stranger's settings: anything
        reason = reason_of(error)[:_LONGEST] or type(error).__name__
        raise ArchitectureError(
            f"transformers builds no {model} of its config.json: {reason}"
        ) from error
    return network


@functools.cache
def _known() -> frozenset[str]:
    """Return the names of transformers' classes that are recognised."""
    try:
        from transformers.models.auto.modeling_auto import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
            MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSES_BY_TYPE,
        )
    except ImportError as error:
        raise not_installed("transformers", "hf") from error
    found = CLASSES_BY_TYPE.values()
    names = (name for names in found for name in ([names] if isinstance(names, str) else names))
    return (frozenset(names) | {decisions.CLASS}) - _WRAPPERS


def _assumes(arguments: Arguments, hints: Mapping[str, Any], *, pictures: bool) -> tuple[str, ...]:
    if not pictures:
        return (
            "states are normalised as in training, and returns are scaled: by the numbers of its script, "
            "which --mean and --std apply to the states",
        )
    return (
        "pictures are normalised as in training: by the mean and deviation of its image processor, which "
        "--mean and --std apply",
    )


FAMILY = Family(
    prefix=PREFIX,
    owner="Hugging Face's",
    package="transformers",
    extra="hf",
    named=named,
    recognised=_recognised,
)
