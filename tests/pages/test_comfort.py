"""Can everybody read the pages? WCAG 2.2 by axe, contrast, the Tab key, narrow screens, paper, and what a link shows.

axe's rule of contrast takes a minute a page, so the contrast of every text is computed here, by the same formula.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from accessibility import AXE, FAINT, script
from chromium import opened, wait

from tools.reading_aids import LENGTH

# Formulas on lines of their own that are cut, at whatever box scrolls.
HIDDEN = """
const cut = e => { for (; e && e.tagName !== 'ARTICLE'; e = e.parentElement)
  if (getComputedStyle(e).overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1) return true };
return [...document.querySelectorAll('mjx-container[display=true]')].filter(cut).map(e => e.textContent.slice(0, 60));
"""
# One of each kind of button, with what the focus of the keyboard draws around it.
OUTLINES = """
const kinds = new Map();
document.querySelectorAll('button, summary, input, select, a.btn, [role=button]').forEach(e => {
  if (e.tabIndex >= 0 && e.getClientRects().length) kinds.set(e.tagName + '.' + e.className, e) });
return [...kinds].map(([name, e]) => { e.focus({preventScroll: true});
  const style = getComputedStyle(e);
  return [name, document.activeElement === e, style.outlineStyle, parseFloat(style.outlineWidth)] });
"""
# The theme looks for what scrolls a moment after the last change of the width; on a busy machine that may be too soon.
REACHED = """
window.dispatchEvent(new Event('resize'));
return [...document.querySelectorAll('pre')].every(e => e.scrollWidth <= e.clientWidth || e.tabIndex === 0);
"""
# Colours change at once, so that none is measured on its way; and the theme has heard of the system's choice.
STILL = """
document.head.append(Object.assign(document.createElement('style'),
  {textContent: '*, *::before, *::after {transition: none !important; animation: none !important}'}));
"""
THEMED = [f"return document.documentElement.dataset.theme === '{theme}'" for theme in ("light", "dark")]
# Pictures whose proportions on the page are not those of their file.
STRETCHED = """
return [...document.querySelectorAll('article img')].filter(i => i.naturalWidth && i.clientWidth &&
  Math.abs(i.clientHeight - i.clientWidth * i.naturalHeight / i.naturalWidth) > 2).map(i => i.alt.slice(0, 60));
"""
# How many formulas the Tab key stops at, how many there are, and how many a screen reader can say.
FORMULAS = """
const all = [...document.querySelectorAll('mjx-container')];
return [all.filter(e => e.tabIndex >= 0).length, all.length,
        all.filter(e => e.querySelector('mjx-assistive-mml math')).length];
"""
# Formulas within a line that pass the edge of a narrow screen; MathJax does not break them.
LONG = """
return [...document.querySelectorAll('article mjx-container:not([display=true])')].filter(e => !e.closest('table') &&
  e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent.slice(0, 60));
"""
# Words in tables that run over two lines; a word may break after a hyphen or a slash, and a name of the index anywhere.
BROKEN = """
return [...document.querySelectorAll('article td, article th')].flatMap(cell => {
  if (cell.closest('.indextable') || cell.clientHeight < 2 * parseFloat(getComputedStyle(cell).lineHeight)) return [];
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), broken = [], range = document.createRange();
  for (let text; text = texts.nextNode();) {
    if (text.parentElement.closest('mjx-container')) continue;
    for (const word of text.data.matchAll(/[^\\s\\-–\\/?&=]+/g)) {
      range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) broken.push(word[0]);
    }
  }
  return broken });
"""
CUT = """
document.querySelectorAll('details').forEach(e => e.open = true);
return [...document.querySelectorAll('article pre')].filter(p => p.clientWidth > 0 && p.scrollWidth > p.clientWidth + 1)
  .map(p => p.textContent.slice(0, 80));
"""


@pytest.fixture(scope="module")
def everywhere(site) -> list[str]:
    """Every page that a reader meets, with index and search, without the listings of source code."""
    found = (path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")))
    return [name for name in found if not name.startswith(("_static", "_modules")) and name != "index.html"]


def looked_at(browser) -> dict:
    """Return what is wrong with the page that is open, by what was looked for: it is loaded once, and shown anew."""

    def shown(width: int, *, dark: bool = False, media: str = "") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": theme})
        wait(browser, THEMED[dark], "the theme to follow the system's")

    browser.execute_script(STILL)
    found = {"light": browser.execute_script(FAINT), "equations": browser.execute_script(HIDDEN)}
    found["formulas"] = browser.execute_script(FORMULAS)
    found["stretched 1280"] = browser.execute_script(STRETCHED)
    found["broken 1280"] = browser.execute_script(BROKEN)
    shown(1280, dark=True)
    found["dark"] = browser.execute_script(FAINT)
    for width in (390, 320):
        shown(width)
        wide = browser.execute_script("return document.body.scrollWidth")
        found[f"wide {width}"] = [wide] if wide > width + 1 else []
        found[f"stretched {width}"] = browser.execute_script(STRETCHED)
        found[f"broken {width}"] = browser.execute_script(BROKEN)
        found[f"long {width}"] = browser.execute_script(LONG)
    shown(720, media="print")
    found["paper"] = browser.execute_script(CUT)
    shown(1280)
    wait(browser, REACHED, "the theme to let the Tab key reach what scrolls, a moment after the width has changed")
    # formulas are MathML beside glyphs that are hidden from screen readers; thousands of glyphs would cost minutes
    browser.execute_script("document.querySelectorAll('mjx-math').forEach(e => e.textContent = '')")
    browser.execute_script(script())
    found["axe"] = browser.execute_async_script(AXE)
    return found


@pytest.fixture(scope="module")
def seen(browser, address, everywhere) -> dict[str, dict]:
    """What is wrong, page by page."""
    return {path: looked_at(opened(browser, f"{address}/{path}")) for path in everywhere}


@pytest.mark.parametrize("what", ["light", "dark"])
def test_every_text_has_the_contrast_of_level_aa(seen, what):
    assert {path: found[what][:5] for path, found in seen.items() if found[what]} == {}


@pytest.mark.parametrize("width", [320, 390])
def test_no_page_is_wider_than_a_narrow_screen(seen, width):
    assert {path: found[f"wide {width}"] for path, found in seen.items() if found[f"wide {width}"]} == {}


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_picture_is_stretched(seen, width):
    """Shown in the proportions of its file, to a pixel."""
    stretched = {path: found[f"stretched {width}"] for path, found in seen.items()}
    assert {path: found[:3] for path, found in stretched.items() if found} == {}


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_word_of_a_table_is_broken(seen, width):
    """A number such as 0.81 must not stand on two lines."""
    assert {path: found[f"broken {width}"][:9] for path, found in seen.items() if found[f"broken {width}"]} == {}


def test_no_equation_is_cut_on_a_small_desktop(seen):
    assert {path: found["equations"] for path, found in seen.items() if found["equations"]} == {}


def test_formulas_within_a_line_end_on_the_screen_of_a_phone(seen):
    assert {path: found["long 390"] for path, found in seen.items() if found["long 390"]} == {}


def test_paper_keeps_every_line_of_code(seen):
    assert {path: found["paper"][:5] for path, found in seen.items() if found["paper"]} == {}


def test_axe_finds_no_violation_of_level_a_or_aa(seen):
    assert {path: found["axe"] for path, found in seen.items() if found["axe"]} == {}


def test_formulas_are_no_stops_of_the_tab_key_and_are_said_aloud(seen, chapters):
    """Each formula keeps its MathML for screen readers; none takes the focus."""
    for stem in chapters:
        stops, drawn, said = seen[f"book/{stem}.html"]["formulas"]
        assert stops == 0 and said == drawn > 0, stem


def test_the_focus_is_seen_on_every_kind_of_button(open_page, chapters):
    """An outline of at least two pixels, once the Tab key has said that the keyboard is in use."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    for path in (f"book/{next(iter(chapters))}.html", "book/ledger.html"):
        browser = open_page(path)
        browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        for name, focused, style, width in browser.execute_script(OUTLINES):
            assert not focused or (style == "solid" and width >= 2), f"{path}: {name}"


def test_figures_open_alone_and_keep_their_size(site, parsed, chapters):
    """Every figure is a link, named by its alternative text, to its own file; half the pixels at 200 dots per inch."""
    from PIL import Image

    for stem in chapters:
        article = parsed(f"book/{stem}.html").article
        figures = [image for image in article.select("img") if "_images/" in image["src"]]
        assert figures, stem
        for image in figures:
            link = image.find_parent("a")
            assert link["href"] == image["src"] and link["title"] and len(image["alt"]) >= 20, image["src"]
            with Image.open(site / "book" / image["src"]) as picture:
                density = max(100, round(picture.info["dpi"][0]))
                drawn = re.search(r"width: ([\d.]+)px", image["style"])
                assert drawn and abs(float(drawn[1]) - picture.width * 100 / density) <= 1, image["src"]


def test_every_page_says_what_it_is_about(site, parsed, everywhere):
    """For search engines and for those who pass a page on; and the day of the last change."""
    said = {}
    for name in everywhere:
        page = parsed(name)
        head = {tag.get("name") or tag.get("property"): tag["content"] for tag in page.select("meta[content]")}
        assert 20 <= len(head["description"]) <= LENGTH + 80 and "[" not in head["description"], name
        assert head["og:title"] and head["og:description"] == head["description"], name
        assert (site / name).parent.joinpath(head["og:image"]).is_file(), name
        if name.startswith("book/"):
            said.setdefault(head["description"], name)
            assert said[head["description"]] == name, f"{name} says the same as {said[head['description']]}"
        if (Path(__file__).parents[2] / ".git").exists():
            assert re.search(r"Last updated on \d+ \w+ \d{4}", page.get_text(" ")), name
