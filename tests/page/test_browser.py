"""The page in a real browser without a network: what a person does, and what they then see."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect, sync_playwright

import lrpdyn
from lrpdyn.page.report import write_report
from lrpdyn.run.trust import trust_lines
from tests.page.test_render import hostile
from tests.run.measured import with_faithfulness
from tests.small_runs import UNCHECKED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH: the page is not opened in a browser"
)
expect.set_options(timeout=30_000)  # a failure takes as long; a machine with other work may
#: What a person may look at after a test run; git ignores it.
PICTURES = Path(__file__).parents[2] / "build" / "report-page"


@dataclass
class Opened:
    """A page, and what it asked for and complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def pictures(self) -> list[str]:
        """Return a digest of what each map shows."""
        urls: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('.picture canvas')].map((c) => c.toDataURL())"
        )
        return [hashlib.sha256(url.encode()).hexdigest() for url in urls]

    def pictures_unlike(self, before: list[str]) -> list[str]:
        """Return what the maps show, once it is something else."""
        deadline = time.monotonic() + 10
        while (now := self.pictures()) == before and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        return now

    def scores(self) -> list[str]:
        return self.page.locator('[data-series="score"]').all_text_contents()

    def at(self, step: str) -> None:
        """Wait until all maps show a step."""
        expect(self.page.locator("#now")).to_contain_text(step)
        plain = step.replace(",", "")
        for canvas in self.page.locator(".picture canvas").all():
            expect(canvas).to_have_attribute("data-step", plain)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Containers have no user namespaces; the page is ours.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def written(image_run: lrpdyn.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(image_run, tmp_path_factory.mktemp("page") / "report.html").path


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def opened(path: Path, **options: Any) -> Opened:
        context = browser.new_context(offline=True, **{"reduced_motion": "reduce", **options})
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.set_default_timeout(20_000)
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on(
            "console",
            lambda message: (
                found.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        found.page.goto(path.as_uri())
        found.page.wait_for_selector("html[data-ready=all]", state="attached")
        return found

    yield opened
    for context in contexts:
        context.close()


def keep_picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light", "viewport": {"width": 1400, "height": 900}}),
        ("dark", {"color_scheme": "dark", "viewport": {"width": 1400, "height": 900}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "has_touch": True}),
    ],
)
def test_it_opens_without_a_complaint_and_asks_for_nothing(
    show: Callable[..., Opened], written: Path, name: str, options: dict[str, Any]
) -> None:
    found = show(written, **options)
    found.at("48")
    keep_picture(found.page, name)
    assert found.complaints == []
    # What a page holds in itself is no request to anyone.
    assert [url for url in found.asked if not url.startswith("data:")] == [written.as_uri()]
    width = found.page.evaluate("document.documentElement.scrollWidth")
    assert width == options["viewport"]["width"]
    paper = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 22, 26)" if name == "dark" else "rgb(251, 250, 248)")
    if name == "light":
        found.page.get_by_role("button", name="Dark colours").click()
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
        assert found.complaints == []


def test_the_slider_changes_pictures_and_numbers(
    show: Callable[..., Opened], written: Path, image_run: lrpdyn.Run
) -> None:
    found = show(written)
    last, last_scores = found.pictures(), found.scores()
    assert len(set(last)) == 4
    slider = found.page.get_by_role("slider", name="Step")
    slider.fill("2")
    found.at("32")
    assert all(a != b for a, b in zip(found.pictures(), last, strict=True))
    assert found.scores() != last_scores
    exact = image_run.metrics["score"][image_run.metrics["step"] == 32]
    assert [float(text) for text in found.scores()] == pytest.approx(exact.tolist(), rel=0.05)
    expect(slider).to_have_attribute("aria-valuetext", "step 32, flagged")
    slider.fill("3")
    found.at("48")
    assert found.pictures() == last
    assert found.complaints == []


def test_whether_the_maps_can_be_trusted_stands_above_them(
    show: Callable[..., Opened], copied: Callable[[str], Path]
) -> None:
    run = with_faithfulness(copied("measured"))
    found = show(write_report(run).path)
    section = found.page.get_by_role("region", name="Can you trust the maps?")
    terms, texts = section.locator("dt"), section.locator("dd")
    said = list(zip(terms.all_inner_texts(), texts.all_inner_texts(), strict=True))
    assert said == trust_lines(run)
    picture = section.get_by_role("img", name="Faithfulness of the maps over training")
    assert picture.evaluate("image => image.naturalWidth") == 1037
    below = found.page.locator("#maps").bounding_box()
    here = section.bounding_box()
    assert below is not None
    assert here is not None
    assert here["y"] + here["height"] <= below["y"]
    assert found.complaints == []


def test_playing_goes_through_all_steps(show: Callable[..., Opened], written: Path) -> None:
    found = show(written)
    found.page.evaluate(
        "() => { window.seen = []; new MutationObserver(() => window.seen.push("
        "document.getElementById('now').textContent)).observe("
        "document.getElementById('now'), { childList: true }); }"
    )
    found.page.get_by_role("button", name="Play").click()  # from the end: from the start
    expect(found.page.get_by_role("button", name="Pause")).to_be_hidden()
    found.at("48")
    assert found.page.evaluate("window.seen") == ["0", "16", "⚑ 32", "48"]
    expect(found.page.get_by_role("button", name="Play")).to_be_visible()
    assert found.complaints == []


def test_an_outlier_row_jumps(show: Callable[..., Opened], written: Path) -> None:
    found = show(written)
    page = found.page
    row = page.locator("#findings tbody tr[data-kind=pathologies]").first
    expect(row).to_contain_text("duplicate checkpoint")
    row.get_by_role("button").click()
    found.at("32")
    expect(page.locator("#now")).to_contain_text("⚑")
    cell = page.locator("#findings tbody tr[data-kind=cells]").first
    sample = cell.get_attribute("data-sample")
    cell.get_by_role("button").press("Enter")
    found.at(cell.get_attribute("data-step") or "")
    chosen = page.get_by_role("button", name=f"Sample {sample}", exact=True)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(chosen).to_be_in_viewport()
    page.get_by_role("combobox", name="Kind").select_option("samples")
    expect(page.locator("#findings tbody tr:visible")).to_have_count(3)
    assert found.complaints == []


def test_the_keyboard_does_all_of_it(show: Callable[..., Opened], written: Path) -> None:
    found = show(written)
    page = found.page
    page.keyboard.press("ArrowLeft")
    found.at("32")
    expect(page.get_by_role("status").last).to_contain_text("step 32, sample 0: score")
    page.keyboard.press("Home")
    found.at("0")
    page.keyboard.press("Shift+ArrowRight")
    found.at("32")
    page.keyboard.press("End")
    found.at("48")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the step slider")).to_be_focused()
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name="Step")
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowLeft")
    found.at("32")
    picture = page.locator(".picture").nth(1)
    picture.focus()
    words = re.compile(r"^Relevance of sample 1 at step 32, strongest at row \d+, column \d+ with ")
    expect(picture).to_have_attribute("aria-label", words)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#readout")).to_contain_text("Sample 1, row 43, column 1: R ")
    page.keyboard.press("Enter")
    expect(page.locator("#history-words")).to_contain_text("Sample 1, row 43, column 1.")
    expect(page.locator("#history-figures")).to_have_attribute("data-relevance", f"1 {43 * 84 + 1}")
    found.at("32")  # arrows within a map leave the step alone
    page.keyboard.press("Space")
    assert found.complaints == []


def test_the_pointer_tells_a_pixel_and_a_click_its_history(
    show: Callable[..., Opened], written: Path, image_run: lrpdyn.Run
) -> None:
    found = show(written, viewport={"width": 1400, "height": 900})
    page = found.page
    canvas = page.locator(".picture canvas").nth(2)
    box = canvas.bounding_box()
    assert box is not None
    place = {"x": box["width"] * 10.5 / 84, "y": box["height"] * 60.5 / 84}
    canvas.hover(position=place)
    readout = page.locator("#readout")
    expect(readout).to_contain_text("Sample 2, row 60, column 10: R ")
    exact = image_run.relevance[48][2, :, 60, 10].sum()
    told = (readout.text_content() or "").split(": R ")[1].split(",")[0]
    largest = float(abs(image_run.relevance[48][2].sum(axis=0)).max())
    assert float(told) == pytest.approx(float(exact), rel=0.1, abs=0.01 * largest)
    canvas.click(position=place)
    expect(page.locator("#history-figures")).to_have_attribute(
        "data-relevance", f"2 {60 * 84 + 10}"
    )
    drawn = page.evaluate("Bokeh.documents.at(-2).get_model_by_name('one').data")
    assert drawn["x"] == [0, 16, 32, 48]
    assert drawn["y"][3] == pytest.approx(float(told), rel=0.05)
    found_lines = page.evaluate("Bokeh.documents[0].get_model_by_name('one').data.y")
    scores = image_run.metrics["score"].reshape(4, 4)[:, 2]
    assert found_lines == pytest.approx(scores.tolist(), rel=1e-4)


def test_a_page_of_tables_by_step_shows_no_numbers_of_samples(
    show: Callable[..., Opened], ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    run = lrpdyn.compute(ppo_folder, images, out=tmp_path / "run", tables="steps", **UNCHECKED)
    found = show(write_report(run).path)
    page = found.page
    assert found.scores() == ["–"] * 4
    assert page.locator(".unit").all_text_contents() == [""] * 4
    page.keyboard.press("ArrowLeft")
    found.at("32")
    drawn = page.evaluate("Bokeh.documents[0].get_model_by_name('one').data.y")
    assert drawn == pytest.approx(run.metrics["score_median"].tolist(), rel=1e-4)
    page.locator("#numbers summary").click()
    cells = page.locator("#numbers tbody tr").first.locator("td")
    expect(cells.nth(1)).to_have_text("–")
    assert found.complaints == []


def test_views_scales_and_opacity_change_the_pictures(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written)
    page = found.page
    seen = [found.pictures()]
    for label, value in (("Scale", "map"), ("Show", "change"), ("Show", "dynamics")):
        page.get_by_role("combobox", name=label).select_option(value)
        seen.append(found.pictures_unlike(seen[-1]))
    page.get_by_role("slider", name="Opacity").fill("0")
    seen.append(found.pictures_unlike(seen[-1]))
    assert len(set(map(tuple, seen))) == 5
    page.get_by_role("combobox", name="Show").select_option("change")
    page.get_by_role("slider", name="Step").fill("0")
    expect(page.locator(".absent").first).to_have_text("no change leads into the first step")
    assert found.complaints == []


def test_text_of_the_run_runs_nothing(
    show: Callable[..., Opened], copied: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = hostile(copied("<img src=x onerror=alert(1)>"))
    found = show(write_report(lrpdyn.open_run(folder), tmp_path / "page.html").path)
    assert found.page.title() == "<img src=x onerror=alert(1)>: relevance over training"
    assert found.complaints == []


def test_flat_observations_are_bars(
    show: Callable[..., Opened], flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    found = show(write_report(flat_run, tmp_path / "page.html").path)
    keep_picture(found.page, "flat")
    last = found.pictures()
    found.page.keyboard.press("Home")
    found.at("2")
    assert all(a != b for a, b in zip(found.pictures(), last, strict=True))
    found.page.locator(".picture").first.focus()
    found.page.keyboard.press("ArrowRight")
    expect(found.page.locator("#readout")).to_contain_text("Sample 0, feature")
    assert found.complaints == []


def test_the_layers_are_a_picture_that_is_there(show: Callable[..., Opened], written: Path) -> None:
    found = show(written, viewport={"width": 390, "height": 844})
    picture = found.page.get_by_role("img", name="effective rank")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.complete && image.naturalWidth") == 1037
    box = picture.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    assert not found.complaints
