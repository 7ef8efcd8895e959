"""lrpdyn record, as a user calls it, and compute on what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpdyn import open_run
from tests.cli.processes import lrpdyn
from tests.recording.training import cart_pole, quietly, save_series

LAST = "ckpts/rl_model_128_steps.zip"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of PPO on CartPole."""
    folder = tmp_path_factory.mktemp("user")
    cart_pole(folder / "ckpts")
    return folder


def test_record_and_compute(user: Path) -> None:
    found = lrpdyn("record", "CartPole-v1", LAST, "-o", "obs.npz", "--n", 8, "--seed", 4, cwd=user)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "obs.npz\n"
    assert "Recorded 8 observations of" in found.stderr
    assert "outputs of ActorCriticPolicy at step 128, head policy." in " ".join(
        found.stderr.split()
    )
    assert "Next lrpdyn compute ckpts obs.npz" in " ".join(found.stderr.split())
    found = lrpdyn("compute", "ckpts", "obs.npz", "--baseline", "none", cwd=user)
    assert found.returncode == 0, found.stderr
    said = " ".join(found.stderr.split())
    assert "The network is yours: outputs as recorded at step 128 (8 of 8 samples;" in said
    wrong = ("--arch-arg", "activation=relu", "-o", "wrong")
    found = lrpdyn("compute", "ckpts", "obs.npz", *wrong, cwd=user)
    assert found.returncode == 1
    assert "with --arch-arg activation=tanh they are equal" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (user / "wrong" / "manifest.json").exists()


def test_objects_of_an_earlier_recording_are_named(user: Path) -> None:
    record = ("record", "CartPole-v1", LAST, "-o", "anew.npz", "--n", 2, "-q")
    assert lrpdyn(*record, cwd=user).stderr == ""
    (user / "anew-objects.npz").touch()
    found = lrpdyn(*record, cwd=user)
    assert found.returncode == 0, found.stderr
    assert "Note: anew-objects.npz is not of this recording; delete it" in found.stderr


@pytest.mark.slow
def test_actions_have_the_names_that_a_recording_keeps(tmp_path: Path) -> None:
    with quietly():
        import ale_py
        import gymnasium
        from stable_baselines3 import DQN

        gymnasium.register_envs(ale_py)
        env = gymnasium.make("PongNoFrameskip-v4", obs_type="ram")
        small = {"net_arch": [8]}
        save_series(
            DQN("MlpPolicy", env, seed=0, buffer_size=10, policy_kwargs=small), tmp_path / "ckpts"
        )
    ram = ("--env-kwarg", "obs_type=ram", "-o", "obs.npz", "--n", 4)
    found = lrpdyn("record", "PongNoFrameskip-v4", LAST, *ram, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    quick = ("--baseline", "none", "--faithfulness", "none", "--interventions", 0)
    found = lrpdyn("compute", "ckpts", "obs.npz", *quick, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    actions = env.unwrapped.get_action_meanings()
    names = open_run(tmp_path / "lrpdyn-run").manifest["names"]
    assert names == {
        "units": {str(unit): name for unit, name in enumerate(actions)},
        "from": {"units": "the recording"},
    }
    found = lrpdyn("report", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    page = (tmp_path / "lrpdyn-run" / "report.html").read_text()
    assert all(name in page for name in actions)


def test_the_objects_of_a_game_are_regions_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ocatari")
    with quietly():
        import ale_py
        import gymnasium
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        gymnasium.register_envs(ale_py)
        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", 1, seed=0), 4)
        model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    save_series(model, tmp_path / "ckpts")
    pong = ("PongNoFrameskip-v4", LAST, "--atari", "--n", 4, "--every", 40)
    found = lrpdyn("record", *pong, "--objects", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "obs.npz\nobs-objects.npz\n"
    said = " ".join(found.stderr.split())
    assert "Player 0." in said
    assert "Next lrpdyn compute ckpts obs.npz --regions obs-objects.npz" in said
    assert (tmp_path / "obs-objects.png").stat().st_size > 10_000
    quick = ("--baseline", "none", "--faithfulness", "none", "--interventions", 0)
    masks = ("--regions", "obs-objects.npz")
    found = lrpdyn("compute", "ckpts", "obs.npz", *quick, *masks, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    share = open_run(tmp_path / "lrpdyn-run").metrics["share_Enemy"]
    assert (share[-3:] > 0).all()  # it comes after the first observation


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("Nowhere-v1", LAST), 1, "pip install 'lrpdyn[record]'"),
        (
            ("CartPole-v1", LAST, "--head", "q"),
            2,
            "the heads of a ActorCriticPolicy are policy, value",
        ),
        (("CartPole-v1", LAST, "--env-kwarg", "gravity"), 2, "expected KEY=VALUE"),
        (("CartPole-v1", LAST, "--objects"), 2, "--objects: CartPole-v1 is no Atari game"),
        (
            ("CartPole-v1", LAST, "--env-kwarg", "nothing=1"),
            1,
            "cannot be made with nothing 1",
        ),
    ],
)
def test_refusals(user: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    found = lrpdyn("record", *arguments, cwd=user)
    assert found.returncode == code, found.stderr
    assert says in found.stderr
    assert "Traceback" not in found.stderr


def test_without_the_extra_it_is_named(user: Path) -> None:
    (user / "gymnasium.py").write_text("raise ImportError(\"No module named 'gymnasium'\")")
    try:
        found = lrpdyn("record", "CartPole-v1", LAST, "-o", "none.npz", cwd=user)
    finally:
        (user / "gymnasium.py").unlink()
    assert found.returncode == 1
    assert "No module named 'gymnasium'): pip install 'lrpdyn[record]'" in found.stderr
