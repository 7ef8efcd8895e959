"""The page in a real browser without a network: what a person does, and what they then see."""

from __future__ import annotations

import hashlib
import json
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
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import lrpdyn
from lrpdyn.files.atomic import sha256_of
from lrpdyn.page.page import page_of
from lrpdyn.page.render import as_html, player_script
from lrpdyn.page.report import write_report
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.trust import trust_lines
from lrpdyn.run.verify import replace_result
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
        found.page.wait_for_selector("body[data-ready=all]", state="attached")
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
        ("phone", {"viewport": {"width": 375, "height": 812}, "has_touch": True}),
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
    section.get_by_text("Faithfulness over training", exact=True).click()
    picture = section.get_by_role("img", name="Faithfulness of the maps over training")
    assert picture.evaluate("image => image.naturalWidth") == 1008
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
    expect(page.locator("#tip")).to_contain_text("row 43, column 1")
    expect(page.locator("#said")).to_contain_text("row 43, column 1, step 32, sample 1, R ")
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
    tip = page.locator("#tip")
    expect(tip).to_contain_text("row 60, column 10")
    expect(tip).to_contain_text("step 48, sample 2")
    at, box = tip.bounding_box(), canvas.bounding_box()  # it was scrolled to
    assert at is not None
    assert box is not None
    assert 0 < at["x"] - box["x"] - place["x"] < 30
    assert 0 < abs(at["y"] - box["y"] - place["y"]) < 30 + at["height"]
    exact = image_run.relevance[48][2, :, 60, 10].sum()
    told = tip.inner_text().split("\nR ")[1].split("\n")[0]
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
    expect(found.page.locator("#tip")).to_contain_text("feature 4")
    expect(found.page.locator("#tip")).to_contain_text("sample 0")
    assert found.complaints == []


def test_the_layers_are_a_picture_that_is_there(show: Callable[..., Opened], written: Path) -> None:
    found = show(written, viewport={"width": 390, "height": 844})
    picture = found.page.get_by_role("img", name="effective rank")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.complete && image.naturalWidth") == 1008
    box = picture.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    assert not found.complaints


def test_flat_observations_have_a_ranking_of_features_with_their_names(
    show: Callable[..., Opened], flat_run: lrpdyn.Run, written: Path, tmp_path: Path
) -> None:
    path = with_names(flat_run, tmp_path, {"features": {"4": "pole angle"}})
    found = show(path, viewport={"width": 390, "height": 844})
    page = found.page
    section = page.get_by_role("region", name="Features")
    picture = section.get_by_role("img", name="of 6 features over training")
    assert picture.evaluate("(image) => image.complete && image.naturalWidth") == 1008
    box = picture.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    page.get_by_role("navigation").get_by_role("link", name="Features").click()
    expect(section).to_be_in_viewport()
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).to_contain_text("feature 4 (pole angle)")
    assert not found.complaints
    of_images = show(written).page
    expect(of_images.get_by_role("link", name="Layers")).to_be_visible()
    expect(of_images.get_by_role("link", name="Features")).to_have_count(0)
    expect(of_images.locator("#features")).to_have_count(0)


@pytest.mark.parametrize("kind", ["image_run", "flat_run"])
def test_long_names_leave_everything_within_the_page(
    show: Callable[..., Opened], kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run: lrpdyn.Run = request.getfixturevalue(kind)
    photo = "n01440764_a_very_long_picture_name_{}.JPEG"
    names = {
        "samples": {str(sample): photo.format(sample) for sample in range(5)},
        "units": {str(unit): f"MOVE_RIGHT_AND_FIRE_AT_{unit}" for unit in range(6)},
    }
    path = with_names(run, tmp_path, names)
    for width in (390, 1300):
        found = show(path, viewport={"width": width, "height": 844})
        keep_picture(found.page, f"names_{kind}_{width}")
        assert found.page.evaluate("document.documentElement.scrollWidth") == width
        for card in found.page.locator(".card").all():
            box = card.bounding_box()
            assert box is not None
            for part in card.locator("header > *, .pick").all():
                inner = part.bounding_box()
                assert inner is not None
                assert inner["width"] > 20 or part.get_attribute("class") == "flag off"
                assert inner["x"] >= box["x"]
                assert inner["x"] + inner["width"] <= box["x"] + box["width"]
            title = card.locator(".pick")
            assert title.evaluate("e => e.scrollWidth <= e.clientWidth")
            assert title.inner_text().endswith(".JPEG)")
            before = title.bounding_box()
            card.locator(".unit").evaluate("e => { e.textContent += ' and more'; }")
            assert title.bounding_box() == before  # while playing, units change
        table = found.page.locator("#findings")
        expect(table).to_contain_text(".JPEG")
        assert table.evaluate("t => t.scrollWidth <= t.parentElement.clientWidth")
        assert found.complaints == []


def with_names(run: lrpdyn.Run, folder: Path, names: Any) -> Path:
    """Write the page of a copy of a run whose maker gave these names."""
    copy = Path(shutil.copytree(run.path, folder / "named"))
    report = json.loads((copy / "outliers.json").read_text())
    (copy / "outliers.json").write_text(json.dumps({**report, "names": names}))
    replace_result(copy, {**run.manifest, "names": names}, "outliers.json")
    return write_report(lrpdyn.open_run(copy)).path


def shown(found: Opened) -> list[str | None]:
    """Return the samples whose cards are visible, in the order of the page."""
    cards = found.page.locator("article.card:visible").all()
    return [card.get_attribute("aria-label") for card in cards]


@pytest.fixture
def flagged_cells(copied: Callable[[str], Path]) -> lrpdyn.Run:
    """The run of images, of which samples 2 (at step 16) and 1 (at step 48) are flagged, too."""
    folder = copied("flagged")
    report = json.loads((folder / "outliers.json").read_text())
    for step, sample in ((16, 2), (48, 1)):
        entry = {**report["pathologies"][0], "where": {"step": step, "sample": sample}}
        report["pathologies"].append(entry)
    (folder / "outliers.json").write_text(json.dumps(report))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["outliers.json"] = sha256_of(folder / "outliers.json")
    save_manifest(folder, manifest)
    return lrpdyn.open_run(folder)


def test_a_pointer_at_the_edge_has_its_values_within_the_page(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written, viewport={"width": 375, "height": 700})
    canvas = found.page.locator(".picture canvas").nth(1)
    box = canvas.bounding_box()
    assert box is not None
    # The corner itself is round.
    canvas.hover(position={"x": box["width"] * 83.5 / 84, "y": box["height"] * 80.5 / 84})
    expect(found.page.locator("#tip")).to_contain_text("row 80, column 83")
    at = found.page.locator("#tip").bounding_box()
    assert at is not None
    assert at["x"] >= 0
    assert at["x"] + at["width"] <= 375
    assert at["y"] + at["height"] <= 700
    found.page.mouse.move(1, 1)
    expect(found.page.locator("#tip")).to_be_hidden()


def test_a_region_is_named_at_the_pointer(
    show: Callable[..., Opened], image_run: lrpdyn.Run, tmp_path: Path
) -> None:
    masks = np.zeros((84, 84)), np.zeros((4, 84, 84))
    masks[0][:42] = 1
    masks[1][2, 30:, 40:] = 1
    np.savez(tmp_path / "parts.npz", sky=masks[0], ball=masks[1])
    found = show(write_report(image_run, tmp_path / "p.html", regions=tmp_path / "parts.npz").path)
    tip = found.page.locator("#tip")
    for sample, row, names in (
        (2, 41, ": sky, ball"),
        (2, 42, ": ball"),
        (1, 41, ": sky"),
        (1, 42, ""),
    ):
        canvas = found.page.locator(".picture canvas").nth(sample)
        box = canvas.bounding_box()
        assert box is not None
        at = {"x": box["width"] * 40.5 / 84, "y": box["height"] * (row + 0.5) / 84}
        canvas.hover(position=at)
        expect(tip).to_contain_text(re.compile(f"^row {row}, column 40{names}\\s*step 48"))
    assert found.complaints == []


def test_the_address_has_the_state_and_brings_it_back(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written)
    page = found.page
    page.get_by_role("slider", name="Step").fill("1")
    page.get_by_role("button", name="Sample 2", exact=True).click()
    page.get_by_role("combobox", name="Show").select_option("change")
    page.get_by_role("combobox", name="Seen").select_option("1")
    address = f"{written.as_uri()}#step=16&sample=2&view=change&channel=1"
    page.wait_for_url(address)
    pictures = found.pictures()
    again = show(written)  # another reader, with the link alone
    again.page.goto("about:blank")
    again.page.goto(address)
    again.page.wait_for_selector("body[data-ready=all]", state="attached")
    again.at("16")
    assert again.pictures() == pictures
    expect(again.page.get_by_role("combobox", name="Show")).to_have_value("change")
    chosen = again.page.get_by_role("button", name="Sample 2", exact=True)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(chosen).to_be_in_viewport()
    assert found.complaints == again.complaints == []


@pytest.mark.parametrize(
    "address",
    ["step=nothing&sample=-1", "step=1e9&sample=99&view=x", "step=&sample=__proto__", "maps"],
)
def test_an_address_that_says_nothing_of_the_run_is_passed_over(
    show: Callable[..., Opened], written: Path, address: str
) -> None:
    found = show(written)
    found.page.goto("about:blank")
    found.page.goto(f"{written.as_uri()}#{address}")
    found.page.wait_for_selector("body[data-ready=all]", state="attached")
    found.at("48")
    expect(found.page.get_by_role("combobox", name="Show")).to_have_value("relevance")
    assert found.complaints == []


def test_back_goes_to_before_a_jump_and_not_through_every_step(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written)
    page = found.page
    for key in ("Home", "ArrowRight"):
        page.keyboard.press(key)
    found.at("16")
    entries = page.evaluate("history.length")
    page.locator("#findings tbody tr[data-kind=pathologies]").first.get_by_role("button").click()
    found.at("32")
    page.wait_for_url("**#step=32&sample=0")
    assert page.evaluate("history.length") == entries + 1
    page.go_back()
    found.at("16")
    page.go_forward()
    found.at("32")
    assert found.complaints == []


def test_the_link_is_copied(show: Callable[..., Opened], written: Path) -> None:
    found = show(written, permissions=["clipboard-read", "clipboard-write"])
    page = found.page
    page.keyboard.press("Home")
    found.at("0")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#said")).to_have_text("Link copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{written.as_uri()}#step=0&sample=0"


def test_a_card_is_saved_as_it_is_seen(
    show: Callable[..., Opened], written: Path, tmp_path: Path
) -> None:
    found = show(written)
    page = found.page
    canvas = page.locator(".picture canvas").nth(3)
    seen = canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 84, 84).data]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture of sample 3").click()
    assert download.value.suggested_filename == "run_sample3_step48.png"
    download.value.save_as(tmp_path / "card.png")
    saved = np.asarray(Image.open(tmp_path / "card.png").convert("RGB"))
    width = saved.shape[1] - 2 * 28
    places = (28 + (np.arange(84) + 0.5) * width / 84).astype(int)
    picture = saved[places + 80][:, places]  # below two lines
    exact = np.array(seen).reshape(84, 84, 4)[..., :3]
    assert np.abs(picture.astype(int) - exact).max() <= 2
    assert found.complaints == []


def test_a_card_enlarged_plays_and_gives_the_focus_back(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written, viewport={"width": 1300, "height": 900})
    page = found.page
    button = page.get_by_role("button", name="Enlarge sample 1")
    small, behind = (page.locator(".picture").nth(n).bounding_box() for n in (1, 2))
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="Sample 1, enlarged")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    keep_picture(page, "enlarged")
    large = dialog.locator(".picture").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.8 * small["width"]
    assert page.locator("#maps .picture").nth(1).bounding_box() == behind
    page.keyboard.press("ArrowLeft")
    found.at("32")
    dialog.get_by_role("button", name="Next step").click()
    found.at("48")
    dialog.locator("canvas").hover()
    expect(dialog.locator("#tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert [page.locator(".picture").nth(n).bounding_box() for n in (1, 2)] == [small, behind]
    expect(page.locator("body > .player")).to_be_visible()
    assert found.complaints == []


def test_samples_are_sorted_by_what_they_have_at_the_step(
    show: Callable[..., Opened], flagged_cells: lrpdyn.Run
) -> None:
    found = show(write_report(flagged_cells).path)
    page = found.page
    sort = page.get_by_role("combobox", name="Sort by")
    scores = flagged_cells.metrics["score"].reshape(4, 4)
    changes = flagged_cells.transitions["change"].reshape(3, 4)
    units = flagged_cells.metrics["target"].reshape(4, 4)
    for name, at_last in (("score", -scores[3]), ("change", -changes[2]), ("unit", units[3])):
        sort.select_option(name)
        order = [f"Sample {n}" for n in np.argsort(at_last, kind="stable")]
        assert shown(found) == order
    sort.select_option("score")
    page.get_by_role("slider", name="Step").fill("0")
    found.at("0")
    first = [f"Sample {n}" for n in np.argsort(-scores[0], kind="stable")]
    for place, name in enumerate(first):  # the cards move a moment after the step is shown
        expect(page.locator("article.card").nth(place)).to_have_attribute("aria-label", name)
    assert shown(found) == first
    sort.select_option("flag")
    assert shown(found)[:2] == ["Sample 1", "Sample 2"]  # at other steps
    sort.select_option("number")
    assert shown(found) == [f"Sample {n}" for n in range(4)]
    assert found.complaints == []


def test_samples_are_filtered_by_flag_and_unit(
    show: Callable[..., Opened], flagged_cells: lrpdyn.Run
) -> None:
    found = show(write_report(flagged_cells).path)
    page = found.page
    keep = page.get_by_role("combobox", name="Samples")
    keep.select_option("here")
    assert shown(found) == ["Sample 1"]
    expect(page.locator("#samples-count")).to_have_text("1 of 4 shown")
    assert page.locator(".card:visible .flag").is_visible()
    keep.select_option("ever")
    assert shown(found) == ["Sample 1", "Sample 2"]
    units = flagged_cells.metrics["target"].reshape(4, 4)
    options = keep.locator("option[value^=unit]").all()
    assert len(options) == (len(set(units.ravel())) if len(set(units.ravel())) > 1 else 0)
    for option in options:
        value = option.get_attribute("value") or ""
        keep.select_option(value)
        expected = [n for n in range(4) if units[3, n] == int(value.split()[1])]
        assert shown(found) == [f"Sample {n}" for n in expected]
    keep.select_option("ever")
    page.locator('#findings tr[data-sample="0"] button').first.click()  # it is hidden: shown again
    expect(page.locator("article.card:visible")).to_have_count(4)
    assert found.complaints == []


def test_the_frame_that_is_seen_can_be_chosen(
    show: Callable[..., Opened], written: Path, image_run: lrpdyn.Run
) -> None:
    found = show(written)
    page = found.page
    page.get_by_role("slider", name="Opacity").fill("0")
    seen = page.get_by_role("combobox", name="Seen")
    expect(seen).to_have_value("3")
    pictures = [found.pictures()]
    canvas = page.locator(".picture canvas").nth(1)
    for channel in range(3):
        seen.select_option(str(channel))
        pictures.append(found.pictures_unlike(pictures[-1]))
        grey = canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 84, 84).data]")
        exact = image_run.observations[:, channel]
        stretched = (exact[1] - exact.min()) / (exact.max() - exact.min())
        assert np.abs(np.array(grey).reshape(84, 84, 4)[..., 0] - 255 * stretched).max() <= 1
    assert len(set(map(tuple, pictures))) == 4
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] * 1.5 / 84, "y": box["height"] * 1.5 / 84})
    expect(page.locator("#tip")).to_contain_text("row 1, column 1")
    value = float(page.locator("#tip").inner_text().split("seen ")[1])
    assert value == pytest.approx(float(image_run.observations[1, 2, 1, 1]), abs=0.01)


def test_nothing_moves_while_playing(
    show: Callable[..., Opened], flagged_cells: lrpdyn.Run
) -> None:
    path = write_report(flagged_cells).path
    for width in (375, 1300):
        found = show(path, viewport={"width": width, "height": 900})
        page = found.page
        page.get_by_role("combobox", name="Sort by").select_option("score")
        layouts, steps = page.evaluate(
            """async () => {
              const found = new Set();
              const look = () => found.add(JSON.stringify([...document.querySelectorAll(
                ".card, .picture, .numbers dt, .card .unit, .player > *, #history, #curves, #outliers")]
                .map((one) => [one.closest(".card")?.ariaLabel, one.offsetLeft, one.offsetTop,
                  one.offsetWidth, one.offsetHeight])));
              document.getElementById("speed").value = "10";
              document.getElementById("play").click();
              const steps = new Set();
              while (document.getElementById("play").ariaLabel === "Pause") {
                look();
                steps.add(document.getElementById("now").textContent);
                await new Promise(requestAnimationFrame);
              }
              return [found.size, steps.size];
            }"""
        )
        assert layouts == 1
        assert steps >= 3  # the last may come with the end


def test_the_keys_are_listed(show: Callable[..., Opened], written: Path) -> None:
    found = show(written)
    page = found.page
    page.locator(".picture").first.focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("next flagged step")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".picture").first).to_be_focused()
    found.at("48")
    page.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()


def test_a_run_has_a_name_and_a_note(
    show: Callable[..., Opened], image_run: lrpdyn.Run, tmp_path: Path
) -> None:
    name, note = "Seed 3 <b>", "Lower rate.\n</script><script>document.title = 1</script>"
    found = show(write_report(image_run, tmp_path / "page.html", name=name, note=note).path)
    expect(found.page.get_by_role("heading", level=1)).to_have_text(f"lrpdyn {name}")
    assert found.page.title() == f"{name}: relevance over training"
    assert found.page.locator(".said").inner_text() == note
    assert found.complaints == []


def test_steps_on_axes_read_as_in_figures(show: Callable[..., Opened], written: Path) -> None:
    found = show(written)
    formatter = "Bokeh.documents[0].get_model_by_name('figure').below[0].formatter"
    labels = found.page.evaluate(f"{formatter}.doFormat([0, 9000, 12000, 800000, 1100000, 2e9])")
    assert labels == ["0", "9,000", "12k", "800k", "1.1M", "2B"]


def test_what_a_finger_touched_stays_until_it_touches_something_else(
    show: Callable[..., Opened], written: Path
) -> None:
    found = show(written, viewport={"width": 375, "height": 812}, has_touch=True)
    found.page.locator(".picture canvas").first.tap(position={"x": 40, "y": 40})
    expect(found.page.locator("#tip")).to_contain_text("step 48, sample 0")
    found.page.wait_for_timeout(300)
    expect(found.page.locator("#tip")).to_be_visible()
    found.page.locator("#bar-note").tap()
    expect(found.page.locator("#tip")).to_be_hidden()
    assert found.complaints == []


def test_the_script_works_in_any_element(browser: Browser, image_run: lrpdyn.Run) -> None:
    """As a part of another document, of which it takes neither the address nor the keys."""
    text = as_html(page_of(image_run))
    library, _own = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    body = text.partition("<body>")[2].partition("<script>")[0]
    page = browser.new_page()
    page.set_content("<input id=other><div id=here></div>")
    page.add_script_tag(content=library)
    page.evaluate(
        "([body, script]) => { here.innerHTML = body; eval(`(${script})`)(here, false); }",
        [body, player_script()],
    )
    page.wait_for_selector("#here[data-ready=all]")
    page.get_by_role("slider", name="Step").fill("1")
    expect(page.locator("#now")).to_have_text("16")
    page.locator("#other").press("Home")
    page.wait_for_timeout(300)
    expect(page.locator("#now")).to_have_text("16")
    assert page.url == "about:blank"
    expect(page.get_by_role("button", name="Copy link")).to_be_hidden()
    page.close()
