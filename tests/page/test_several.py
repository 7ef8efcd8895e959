"""The page of several runs, as data and in a real browser without a network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from playwright.sync_api import expect, sync_playwright

import lrpdyn
from lrpdyn.cli.report import command as report
from lrpdyn.errors import UsageError
from lrpdyn.page.report import write_several
from lrpdyn.page.several import several_of
from tests.page.unpacking import almost, values_of
from tests.small_runs import UNCHECKED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def other_rule(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """A run of the images under epsilon, over fewer steps."""
    out = tmp_path_factory.mktemp("other") / "run"
    return lrpdyn.compute(ppo_folder, images, out=out, rule="epsilon", limit=3, **UNCHECKED)


def test_it_has_the_maps_of_every_run_at_the_same_progress(
    image_run: lrpdyn.Run, other_rule: lrpdyn.Run
) -> None:
    page = several_of([image_run, other_rule, image_run])
    assert list(page.groups) == ["zplus", "epsilon:1e-06"]
    assert [place for place, _ in page.groups["zplus"]] == [0, 2]
    assert page.second == 1
    assert page.runs[1].steps == other_rule.steps
    assert "3 points of training are shown." in page.notes
    for run, one in zip((image_run, other_rule), page.runs, strict=False):
        assert one.view.signed  # epsilon has both signs: all have the same colours
        for place, step in enumerate(one.steps):
            exact = run.relevance[step][2].astype(np.float64).sum(axis=0)
            assert almost(values_of(one.view, place, 2), exact, one.view.levels)


def test_what_has_no_room_is_left_out_and_said(image_run: lrpdyn.Run) -> None:
    pixels = int(np.prod(image_run.shape[-2:]))
    page = several_of([image_run] * 2, most_pixels=2 * 4 * 2 * pixels)
    assert len(page.samples) == 2
    assert f"2 of {image_run.shape[0]} samples are shown." in page.notes
    page = several_of([image_run] * 2, most_pixels=2 * 3 * pixels)
    assert [len(page.samples), len(page.runs[0].steps)] == [1, 3]
    with pytest.raises(UsageError, match="4 runs have no room on one page; give at most 3"):
        several_of([image_run] * 4, most_pixels=6 * pixels)


def test_runs_of_other_observations_and_options_of_one_run_are_refused(
    image_run: lrpdyn.Run, flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="have other observations"):
        write_several([image_run, flat_run], tmp_path / "a.html")
    for arguments, says in (
        (
            [str(image_run.path), str(flat_run.path), "--name", "x"],
            "--name: is for the page of one run",
        ),
        ([str(image_run.path), "--by", "seed"], "--by seed: groups several runs, found one"),
        ([str(image_run.path), "-o", str(tmp_path)], f"is a folder, .* -o {tmp_path}/report.html"),
    ):
        done = CliRunner().invoke(report, ["-o", str(tmp_path / "a.html"), *arguments])
        assert re.search(says, str(done.exception))
    assert not (tmp_path / "a.html").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_a_swipe_wipes_between_two_runs(
    image_run: lrpdyn.Run, other_rule: lrpdyn.Run, flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    given = [str(image_run.path), str(other_rule.path), "-o", str(tmp_path / "both.html")]
    done = CliRunner().invoke(report, given, catch_exceptions=False)
    assert done.output.endswith(f"{tmp_path / 'both.html'}\n")
    write_several([flat_run, flat_run], tmp_path / "flat.html")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((tmp_path / "both.html").as_uri())
        page.wait_for_selector("body[data-ready=all]")
        painted = "id => document.getElementById(id).toDataURL()"
        left, right = page.evaluate(painted, "left-map"), page.evaluate(painted, "right-map")
        assert left != right
        expect(page.locator("#right-says")).to_contain_text("epsilon:1e-06, steps 48.")
        page.locator("#swipe").fill("20")
        expect(page.locator("#right-map")).to_have_css("clip-path", re.compile(r"20%\)"))
        expect(page.locator("#left-map")).to_have_css("clip-path", re.compile(r"80%"))
        page.locator("#exchange").click()
        expect(page.locator("#left-says")).to_contain_text("epsilon:1e-06")
        assert page.evaluate(painted, "left-map") == right
        assert page.evaluate(painted, "right-map") == left
        page.locator("#step").fill("0")
        expect(page.locator("#left-says")).to_contain_text("steps 0.")
        page.locator("#right").select_option("1")
        expect(page.locator("#right-says")).to_contain_text("epsilon:1e-06")
        assert page.evaluate(painted, "left-map") == page.evaluate(painted, "right-map")
        assert page.locator("optgroup").first.get_attribute("label") == "zplus"
        page.goto((tmp_path / "flat.html").as_uri())
        page.wait_for_selector("body[data-ready=all]")
        browser.close()
    assert complaints == []
