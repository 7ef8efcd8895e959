"""A page as HTML: escaped, with no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import lrpdyn
from lrpdyn.files.atomic import sha256_of
from lrpdyn.page.page import page_of
from lrpdyn.page.render import _with_whole_options, as_html
from lrpdyn.run.manifest import save_manifest
from tests.page.elements import Elements

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


def hostile(folder: Path) -> Path:
    """Put markup wherever the run holds text of others."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["command"] = manifest["rule"]["name"] = manifest["unit"] = HOSTILE
    manifest["checkpoints"][0]["path"] = manifest["checkpoints"][1]["reason"] = HOSTILE
    manifest["observations"]["files"] = [HOSTILE]
    report = json.loads((folder / "outliers.json").read_text())
    report["pathologies"][0]["causes"][0]["evidence"] = HOSTILE
    (folder / "outliers.json").write_text(json.dumps(report))
    manifest["files"]["outliers.json"] = sha256_of(folder / "outliers.json")
    save_manifest(folder, manifest)
    return folder


def test_only_scripts_that_are_known_may_run(image_run: lrpdyn.Run) -> None:
    text = as_html(page_of(image_run))
    elements = Elements(text).found
    (policy,) = (a["content"] or "" for t, a in elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    run = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(run) == 2
    for script in run:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_options_are_whole_and_the_rest_is_escaped() -> None:
    assert _with_whole_options("Take --rule gamma: <b>") == (
        'Take <span class="whole">--rule gamma:</span> &lt;b&gt;'
    )


def test_text_of_the_run_is_never_markup(
    copied: Callable[[str], Path], image_run: lrpdyn.Run
) -> None:
    folder = hostile(copied("<b onclick=alert(1)>&\"'"))
    text = as_html(page_of(lrpdyn.open_run(folder), note=HOSTILE))
    plain = as_html(page_of(image_run, note="plain"))
    page, expected = Elements(text), Elements(plain)
    assert [tag for tag, _ in page.found] == [tag for tag, _ in expected.found]
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)
    assert page.text.count(HOSTILE) >= 6
    assert "<b onclick=alert(1)>&\"'" in page.text
