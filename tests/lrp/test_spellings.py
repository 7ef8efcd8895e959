"""Rules as papers, Zennit and Captum write them, and values written otherwise than after a colon."""

from __future__ import annotations

import pytest

from lrpdyn.errors import UsageError
from lrpdyn.lrp.composites import COMPOSITES, parse_composite
from lrpdyn.lrp.registry import ALIASES, RULES


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("z+", "zplus"),
        ("z_plus", "zplus"),
        ("ZPlus", "zplus"),
        ("LRP-z+", "zplus"),
        ("Epsilon", "epsilon:1e-06"),
        ("EpsilonRule", "epsilon:1e-06"),
        ("LRP-γ:0.5", "gamma:0.5"),
        ("LRP-0", "lrp0"),
        ("ZBox:0,1", "zbox:0,1"),
        ("w²", "wsquare"),
        ("WSquare", "wsquare"),
        ("Alpha_Beta:2,1", "alphabeta:2,1"),
        ("Alpha1_Beta0_Rule", "alphabeta:1,0"),
        ("EpsilonAlpha2Beta1Flat", "epsilon-alpha2-beta1-flat"),
        ("epsilon_gamma_box", "epsilon-gamma-box"),
        ("z++AttnLRP", "zplus+attnlrp"),
        ("epsilon:1e+3", "epsilon:1000"),
    ],
)
def test_a_name_is_understood_however_it_is_written(text: str, meant: str) -> None:
    assert str(parse_composite(text)) == meant


@pytest.mark.parametrize("name", sorted({*RULES, *ALIASES, *COMPOSITES} - {"pass"}))
def test_capitals_and_hyphens_of_any_name_do_not_matter(name: str) -> None:
    known = str(parse_composite(name))
    for written in (name.upper(), name.replace("-", "_"), name.replace("-", "").title()):
        assert str(parse_composite(written)) == known


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gamma=0.25", "--rule gamma:0.25"),
        ("Gamma(0.25)", "--rule gamma:0.25"),
        ("gamma 0.5", "--rule gamma:0.5"),
        ("gamma0.5", "--rule gamma:0.5"),
        ("gamma:gamma=.3", "--rule gamma:.3"),
        ("alphabeta=2,1", "--rule alphabeta:2,1"),
        ("alphabeta:beta=1,alpha=2", "--rule alphabeta:2,1"),
        ("epsilon=1e-3", "--rule epsilon:1e-3"),
        ("gamma=-1", "gamma must be a number of 0 or more"),
        ("zpluss", "did you mean zplus"),
    ],
)
def test_values_written_otherwise_are_answered_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UsageError) as found:
        parse_composite(text)
    assert says in str(found.value)
    assert "\n" not in str(found.value)
