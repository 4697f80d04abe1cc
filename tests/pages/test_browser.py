"""Does the book work in a real browser without a network? Sliders, equations, figures and code are looked at."""

from __future__ import annotations

import json
import re

import pytest
from chromium import opened, wait

from tools.chapters import GENERATED

PLAYER = "figure.acelib-player"
SEEN = """
const figure = arguments[0], images = [...figure.querySelectorAll('img')];
const seen = images.filter(image => image.getBoundingClientRect().height > 0);
return {seen: seen.length, index: images.indexOf(seen[0]), alt: seen[0].alt, count: images.length,
        width: seen[0].naturalWidth, says: figure.querySelector('output').textContent,
        aloud: figure.querySelector('input').getAttribute('aria-valuetext')};
"""
# Corners of every picture as pixels (red, green, blue, opacity), drawn on an empty canvas.
CORNERS = """
const pictures = [...document.querySelectorAll('article img')];
return pictures.filter(p => p.naturalWidth > 0 && !/\\.svg/.test(p.src)).map(p => {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  const [w, h] = [canvas.width, canvas.height] = [p.naturalWidth, p.naturalHeight];
  pen.drawImage(p, 0, 0);
  return [[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]].map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data]);
});
"""
# Contrast of text and the first opaque background behind it (WCAG 2), the lowest over what the selector finds.
CONTRAST = """
const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c.length === 3 || c[3] === 1) return c } return [255, 255, 255] };
const shown = e => e.textContent.trim() && e.getClientRects().length;
return [...document.querySelectorAll(arguments[0])].filter(shown).map(e => {
  const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
  return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.trim().slice(0, 60)];
}).sort((a, b) => a[0] - b[0])[0] || null;
"""
# Lines of code cells that stick out of their box, in cells that a reader sees without a click.
CUT = """
const cells = [...document.querySelectorAll("div.cell_input pre")];
const seen = cells.filter(p => p.clientWidth > 0 && !p.closest("details"));
return seen.filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.textContent.slice(0, 80));
"""
# How wide a page is, on a screen of its width.
WIDE = "return [innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth]"
EQUATIONS = """
return [document.querySelectorAll('mjx-container').length, document.querySelectorAll('mjx-merror').length];
"""
WIDTHS = (1200, 1280, 1366, 1920, 390)
CARDS = (
    '[role="group"][aria-label^="Claim"] *, .acelib-player output, .acelib-player figcaption, .cell_output footer span'
)


def all_pages(chapters):
    return [f"{name}.html" for name in (*(f"book/{stem}" for stem in chapters), "book/index", *GENERATED)]


def first(chapters) -> str:
    stem = next(iter(chapters))
    assert stem.startswith("01-"), f"the first chapter is {stem}"
    return f"book/{stem}.html"


@pytest.mark.parametrize("served", [True, False], ids=["served", "from-disk"])
def test_slider_of_chapter_one_moves_by_keyboard(open_page, chapters, site, served):
    """An arrow key changes the picture, its words and the label; the last picture follows from the End key."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = open_page(first(chapters), **({} if served else {"base": site.as_uri()}))
    figure = browser.find_element(By.CSS_SELECTOR, PLAYER)
    before = browser.execute_script(SEEN, figure)
    assert (before["seen"], before["index"]) == (1, 0) and before["width"] > 100
    slider = figure.find_element(By.CSS_SELECTOR, 'input[type="range"]')
    slider.send_keys(Keys.ARROW_RIGHT)
    after = browser.execute_script(SEEN, figure)
    assert (after["seen"], after["index"]) == (1, 1) and after["width"] > 100
    assert after["alt"] != before["alt"] and after["says"] != before["says"] == before["aloud"]
    assert after["says"] == after["aloud"]
    slider.send_keys(Keys.END)
    assert browser.execute_script(SEEN, figure)["index"] == before["count"] - 1


def visit(browser, url: str) -> dict:
    """Return what a page shows and asks for: it is loaded once, shown in several widths and in both themes."""
    browser.get_log("performance")
    opened(browser, url)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    found = {"asked": [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]}
    found["equations"] = browser.execute_script(EQUATIONS)
    browser.execute_script("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    wait(browser, "return [...document.images].every(image => image.complete)", "the pictures")
    found["corners"] = browser.execute_script(CORNERS)
    for theme in ("light", "dark"):
        scheme = {"media": "", "features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        wait(browser, f"return document.documentElement.dataset.theme === '{theme}'", f"the {theme} theme")
        browser.execute_script("document.getAnimations().forEach(a => a.finish())")
        found[theme] = browser.execute_script(CONTRAST, CARDS)
    for width in WIDTHS:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        found[width] = browser.execute_script(CUT if width > 600 else WIDE)
    return found


@pytest.fixture(scope="module")
def visited(browser, address, chapters) -> dict[str, dict]:
    """What each page shows, by its address within the site."""
    return {path: visit(browser, f"{address}/{path}") for path in all_pages(chapters)}


def test_every_player_moves_alone(open_page, visited):
    """Several players on a page, or one shown twice, leave each other in peace."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    for path in visited:
        browser = open_page(path)
        if not browser.find_elements(By.CSS_SELECTOR, PLAYER):
            continue
        browser.execute_script(
            "document.querySelectorAll(arguments[0]).forEach(f => f.after(f.cloneNode(true)))", PLAYER
        )
        figures = browser.find_elements(By.CSS_SELECTOR, PLAYER)
        for number, figure in enumerate(figures):
            figure.find_element(By.CSS_SELECTOR, "input").send_keys(Keys.ARROW_RIGHT)
            places = [browser.execute_script(SEEN, other)["index"] for other in figures]
            assert places == [1] * (number + 1) + [0] * (len(figures) - number - 1), path


def test_equations_are_drawn_without_a_network(visited, chapters):
    for stem in chapters:
        drawn, wrong = visited[f"book/{stem}.html"]["equations"]
        assert drawn > 0 and wrong == 0, stem


def test_pages_ask_no_other_host(visited, address):
    for path, found in visited.items():
        asked = found["asked"]
        away = [url for url in asked if not re.match(rf"{re.escape(address)}/|data:|blob:|about:|chrome", url)]
        assert asked and not away, f"{path} asked for {away}"


def test_pages_fit_a_phone(visited):
    for path, found in visited.items():
        widths = found[390]
        assert widths[0] == 390 and max(widths) <= 394, f"{path}: {widths}"


def test_ledger_can_be_filtered_and_read_on_a_phone(open_page):
    """One verdict chosen: only its rows stay, and a verdict is seen without scrolling sideways. The page is short."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    browser = open_page("book/ledger.html", width=1280)
    assert browser.execute_script("return document.documentElement.scrollHeight") < 16_200
    browser = open_page("book/ledger.html", width=390)
    rows = browser.find_elements(By.CSS_SELECTOR, "details.ledger-row")
    chosen = rows[0].get_attribute("data-verdict")
    Select(browser.find_element(By.CSS_SELECTOR, 'select[name="verdict"]')).select_by_value(chosen)
    seen = [row for row in rows if row.is_displayed()]
    assert seen and {row.get_attribute("data-verdict") for row in seen} == {chosen} and len(seen) < len(rows)
    assert browser.find_element(By.ID, "ledger-count").text == f"{len(seen)} of {len(rows)}"
    badge = seen[0].find_element(By.CSS_SELECTOR, "summary span").rect
    assert badge["x"] >= 0 and badge["x"] + badge["width"] <= 390


def test_link_to_a_claim_opens_its_row(open_page):
    from selenium.webdriver.common.by import By

    browser = open_page("book/ledger.html")
    name = browser.find_elements(By.CSS_SELECTOR, "details.ledger-row")[-1].get_attribute("id")
    browser.execute_script("location.hash = arguments[0]", name)
    wait(browser, f"return document.getElementById({name!r}).open", "the row to open")


def test_slider_can_be_used_on_a_phone(open_page, chapters):
    from selenium.webdriver.common.by import By

    browser = open_page(first(chapters), width=390)
    figure = browser.find_element(By.CSS_SELECTOR, PLAYER)
    box = browser.execute_script(
        "const r = e => {const b = e.getBoundingClientRect(); return [b.left, b.right, b.width]};"
        "return [r(arguments[0].querySelector('input')), r(arguments[0].querySelector('img'))]",
        figure,
    )
    for left, right, width in box:
        assert left >= 0 and right <= 390 and width >= 100, box


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_stand_on_opaque_white_and_cards_can_be_read(visited, chapters, theme):
    """Every corner pixel is white and opaque; the text of cards, captions and footers has a contrast of 4.5 to 1."""
    for stem in chapters:
        found = visited[f"book/{stem}.html"]
        assert found["corners"], f"{stem} has no picture"
        for number, picture in enumerate(found["corners"]):
            white = all(pixel[3] == 255 and min(pixel) >= 250 for pixel in picture)
            assert white, f"{stem}, picture {number}: {picture}"
        assert found[theme] and found[theme][0] >= 4.5, f"{stem}: contrast {found[theme]}"


@pytest.mark.parametrize("width", [width for width in WIDTHS if width > 600])
def test_visible_code_fits_its_column(visited, chapters, width):
    """80 characters of code, the width that the formatter keeps, can be read without scrolling on a desktop."""
    cut = {name: visited[f"book/{name}.html"][width] for name in chapters}
    assert not any(cut.values()), {name: lines for name, lines in cut.items() if lines}
