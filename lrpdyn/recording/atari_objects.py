"""The objects that OCAtari finds in the memory of an Atari game, on the pixels of observations."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RecordingError, UsageError
from lrpdyn.files.reasons import reason_of
from lrpdyn.observations.regions import Regions, named_regions
from lrpdyn.recording.environments import layers

#: Where wrappers are from, and those of them that show the whole screen: as it is, or made smaller.
_PACKAGES = {"gymnasium", "sb3_contrib", "stable_baselines3"}
_WHOLE_SCREEN = {
    "ActionMasker", "AtariPreprocessing", "AtariWrapper", "Autoreset", "ClipReward", "ClipRewardEnv",
    "DtypeObservation", "DummyVecEnv", "EpisodicLifeEnv", "FireResetEnv", "FrameStack",
    "FrameStackObservation", "GrayScaleObservation", "GrayscaleObservation", "HumanRendering",
    "MaxAndSkipEnv", "MaxAndSkipObservation", "Monitor", "NoopResetEnv", "NormalizeObservation",
    "NormalizeReward", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics", "RecordVideo",
    "RenderCollection", "RepeatAction", "RescaleObservation", "ResizeObservation", "StickyAction",
    "StickyActionEnv", "TimeLimit", "TransformAction", "TransformReward", "VecCheckNan",
    "VecFrameStack", "VecMonitor", "VecNormalize", "VecTransposeImage", "VecVideoRecorder", "WarpFrame",
}  # fmt: skip
_POOLING = {"AtariPreprocessing", "MaxAndSkipEnv", "MaxAndSkipObservation"}
_OTHERWISE = "objects of any pictures, by their pixels: lrpdyn regions OBSERVATIONS"


@dataclass(frozen=True, kw_only=True)
class Box:
    """An object: its kind, and its box in pixels of the emulator's screen, from the upper left."""

    name: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class View:
    """How an observation shows the emulator's screen, all of it in each of its frames.

    Parameters
    ----------
    screen
        The emulator's height and width.
    stacked
        So many frames are one observation, the newest last.
    repeated
        Whether the first frame of an episode fills the stack; nothing is in the others otherwise.
    pooled
        So many of the emulator's screens are one frame, the brightest of each pixel.
    """

    screen: tuple[int, int]
    stacked: int = 1
    repeated: bool = False
    pooled: int = 1


#: The objects in each frame of an observation.
Frames = Sequence[Sequence[Box]]


class ObjectTracker:
    """Notes the objects at each step of the emulator, and which of them the newest observation shows."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._screens: deque[list[Box]] = deque(maxlen=view.pooled)
        self._frames: deque[list[Box]] = deque(maxlen=view.stacked)

    def screen(self, boxes: list[Box], *, first: bool) -> None:
        """Note the objects on the emulator's screen, the `first` after it began anew or not."""
        if first:
            self._screens.clear()
        self._screens.append(boxes)

    def observation(self, *, first: bool) -> None:
        """Note that an observation shows the last screens, the `first` of an episode or not."""
        frame = [box for boxes in self._screens for box in boxes]
        if first:
            missing = self.view.stacked - 1
            self._frames.extend([frame if self.view.repeated else []] * missing)
        self._frames.append(frame)

    @property
    def frames(self) -> Frames:
        """The objects in each frame of the newest observation, the newest frame last."""
        return [*self._frames]


@contextmanager
def tracked(env: Any) -> Iterator[ObjectTracker]:
    """Have OCAtari read the memory of an environment's emulator after each of its steps, meanwhile.

    The environment and its wrappers stay as they are: OCAtari only reads.

    Raises
    ------
    UsageError
        The environment is no Atari game that OCAtari knows, or where its observations show the screen
        is not known.
    RecordingError
        OCAtari is not installed, or, meanwhile, fails.
    """
    emulator = [*layers(env)][-1]
    tracker, boxes_of = ObjectTracker(view_of(env)), _extraction(emulator)
    step, reset = emulator.step, emulator.reset

    @wraps(step)  # gymnasium looks at what they take
    def stepped(*arguments: Any, **options: Any) -> Any:
        found = step(*arguments, **options)
        tracker.screen(boxes_of(False), first=False)
        return found

    @wraps(reset)
    def begun(*arguments: Any, **options: Any) -> Any:
        found = reset(*arguments, **options)
        tracker.screen(boxes_of(True), first=True)
        return found

    # Below all wrappers, for some take several steps for one observation.
    emulator.step, emulator.reset = stepped, begun
    try:
        yield tracker
    finally:
        del emulator.step, emulator.reset


def view_of(env: Any) -> View:
    """Return how the observations of an environment show the emulator's screen.

    Raises
    ------
    UsageError
        It has no emulator, one of its wrappers may cut or move what it shows, or observations are no
        pictures.
    """
    *wrappers, emulator = layers(env)
    if not hasattr(getattr(emulator, "ale", None), "getRAM"):
        raise UsageError(
            f"--objects: {_name(emulator)} is no Atari game, and OCAtari knows no others; {_OTHERWISE}"
        )
    unknown = [one for one in wrappers if not _shows_whole_screen(one)]
    if unknown:
        raise UsageError(
            f"--objects: wrapper {type(unknown[0]).__name__} may cut or move what the screen shows; expected "
            f"wrappers of gymnasium and Stable-Baselines3 that show all of it; {_OTHERWISE}"
        )
    stacks = [stack for stack in map(_stack, wrappers) if stack is not None]
    if len(stacks) > 1:
        raise UsageError(f"--objects: frames are stacked twice by {_name(emulator)}'s wrappers")
    stacked, repeated = stacks[0] if stacks else (1, False)
    height, width = emulator.ale.getScreenDims()
    _channels_first(env.observation_space.shape or (), stacked)
    return View(
        screen=(height, width),
        stacked=stacked,
        repeated=repeated,
        pooled=2 if any(map(_pools, wrappers)) else 1,
    )


def regions_of(
    observations: Sequence[Frames], shape: tuple[int, ...], view: View
) -> Regions | None:
    """Return the objects in observations of `shape` (N, ...) as regions by kind; None where there are none.

    Each frame of an observation has the objects of its own time. A pixel is of an object where any part
    of the object's box lies in it. Masks are (N, C, H, W).
    """
    channels, *size = _channels_first(shape[1:], view.stacked)
    kinds = dict.fromkeys(box.name for frames in observations for boxes in frames for box in boxes)
    masks = {
        name: np.zeros((len(observations), view.stacked, *size), dtype=np.bool_) for name in kinds
    }
    for sample, frames in enumerate(observations):
        for place, boxes in enumerate(frames):
            for box in boxes:
                rows = _pixels(box.y, box.height, view.screen[0], size[0])
                columns = _pixels(box.x, box.width, view.screen[1], size[1])
                masks[box.name][sample, place, rows, columns] = True
    drawn = {name: mask for name, mask in masks.items() if mask.any()}
    if not drawn:
        return None
    stacked: NDArray[np.bool_] = np.stack([*drawn.values()]).repeat(
        channels // view.stacked, axis=2
    )
    return named_regions(tuple(drawn), stacked)


def _pixels(first: int, length: int, screen: int, size: int) -> slice:
    """Return the pixels of `size` in which some of the `length` pixels of the screen from `first` lie."""
    if length < 1:
        return slice(0)
    return slice(max(0, first * size // screen), max(0, -(-(first + length) * size // screen)))


def _channels_first(shape: tuple[int, ...], stacked: int) -> tuple[int, int, int]:
    """Return the channels, height and width of observations (C, H, W), (H, W, C) or (H, W)."""
    allowed = {stacked, 3 * stacked}
    if len(shape) == 2 and stacked == 1:
        return 1, shape[0], shape[1]
    if len(shape) == 3 and shape[0] in allowed:
        return shape[0], shape[1], shape[2]
    if len(shape) == 3 and shape[2] in allowed:
        return shape[2], shape[0], shape[1]
    raise UsageError(
        f"--objects: expected pictures (C, H, W) or (H, W, C) of {stacked} frames, found observations of "
        f"shape {shape}"
    )


def _shows_whole_screen(wrapper: Any) -> bool:
    package = type(wrapper).__module__.partition(".")[0]
    return package in _PACKAGES and type(wrapper).__name__ in _WHOLE_SCREEN


def _stack(wrapper: Any) -> tuple[int, bool] | None:
    """Return how many frames a wrapper stacks, and whether the first of an episode fills the stack."""
    kind = type(wrapper).__name__
    if kind == "VecFrameStack":
        return wrapper.stacked_obs.n_stack, False
    if kind == "FrameStack":  # gymnasium before 1.0
        return wrapper.num_stack, True
    if kind == "FrameStackObservation":
        return wrapper.stack_size, wrapper.padding_type == "reset"
    return None


def _pools(wrapper: Any) -> bool:
    return type(wrapper).__name__ in _POOLING and getattr(wrapper, "frame_skip", 2) > 1


def _extraction(emulator: Any) -> Callable[[bool], list[Box]]:
    """Return a function that gives the objects in the emulator's memory, of a game that begins or goes on."""
    try:
        import ocatari
        from ocatari.ram import extract_ram_info
    except ImportError as error:
        raise RecordingError(
            f"--objects needs OCAtari ({reason_of(error)}): pip install 'lrpdyn[objects]'"
        ) from error
    del ocatari
    game = str(emulator._game).replace("_", "")
    if not hasattr(sys.modules.get(f"ocatari.ram.{game}"), "_detect_objects_ram"):
        raise UsageError(f"--objects: OCAtari does not know {_name(emulator)}; {_OTHERWISE}")
    # OCAtari goes by what it found before, and writes the next objects into the same list.
    objects: list[Any] = []

    def boxes_of(begins: bool) -> list[Box]:
        try:
            if begins:
                # With those of the display: scores, lives.
                objects[:] = extract_ram_info.init_objects(game, True)
            extract_ram_info.detect_objects_ram(objects, emulator.ale.getRAM(), game, True)
            return [_box(one) for one in objects if one]
        except Exception as error:  # of OCAtari
            raise RecordingError(
                f"--objects: OCAtari fails on {_name(emulator)} ({type(error).__name__}: "
                f"{reason_of(error)[:160]}); {_OTHERWISE}"
            ) from error

    return boxes_of


def _box(found: Any) -> Box:
    x, y, width, height = map(int, found.xywh)  # some are bytes of the memory, which overflow
    return Box(name=found.category, x=x, y=y, width=width, height=height)


def _name(emulator: Any) -> str:
    return str(getattr(getattr(emulator, "spec", None), "id", None) or type(emulator).__name__)
