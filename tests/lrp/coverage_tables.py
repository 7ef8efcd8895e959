"""Which networks of other packages are explained, and how exactly: the tables of the documentation.

``python -m tests.lrp.coverage_tables torchvision|timm|sb3|cleanrl|torchrl [NAME...]`` makes each network
freshly, gives BatchNorm random statistics and perturbs scales and shifts, so that nothing is the
identity, and holds it in float64 against itself and against `tests.lrp.gradient_reference`. Each has
a process of its own, with a limit of time and memory. What was found is kept in
``build/coverage/TABLE.jsonl``: a second start goes on where the first stopped, and ``--again`` forgets it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import LrpdynError
from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise_fully
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.gradient_reference import lrp0_reference

FOLDER = Path("build/coverage")
MEMORY = 12 << 30
Made = tuple[nn.Module, Tensor]

_TORCHVISION = """
    alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t
    mnasnet1_0 mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnext50_32x4d
    shufflenet_v2_x1_0 squeezenet1_0 swin_t swin_v2_t vgg11 vgg11_bn vit_b_32 wide_resnet50_2
"""
#: 62 names, then 40 of other families.
_TIMM = """
    resnet18 resnet50d resnetv2_50 resnetv2_50x1_bit vit_tiny_patch16_224 deit_tiny_patch16_224 convnext_atto
    convnextv2_atto mobilenetv3_small_100 mobilenetv2_100 efficientnet_b0 tf_efficientnet_b0
    efficientnetv2_rw_t regnety_002 regnetx_002 mixer_s32_224 resmlp_12_224 gmlp_ti16_224 poolformer_s12
    poolformerv2_s12 nf_regnet_b0 nfnet_l0 dm_nfnet_f0 nf_resnet26 ghostnet_100 edgenext_xx_small
    swin_tiny_patch4_window7_224 eva02_tiny_patch14_224 densenet121 seresnet18 skresnet18
    res2net50_26w_4s dla34 hrnet_w18_small vgg11_bn xception41 inception_v4 repvgg_a0 convmixer_768_32
    levit_128s mobilevit_xxs fastvit_t8 vovnet39a selecsls42 cspresnet50 darknet53 resnest14d ecaresnet26t
    mnasnet_100 spnasnet_100 hardcorenas_a lcnet_050 rexnet_100 dpn48b tresnet_m inception_resnet_v2
    starnet_s1 mobileone_s0 mobilenetv4_conv_small pvt_v2_b0 cait_xxs24_224 test_resnet

    beit_base_patch16_224 beitv2_base_patch16_224 botnet26t_256 coat_tiny coatnet_nano_rw_224 convit_tiny
    crossvit_tiny_240 davit_tiny deit3_small_patch16_224 efficientformer_l1 efficientformerv2_s0
    efficientvit_b0 efficientvit_m0 eva02_small_patch14_224 fbnetc_100 focalnet_tiny_srf ghostnetv2_100
    gcresnet33ts hgnet_tiny hiera_tiny_224 inception_next_atto lambda_resnet26t legacy_seresnet18
    maxvit_nano_rw_256 maxxvit_rmlp_nano_rw_256 mambaout_femto mobilenetv4_hybrid_medium mvitv2_tiny
    nextvit_small pit_ti_224 repghostnet_050 repvit_m0_9 rdnet_tiny semnasnet_075 sequencer2d_s
    swinv2_tiny_window8_256 tiny_vit_5m_224 tinynet_e twins_pcpvt_small visformer_tiny
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one network; the differences are of the largest output and of the largest |R|."""

    name: str
    outcome: str
    outputs: float | None = None
    relevance: float | None = None


# Makers of networks.
def _settled(network: nn.Module) -> nn.Module:
    """Give BatchNorm statistics, and scales and shifts values, as training leaves them."""
    for module in network.modules():
        if isinstance(getattr(module, "running_var", None), Tensor):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[operator, union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[operator, union-attr]
    for parameter in network.parameters():
        values = parameter.data
        if values.numel() and bool((values == values.flatten()[0]).all()):
            if bool((values == 0).all()):
                values.normal_(0, 0.1)
            else:
                values.uniform_(0.5, 1.5)
    return network.double().eval()


def _torchvision(name: str) -> Made:
    from torchvision import models

    size = {"maxvit_t": 224, "inception_v3": 128, "vit_b_32": 64}.get(name, 64)
    given: dict[str, Any] = {"image_size": size} if name.startswith("vit") else {}
    if name in ("googlenet", "inception_v3"):
        given = {"aux_logits": False, "init_weights": False}
    network = models.get_model(name, num_classes=10, **given)
    return network, torch.randn(2, 3, size, size)


def _timm(name: str) -> Made:
    import timm

    sizes = (64, 96, 128, 160, 224, 240, 256)
    for size, given in [*((s, {"img_size": s}) for s in (64, 128)), *((s, {}) for s in sizes)]:
        try:
            network = timm.create_model(name, num_classes=10, **given).eval()
            x = torch.randn(2, 3, size, size)
            with torch.no_grad():
                network(x)
        except Exception:  # a size that it does not take
            continue
        return network, x
    raise ValueError(f"{name} takes no image of 64 to 256 pixels")


class _Path(nn.Module):
    """A framework's own network, and how it gets from observations to the outputs of one head."""

    def __init__(self, network: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


def _sb3() -> dict[str, Callable[[], Made]]:
    import gymnasium as gym
    import numpy as np
    from sb3_contrib.ars.policies import ARSPolicy
    from sb3_contrib.common.maskable.policies import (
        MaskableActorCriticCnnPolicy,
        MaskableActorCriticPolicy,
    )
    from sb3_contrib.common.recurrent.policies import (
        RecurrentActorCriticCnnPolicy,
        RecurrentActorCriticPolicy,
    )
    from sb3_contrib.crossq.policies import CrossQPolicy
    from sb3_contrib.qrdqn.policies import CnnPolicy as QuantileCnnPolicy
    from sb3_contrib.qrdqn.policies import QRDQNPolicy
    from sb3_contrib.tqc.policies import TQCPolicy
    from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
    from stable_baselines3.dqn.policies import CnnPolicy, DQNPolicy
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    box, images = gym.spaces.Box(-1, 1, (8,)), gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    discrete, torques = gym.spaces.Discrete(4), gym.spaces.Box(-1, 1, (3,))
    several, switches = gym.spaces.MultiDiscrete([3, 2]), gym.spaces.MultiBinary(3)

    def actor(policy: Any, x: Tensor) -> Tensor:
        features = policy.extract_features(x, policy.pi_features_extractor)
        return policy.action_net(policy.mlp_extractor.forward_actor(features))  # type: ignore[no-any-return]

    def recurrent(policy: Any, x: Tensor) -> Tensor:
        features = policy.extract_features(x, policy.pi_features_extractor)
        state = torch.zeros(1, x.shape[0], policy.lstm_actor.hidden_size, dtype=x.dtype)
        found, _ = policy.lstm_actor(features.unsqueeze(0), (state, state))
        return policy.action_net(policy.mlp_extractor.forward_actor(found.squeeze(0)))  # type: ignore[no-any-return]

    def squashed(policy: Any, x: Tensor) -> Tensor:
        actor = policy.actor
        return actor.mu(actor.latent_pi(actor.extract_features(x, actor.features_extractor)))  # type: ignore[no-any-return]

    def value(policy: Any, x: Tensor) -> Tensor:
        features = policy.extract_features(x, policy.vf_features_extractor)
        return policy.value_net(policy.mlp_extractor.forward_critic(features))  # type: ignore[no-any-return]

    def plain(policy: Any, x: Tensor) -> Tensor:
        return policy.q_net(x)  # type: ignore[no-any-return]

    def quantiles(policy: Any, x: Tensor) -> Tensor:
        return policy.quantile_net(x).mean(dim=1)  # type: ignore[no-any-return]

    def deterministic(policy: Any, x: Tensor) -> Tensor:
        return policy.actor(x)  # type: ignore[no-any-return]

    def linear(policy: Any, x: Tensor) -> Tensor:
        return policy.action_net(policy.extract_features(x, policy.features_extractor))  # type: ignore[no-any-return]

    kinds: dict[str, tuple[Any, Any, Any, Callable[[Any, Tensor], Tensor], dict[str, Any]]] = {
        "A2C MlpPolicy": (ActorCriticPolicy, box, discrete, actor, {}),
        "A2C CnnPolicy": (ActorCriticCnnPolicy, images, discrete, actor, {}),
        "PPO MlpPolicy": (ActorCriticPolicy, box, discrete, actor, {"net_arch": [32, 32]}),
        "PPO CnnPolicy": (ActorCriticCnnPolicy, images, discrete, actor, {"share_features_extractor": False}),
        "PPO MlpPolicy, Box": (ActorCriticPolicy, box, torques, actor, {}),
        "PPO MlpPolicy, gSDE": (ActorCriticPolicy, box, torques, actor, {"use_sde": True}),
        "PPO MlpPolicy, MultiDiscrete": (ActorCriticPolicy, box, several, actor, {}),
        "PPO MlpPolicy, MultiBinary": (ActorCriticPolicy, box, switches, actor, {}),
        "PPO MlpPolicy, value": (ActorCriticPolicy, box, discrete, value, {}),
        "PPO CnnPolicy, value": (ActorCriticCnnPolicy, images, discrete, value, {}),
        "TRPO MlpPolicy": (ActorCriticPolicy, box, discrete, actor, {"activation_fn": nn.ReLU}),
        "MaskablePPO MlpPolicy": (MaskableActorCriticPolicy, box, discrete, actor, {}),
        "MaskablePPO CnnPolicy": (MaskableActorCriticCnnPolicy, images, discrete, actor, {}),
        "RecurrentPPO MlpLstmPolicy": (RecurrentActorCriticPolicy, box, discrete, recurrent, {}),
        "RecurrentPPO CnnLstmPolicy": (RecurrentActorCriticCnnPolicy, images, discrete, recurrent, {}),
        "RecurrentPPO MlpLstmPolicy, Box": (RecurrentActorCriticPolicy, box, torques, recurrent, {}),
        "DQN MlpPolicy": (DQNPolicy, box, discrete, plain, {}),
        "DQN CnnPolicy": (CnnPolicy, images, discrete, plain, {}),
        "QRDQN MlpPolicy": (QRDQNPolicy, box, discrete, quantiles, {"n_quantiles": 20}),
        "QRDQN CnnPolicy": (QuantileCnnPolicy, images, discrete, quantiles, {"n_quantiles": 20}),
        "SAC MlpPolicy": (SACPolicy, box, torques, squashed, {}),
        "SAC MlpPolicy, gSDE": (SACPolicy, box, torques, squashed, {"use_sde": True}),
        "TD3 MlpPolicy": (TD3Policy, box, torques, deterministic, {}),
        "DDPG MlpPolicy": (TD3Policy, box, torques, deterministic, {"n_critics": 1}),
        "TQC MlpPolicy": (TQCPolicy, box, torques, squashed, {}),
        "CrossQ MlpPolicy": (CrossQPolicy, box, torques, squashed, {}),
        "ARS LinearPolicy": (ARSPolicy, box, discrete, linear, {"net_arch": []}),
    }  # fmt: skip

    def maker(kind: Any, seen: Any, done: Any, call: Any, given: Any) -> Callable[[], Made]:
        def make() -> Made:
            schedule = () if kind is ARSPolicy else (lambda _: 1e-3,)
            policy = kind(seen, done, *schedule, **given)
            divisor = 255.0 if seen is images else 1.0
            for module in policy.modules():
                if hasattr(module, "extract_features"):  # its own rounds to float32
                    module.extract_features = lambda x, extractor=None, own=module: (
                        extractor or own.features_extractor
                    )(x / divisor)
            x = torch.randn(2, 8) if seen is box else torch.randint(0, 256, (2, 4, 84, 84)).float()
            return _Path(policy, call), x

        return make

    return {name: maker(*parts) for name, parts in kinds.items()}


def _chain(*sizes: int, activation: type[nn.Module] = nn.ReLU, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), *([nn.LayerNorm(after)] if norm else []), activation()]
    return nn.Sequential(*layers[: -2 if norm else -1])


def _nature(*end: nn.Module, channels: int = 4, normed: bool = False) -> nn.Sequential:
    sizes = [(channels, 32, 8, 4, 20), (32, 64, 4, 2, 9), (64, 64, 3, 1, 7)]
    layers: list[nn.Module] = []
    for before, after, kernel, stride, side in sizes:
        layers.append(nn.Conv2d(before, after, kernel, stride))
        layers += [nn.LayerNorm([after, side, side])] if normed else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), *end)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inputs = x
        x = self.conv0(F.relu(x))
        return self.conv1(F.relu(x)) + inputs


def _procgen() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.MaxPool2d(3, 2, 1)]
        layers += [_Residual(after), _Residual(after)]
    layers += [nn.Flatten(), nn.ReLU(), nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, 15)]
    return nn.Sequential(*layers)


class _Memory(nn.Module):
    """One step of the agents with an LSTM, from a first state of zeros."""

    def __init__(self, normed: bool = False) -> None:
        super().__init__()
        self.network = _nature(channels=1, normed=normed)
        self.lstm, self.actor = nn.LSTM(512, 128), nn.Linear(128, 6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.network(x / 255.0)
        state = torch.zeros(1, x.shape[0], 128, dtype=x.dtype)
        batch_size = state.shape[1]
        hidden = hidden.reshape((-1, batch_size, self.lstm.input_size))
        found = []
        for h in hidden:
            h, _ = self.lstm(h.unsqueeze(0), (state, state))
            found += [h]
        return self.actor(torch.flatten(torch.cat(found), 0, 1))


class _Transformer(nn.Module):
    """ppo_trxl: attention of the last step to a memory that is fixed, here of a hundred steps."""

    def __init__(self, size: int = 64, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.heads, self.encoder = heads, nn.Linear(8, size)
        self.register_buffer("memories", torch.randn(layers, 20, size))
        self.register_buffer("mask", torch.arange(20) < 15)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: nn.Linear(size, size, bias=name in ("out", "fc"))
                    for name in ("v", "k", "q", "out", "fc")
                }
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3 * layers))
        self.hidden, self.actor = nn.Linear(size, size), nn.Linear(size, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.encoder(x))
        for index, block in enumerate(self.blocks):
            norm_q, norm_kv, norm_out = self.norms[3 * index : 3 * index + 3]
            query = norm_q(x).unsqueeze(1)
            kept = norm_kv(self.memories[index]).expand(x.shape[0], -1, -1)
            n, length, size = query.shape[0], kept.shape[1], query.shape[-1]
            values = block["v"](kept).reshape(n, length, self.heads, -1)
            keys = block["k"](kept).reshape(n, length, self.heads, -1)
            queries = block["q"](query).reshape(n, 1, self.heads, -1)
            energy = torch.einsum("nqhd,nkhd->nhqk", [queries, keys])
            energy = energy.masked_fill(self.mask == 0, float("-1e20"))
            weights = torch.softmax(energy / (size**0.5), dim=3)
            out = torch.einsum("nhql,nlhd->nqhd", [weights, values]).reshape(n, 1, size)
            h = block["out"](out).squeeze(1) + x
            x = F.relu(block["fc"](norm_out(h))) + h
        return self.actor(F.relu(self.hidden(x)))


def _cleanrl() -> dict[str, Callable[[], Made]]:
    def vectors(make: Callable[[], nn.Module]) -> Callable[[], Made]:
        return lambda: (make(), torch.randn(2, 8))

    def images(
        make: Callable[[], nn.Module], channels: int = 4, scaled: bool = True
    ) -> Callable[[], Made]:
        def made() -> Made:
            network = make()
            call = (lambda m, x: m(x / 255.0)) if scaled else (lambda m, x: m(x))
            return _Path(network, call), torch.randint(0, 256, (2, channels, 84, 84)).float()

        return made

    def distribution(network: nn.Module, units: int) -> nn.Module:
        atoms = torch.linspace(-10, 10, 51, dtype=torch.float64)

        def call(m: nn.Module, x: Tensor) -> Tensor:
            shares = torch.softmax(m(x).view(len(x), units, 51), dim=2)
            return (shares * atoms).sum(2)

        return _Path(network, call)

    def players(m: nn.Module, x: Tensor) -> Tensor:
        # The script divides in place, outside of its network.
        largest = torch.tensor([255.0, 255, 255, 255, 1, 1], dtype=x.dtype).reshape(1, 6, 1, 1)
        return m(x / largest)

    tanh = {"activation": nn.Tanh}
    return {
        "ppo": vectors(lambda: _chain(8, 64, 64, 4, **tanh)),
        "ppo_continuous_action": vectors(lambda: _chain(8, 64, 64, 3, **tanh)),
        "rpo_continuous_action": vectors(lambda: _chain(8, 64, 64, 3, **tanh)),
        "ppo_atari": images(lambda: _nature(nn.Linear(512, 6))),
        "ppo_atari_envpool": images(lambda: _nature(nn.Linear(512, 6))),
        "ppo_atari_lstm": lambda: (_Memory(), torch.randint(0, 256, (2, 1, 84, 84)).float()),
        "ppo_procgen": lambda: (_procgen(), torch.rand(2, 3, 64, 64)),
        "ppg_procgen": lambda: (_procgen(), torch.rand(2, 3, 64, 64)),
        "ppo_rnd_envpool": images(
            lambda: _nature(nn.Linear(512, 448), nn.ReLU(), nn.Linear(448, 6))
        ),
        "ppo_pettingzoo_ma_atari": lambda: (
            _Path(_nature(nn.Linear(512, 6), channels=6), players),
            torch.randint(0, 256, (2, 6, 84, 84)).float(),
        ),
        "ppo_trxl": vectors(_Transformer),
        "dqn": vectors(lambda: _chain(8, 120, 84, 4)),
        "dqn_atari": images(lambda: _nature(nn.Linear(512, 6))),
        "c51": vectors(lambda: distribution(_chain(8, 120, 84, 4 * 51), 4)),
        "c51_atari": images(lambda: distribution(_nature(nn.Linear(512, 6 * 51)), 6)),
        "qdagger_dqn_atari_impalacnn": lambda: (_procgen(), torch.rand(2, 3, 64, 64)),
        "pqn": vectors(lambda: _chain(8, 120, 84, 4, norm=True)),
        "pqn_atari_envpool": images(lambda: _nature(nn.Linear(512, 6), normed=True)),
        "pqn_atari_envpool_lstm": lambda: (
            _Memory(normed=True), torch.randint(0, 256, (2, 1, 84, 84)).float(),
        ),
        "ddpg_continuous_action": vectors(lambda: nn.Sequential(_chain(8, 256, 256, 3), nn.Tanh())),
        "td3_continuous_action": vectors(lambda: nn.Sequential(_chain(8, 256, 256, 3), nn.Tanh())),
        "sac_continuous_action": vectors(lambda: _chain(8, 256, 256, 3)),
        "sac_atari": images(lambda: _nature(nn.Linear(512, 6))),
    }  # fmt: skip


def _torchrl() -> dict[str, Callable[[], Made]]:
    from torchrl.modules import (
        MLP,
        ConvNet,
        DdpgCnnActor,
        DdpgMlpActor,
        DuelingCnnDQNet,
        LSTMModule,
    )

    def one_step(module: Any, x: Tensor) -> Tensor:
        return module.lstm(x[:, None])[0][:, 0]  # type: ignore[no-any-return]

    made: dict[str, Callable[[], nn.Module]] = {
        "MLP": lambda: MLP(in_features=8, out_features=4, num_cells=[32, 32]),
        "ConvNet": lambda: nn.Sequential(
            ConvNet(in_features=4, num_cells=[8, 8, 8], kernel_sizes=[8, 4, 3], strides=[4, 2, 1]),
            nn.Linear(392, 6),
        ),
        "DuelingCnnDQNet": lambda: DuelingCnnDQNet(out_features=4, cnn_kwargs={"in_features": 4}),
        "DdpgMlpActor": lambda: DdpgMlpActor(action_dim=3),
        "DdpgCnnActor": lambda: DdpgCnnActor(action_dim=3),
        "LSTMModule": lambda: nn.Sequential(
            _Path(LSTMModule(8, 16, in_keys=["o", "h", "c"], out_keys=["a", ("next", "h"), ("next", "c")]),
                  one_step),
            nn.Linear(16, 4),
        ),
    }  # fmt: skip

    def maker(name: str) -> Callable[[], Made]:
        def make() -> Made:
            x = (
                torch.randn(2, 4, 84, 84)
                if name in ("ConvNet", "DuelingCnnDQNet", "DdpgCnnActor")
                else torch.randn(2, 8)
            )
            network = made[name]()
            with torch.no_grad():
                network(x)  # lazy layers learn their sizes
            return network, x

        return make

    return {name: maker(name) for name in made}


def _table(name: str) -> dict[str, Callable[[], Made]]:
    if name in ("torchvision", "timm"):
        make, names = (_torchvision, _TORCHVISION) if name == "torchvision" else (_timm, _TIMM)
        return {network: lambda network=network: make(network) for network in names.split()}
    return {"sb3": _sb3, "cleanrl": _cleanrl, "torchrl": _torchrl}[name]()


# One network, and all of a table.
def judged(name: str, make: Callable[[], Made]) -> Row:
    """Explain a network and hold it against itself and the reference."""
    torch.manual_seed(0)
    network, x = make()
    network, x = _settled(network), x.double()
    with torch.no_grad():
        plain = network(x)
    try:
        canonised = canonise_fully(network, example=x)
        plan = make_plan(canonised.explained, parse_composite("lrp0"), x[:1])
    except LrpdynError as error:
        return Row(name=name, outcome=f"refused: {error}")
    with torch.no_grad():
        found, explained = canonised.reference(x), canonised.explained(x)
    off = float((found - plain).abs().max() / plain.abs().max())
    if explained.shape != plain.shape or not torch.allclose(explained, plain):
        # The reference knows nothing of a softmax or a sigmoid that is left out.
        outcome = "explained at the logits" if off <= 1e-8 else "differs outputs"
        return Row(name=name, outcome=outcome, outputs=off)
    rows = contrast_rows(explained, explained.argmax(1), "none")
    done = relevance(canonised.explained, plan, x, rows)
    expected = lrp0_reference(network, x, rows)
    away = float((done - expected).abs().max() / expected.abs().max())
    right = off <= 1e-8 and away <= 1e-8
    return Row(name=name, outcome="explained" if right else "differs", outputs=off, relevance=away)


def _alone(table: str, name: str, seconds: float) -> Row:
    """Judge a network in a process of its own."""
    program = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.lrp.coverage_tables",
        table,
        name,
        "--here",
    ]

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))

    try:
        done = subprocess.run(
            program, capture_output=True, text=True, timeout=seconds, check=False, preexec_fn=bounded
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Row(name=name, outcome=f"not finished in {seconds:.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Row(name=name, outcome=f"FAILED: {last}")
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def _rows(path: Path) -> Iterator[Row]:
    for line in path.read_text().splitlines() if path.exists() else []:
        yield Row(**json.loads(line))


def _as_markdown(rows: list[Row]) -> str:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.0e}"

    lines = ["| network | outcome | outputs | relevance |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {r.name} | {r.outcome} | {shown(r.outputs)} | {shown(r.relevance)} |" for r in rows
    ]
    explained = sum(r.outcome.startswith("explained") for r in rows)
    return "\n".join([*lines, "", f"{explained} of {len(rows)} explained"])


def main() -> None:
    """Judge all networks of a table, or those that are named, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=["torchvision", "timm", "sb3", "cleanrl", "torchrl"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--here", action="store_true", help="in this process, as JSON")
    given = parser.parse_args()
    table = _table(given.table)
    names = given.names or list(table)
    if given.here:
        torch.set_num_threads(1)
        print(json.dumps(asdict(judged(names[0], table[names[0]]))))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{given.table}.jsonl"
    known = {row.name: row for row in _rows(path) if not (given.again and row.name in names)}
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in known.values()))
    for name in names:
        if name not in known:
            known[name] = _alone(given.table, name, given.seconds)
            print(f"{name}: {known[name].outcome}", file=sys.stderr, flush=True)
            with path.open("a") as file:
                file.write(json.dumps(asdict(known[name])) + "\n")
    print(_as_markdown([known[name] for name in names]))


if __name__ == "__main__":
    main()
