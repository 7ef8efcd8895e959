"""Captum's LRP is read alone, and is Captum's own for whoever imports the whole of it later."""

from __future__ import annotations

import subprocess
import sys


def told(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_nothing_else_of_captum_is_loaded() -> None:
    loaded = told(
        "import sys, lrpdyn.lrp.attribution, lrpdyn.lrp.stock\n"
        "print([name for name in ('matplotlib', 'captum', 'captum.attr', 'captum.concept') "
        "if name in sys.modules])"
    )
    assert loaded == "[]\n"


def test_the_whole_of_captum_has_the_same_classes_before_and_after() -> None:
    same = "print(LRP is captum.attr.LRP, GammaRule is captum.attr._utils.lrp_rules.GammaRule)\n"
    ours = "from lrpdyn.lrp.captum_lrp import LRP, GammaRule\n"
    theirs = "import captum.attr\n"
    found = "from captum.attr import Saliency, visualization\nprint(captum.__version__ > '0')\n"
    assert told(theirs + ours + same + found) == "True True\nTrue\n"
    again = same.replace("captum.attr._utils.lrp_rules.GammaRule", "Gamma")
    named = "from captum.attr._utils.lrp_rules import GammaRule as Gamma\n"
    assert told(ours + theirs + named + again + found) == "True True\nTrue\n"
