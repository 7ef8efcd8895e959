"""The widget of a run in a real browser: its script, with a model that is set from both sides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import lrpdyn
from lrpdyn.page.player import Player

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: What a person may look at after a test run; git ignores it.
PICTURES = Path(__file__).parents[2] / "build" / "report-page"
#: A model as anywidget hands it to a script: `get`, `set` that tells, `save_changes`, `on` and `off`.
MODEL = """(state) => {
  const heard = {};
  return {
    saved: {...state},
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      (heard[`change:${name}`] ?? []).forEach((each) => each());
    },
    save_changes() { this.saved = {...state}; },
    on(name, each) { (heard[name] ??= []).push(each); },
    off(name, each) { heard[name] = heard[name].filter((one) => one !== each); },
    heard,
  };
}"""


@pytest.fixture(scope="module")
def player(image_run: lrpdyn.Run) -> Player:
    return image_run.player(name="A run", height=600)


@pytest.fixture
def page(player: Player) -> Iterator[Page]:
    """A document with the widget, whose model is `model`."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH: the widget is not opened in a browser")
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 700}, color_scheme="light")
        page.set_content("<body data-jp-theme-light=false><div id=here></div>")
        state = {name: getattr(player, name) for name in ("page", "step", "sample", "height")}
        state |= {"step": 16, "sample": 2}  # as asked for before it is shown
        page.evaluate(
            """async ([script, state, model]) => {
              const url = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
              const { render } = (await import(url)).default;
              window.model = eval(model)(JSON.parse(state));
              window.leave = render({ model: window.model, el: document.querySelector("#here") });
            }""",
            [player._esm, json.dumps(state), MODEL],
        )
        yield page
        browser.close()


def test_the_widget_and_its_page_follow_each_other(page: Page) -> None:
    inside = page.frame_locator("iframe")
    # What the widget was set to before is what the page begins with.
    expect(inside.locator("#now")).to_contain_text("16", timeout=30_000)
    expect(inside.locator(".card.chosen h3")).to_have_text("Sample 2")
    expect(inside.locator("body[data-ready=all]")).to_be_attached(timeout=30_000)
    expect(inside.locator("h1")).to_contain_text("A run")
    expect(inside.get_by_role("button", name="Copy link")).to_be_hidden()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "widget.png")
    # Clicked there, known here.
    inside.locator("#view").select_option("change")
    inside.get_by_role("button", name="Next step").click()
    inside.get_by_role("button", name="Sample 1", exact=True).click()
    page.wait_for_function("model.saved.step === 32 && model.saved.sample === 1")
    # Set here, seen there; a step that is not there becomes the nearest; settings stay.
    page.evaluate("model.set('step', 1)")
    expect(inside.locator("#now")).to_contain_text("0")
    page.wait_for_function("model.saved.step === 0")
    expect(inside.locator("#view")).to_have_value("change")
    page.evaluate("model.set('sample', 99)")
    page.wait_for_function("model.saved.sample === 1")
    # The colours are the notebook's, not the system's.
    body = inside.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    assert body == "rgb(20, 22, 26)"
    assert page.evaluate("(leave(), Object.values(model.heard).flat().length)") == 0


def test_the_page_cannot_reach_the_notebook(page: Page) -> None:
    expect(page.frame_locator("iframe").locator("#now")).to_contain_text("16", timeout=30_000)
    (inside,) = page.frames[1:]
    assert inside.evaluate("origin") == "null"
    assert (
        inside.evaluate("(() => { try { return parent.document.title } catch { return 'no' } })()")
        == "no"
    )


def test_what_is_printed_of_it_is_short(player: Player) -> None:
    assert repr(player) == "Player(step=48, sample=0)"
