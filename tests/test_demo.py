"""The game is what it is said to be, and the agent learns it the same way every time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lrpdyn import demo
from lrpdyn.architectures.frameworks.catch import CatchNetwork
from lrpdyn.demo import LEFT, RIGHT, STAY, Demo, Games
from lrpdyn.errors import RunError, UsageError

STEPS_PER_CHECKPOINT = 3456


def game(row: int, column: int, velocity: int, paddle: int) -> Games:
    """Return one game."""
    state = np.array([[row], [column], [velocity], [paddle]])
    return Games(
        row=state[0], column=state[1], velocity=state[2], paddle=state[3],
        observations=np.zeros((1, 2, 24, 24), dtype=np.uint8),
    )  # fmt: skip


def moved(start: Games, action: int) -> tuple[Games, float]:
    """Return one game after one move, and its reward."""
    games, rewards = demo.advance(start, np.array([action]))
    return games, float(rewards[0])


def ball_at(picture: np.ndarray) -> tuple[int, int]:
    """Return row and column of the ball's left upper corner, read from a picture."""
    rows, columns = np.nonzero(picture[:22] == 255)
    assert len(rows) == 4
    return int(rows.min()), int(columns.min())


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a checkpoint."""
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Return a short training run, a fifth of the full one."""
    return demo.train(tmp_path_factory.mktemp("demo") / "new" / "folder", seed=0, checkpoints=5)


@pytest.fixture
def few_games(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make training quick and worthless; return the environment steps of an update."""
    monkeypatch.setattr(demo, "PARALLEL_GAMES", 16)
    return 16 * demo.MOVES


@pytest.mark.parametrize(
    ("column", "velocity", "next_column", "next_velocity"),
    [
        (10, 3, 13, 3),
        (10, -1, 9, -1),
        (2, -3, 3, 3),
        (1, -1, 2, 1),
        (4, -3, 1, -3),
        (20, 3, 19, -3),
        (21, 2, 19, -2),
        (18, 3, 21, 3),
    ],
)
def test_ball_falls_obliquely_and_bounces_off_the_walls(
    column: int, velocity: int, next_column: int, next_velocity: int
) -> None:
    after, reward = moved(game(6, column, velocity, 9), STAY)
    assert (after.row[0], after.column[0], after.velocity[0]) == (8, next_column, next_velocity)
    assert reward == 0


@pytest.mark.parametrize("paddle", [1, 7, 18])
def test_ball_is_caught_where_any_of_it_is_on_the_paddle(paddle: int) -> None:
    for landing in range(2, 21):
        on_paddle = {landing, landing + 1} & set(range(paddle, paddle + 5))
        _, reward = moved(game(18, landing - 1, 1, paddle), STAY)
        assert reward == (1 if on_paddle else -1)
    # The paddle's move counts before the ball is judged.
    assert [moved(game(18, 13, 1, 9), action)[1] for action in (STAY, RIGHT)] == [-1, 1]
    assert [moved(game(18, 7, -1, 8), action)[1] for action in (STAY, LEFT)] == [-1, 1]


@pytest.mark.parametrize(
    ("action", "places"), [(LEFT, [3, 1, 1, 1]), (STAY, [5] * 4), (RIGHT, [7, 9, 11, 13])]
)
def test_paddle_moves_two_columns(action: int, places: list[int]) -> None:
    games, found = game(2, 5, 1, 5), []
    for _ in places:
        games, _ = moved(games, action)
        found.append(games.paddle[0])
    assert found == places


@pytest.mark.parametrize(("action", "last"), [(LEFT, 1), (RIGHT, 18)])
def test_paddle_and_ball_never_leave_the_walls(action: int, last: int) -> None:
    games = demo.new_games(500, np.random.default_rng(0))
    for _ in range(demo.MOVES):
        games, _ = demo.advance(games, np.full(500, action))
        pictures = games.observations[:, 1]
        assert (pictures[:, 0] == 96).all()
        assert (pictures[:, :, [0, 23]] == 96).all()
        assert ((pictures == 255).sum(axis=(1, 2)) == 4 + 10).all()
    assert (games.paddle == last).all()


def test_picture_shows_walls_ball_and_paddle() -> None:
    after, _ = moved(game(6, 10, 3, 5), RIGHT)
    expected = np.zeros((24, 24), dtype=np.uint8)
    expected[0] = 96
    expected[:, 0] = expected[:, 23] = 96
    expected[8:10, 13:15] = 255
    expected[22:24, 7:12] = 255
    np.testing.assert_array_equal(after.observations[0, 1], expected)


def test_new_games_begin_at_the_top_with_one_picture_twice() -> None:
    games = demo.new_games(2000, np.random.default_rng(0))
    assert set(games.row) == {2}
    assert set(games.column) == set(range(1, 22))
    assert set(games.velocity) == {-3, -2, -1, 1, 2, 3}
    np.testing.assert_array_equal(games.observations[:, 0], games.observations[:, 1])


def test_every_game_ends_with_its_last_move_and_shows_the_picture_before() -> None:
    def always_left(observations: np.ndarray) -> np.ndarray:
        return np.full(len(observations), LEFT)

    states, actions, rewards = demo.play(always_left, 50, np.random.default_rng(1))
    assert [set(games.row) for games in states] == [{row} for row in range(2, 20, 2)]
    assert actions.shape == (9, 50)
    assert set(rewards) == {-1, 1}
    for before, after in pairwise(states):
        np.testing.assert_array_equal(after.observations[:, 0], before.observations[:, 1])


def test_two_pictures_are_needed_and_enough() -> None:
    """Who knows where the ball will land catches every one, who only follows it does not."""
    start = demo.new_games(2000, np.random.default_rng(2))
    landing = start
    for _ in range(demo.MOVES):
        landing, _ = demo.advance(landing, np.full(2000, STAY))
    rates = {}
    for name in ("follow", "foresee"):
        games = start
        for _ in range(demo.MOVES):
            aim = games.column if name == "follow" else landing.column
            distance = aim - games.paddle - 1.5
            actions = np.where(np.abs(distance) <= 1, STAY, np.where(distance < 0, LEFT, RIGHT))
            games, rewards = demo.advance(games, actions)
        rates[name] = (rewards > 0).mean()
    assert rates["foresee"] == 1
    assert rates["follow"] < 0.8


def test_drawn_actions_follow_the_policy() -> None:
    network = CatchNetwork()
    with torch.no_grad():
        network.policy.weight.zero_()
        network.policy.bias.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    seen = np.zeros((4000, 2, 24, 24), dtype=np.uint8)
    drawn = demo.act(network, seen, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.2, 0.5, 0.3], atol=0.03)
    assert set(demo.act(network, seen)) == {STAY}


def test_training_beats_random_play(trained: Demo) -> None:
    assert 0.25 <= trained.random_catch_rate <= 0.35
    assert trained.final_catch_rate > trained.random_catch_rate + 0.1


def test_reported_rate_is_that_of_the_last_checkpoint(trained: Demo) -> None:
    network = CatchNetwork()
    last = trained.checkpoints / f"catch_{trained.steps[-1]}_steps.pt"
    network.load_state_dict(weights_of(last))
    rate = demo.catch_rate(lambda seen: demo.act(network, seen), seed=0)
    assert rate == pytest.approx(trained.final_catch_rate, abs=0.002)


def test_checkpoints_are_evenly_spaced_from_before_training(trained: Demo) -> None:
    assert trained.steps == tuple(STEPS_PER_CHECKPOINT * index for index in range(5))
    assert len(list(trained.checkpoints.iterdir())) == 5
    states = []
    for step in trained.steps:
        path = trained.checkpoints / f"catch_{step}_steps.pt"
        assert torch.load(path, weights_only=True)["step"] == step
        states.append(weights_of(path))
        assert all(weight.is_contiguous() for weight in states[-1].values())
    for before, after in pairwise(states):
        assert not any(torch.equal(before[name], after[name]) for name in before)
    torch.manual_seed(0)
    untrained = CatchNetwork().state_dict()
    assert all(torch.equal(states[0][name], weight) for name, weight in untrained.items())
    assert trained.seconds > 0


def test_four_different_states_lie_beside_the_checkpoints(trained: Demo) -> None:
    directory = trained.checkpoints.parent
    assert {path.name for path in directory.iterdir()} == {"checkpoints", "observations.npy"}
    observations = np.load(directory / "observations.npy")
    assert observations.shape == (4, 2, 24, 24)
    assert observations.dtype == np.uint8
    before, after = ([ball_at(pictures[i]) for pictures in observations] for i in (0, 1))
    assert [row for row, _ in after] == [6, 10, 14, 18]
    assert [row for row, _ in before] == [4, 8, 12, 16]
    ways = [int(np.sign(new[1] - old[1])) for old, new in zip(before, after, strict=True)]
    assert ways == [1, -1, -1, 1]
    assert [column < 11 for _, column in after] == [True, False, True, False]


def test_same_seed_gives_same_bytes(tmp_path: Path, few_games: int) -> None:
    contents = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.rand(1)
        np.random.rand(1)
        done = demo.train(tmp_path / name, seed, checkpoints=2)
        assert done.steps == (0, 4 * few_games)
        files = [done.observations, *(done.checkpoints / f"catch_{n}_steps.pt" for n in done.steps)]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert all(one != other for one, other in zip(contents[0], contents[2], strict=True))


def test_progress_is_told_and_global_state_given_back(tmp_path: Path, few_games: int) -> None:
    threads = torch.get_num_threads()
    calls: list[tuple[int, int, float]] = []
    threads_inside = set()

    def watch(done: int, total: int, rate: float) -> None:
        calls.append((done, total, rate))
        threads_inside.add(torch.get_num_threads())

    np.random.seed(5)
    expected, torch_state = np.random.rand(), torch.get_rng_state()
    np.random.seed(5)
    try:
        torch.set_num_threads(2)
        demo.train(tmp_path, progress=watch, checkpoints=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert threads_inside == {1}
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.rand() == expected
    updates = [(update * few_games, 8 * few_games) for update in range(1, 9)]
    assert [call[:2] for call in calls] == updates
    assert len({rate for _, _, rate in calls if 0 <= rate <= 1}) > 1


def test_used_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RunError, match=re.escape(f"{tmp_path}: expected an empty folder")):
        demo.train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_of_two_at_once_in_one_folder_one_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lrpdyn import demo, errors\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    demo.train(Path(sys.argv[1]), seed=int(sys.argv[2]), checkpoints=2)\n"
        "except errors.RunError as error:\n"
        "    sys.exit(str(error))\n"
    )
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / ".lock.json").write_text("{}")  # of one that was killed
    both = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path / "demo", seed],
                         stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in "12"
    ]  # fmt: skip
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert "another process computes here" in "".join(said) or "an empty folder" in "".join(said)
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "checkpoints", "observations.npy"]  # fmt: skip
    winner = 1 + [process.returncode for process in both].index(0)
    demo.train(tmp_path / "alone", seed=winner, checkpoints=2)
    for path in (tmp_path / "alone").rglob("*.*"):
        there = tmp_path / "demo" / path.relative_to(tmp_path / "alone")
        assert there.read_bytes() == path.read_bytes()


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="cannot be made"):
            demo.train(directory)


@pytest.mark.parametrize(("seed", "checkpoints"), [(-1, 2), (0, 1)])
def test_impossible_requests_are_refused(tmp_path: Path, seed: int, checkpoints: int) -> None:
    with pytest.raises(UsageError, match=f"seed {seed} and {checkpoints} checkpoints"):
        demo.train(tmp_path / "new", seed, checkpoints=checkpoints)
    assert not (tmp_path / "new").exists()


def test_stopping_leaves_no_files_and_gives_threads_back(tmp_path: Path, few_games: int) -> None:
    threads = torch.get_num_threads()

    def stop(done: int, total: int, rate: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.train(tmp_path, progress=stop, checkpoints=2)
    assert torch.get_num_threads() == threads
    assert list(tmp_path.iterdir()) == []


def test_folder_that_vanishes_is_reported(tmp_path: Path, few_games: int) -> None:
    directory = tmp_path / "new"

    def remove(done: int, total: int, rate: float) -> None:
        if done == total:
            shutil.rmtree(directory)

    with pytest.raises(RunError, match="cannot be written"):
        demo.train(directory, progress=remove, checkpoints=2)
