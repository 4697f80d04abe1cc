"""Paper: a handout for each chapter, without the solutions, and the whole book, with them, as PDF.

``python -m tools.pdf`` prints the pages of the last `make book` with Chromium: A4, page numbers, bookmarks, links. A
line of code, a table or a formula that would be cut is an error.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acelib.lab.home import write_whole
from tools.address import published
from tools.built import article, document, relocate
from tools.chapters import ROOT, find_chapters, say
from tools.chromium import chromium

BEHIND = tuple(
    "which-method teaching holds-ace holds-paths holds-icc corrections coverage notation glossary bibliography".split()
)
BOOK = "causal-attribution.pdf"
MARGIN, INCH = 16, 25.4  # millimetres
PAPER = {"paperWidth": 210 / INCH, "paperHeight": 297 / INCH}
# Formulas and tables that are wider than the page are drawn smaller; what is still cut then is returned in words.
FIT = """
const done = arguments[0], page = document.body.clientWidth;
const width = e => (e.querySelector('mjx-math') || e).getBoundingClientRect().width;
const ready = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
ready.then(() => Promise.all([...document.images].map(i => i.decode().catch(() => 0)))).then(() => {
  for (const e of document.querySelectorAll('mjx-container[display="true"], table')) {
    const room = e.parentElement.clientWidth, need = width(e);
    if (need > room) e.style.fontSize = Math.floor(96 * room / need) + '%';
  }
  const cut = [...document.querySelectorAll('pre, table, img, mjx-container, p, h1, h2, h3')].filter(e => {
    const box = (e.querySelector('mjx-math') || e).getBoundingClientRect();
    return box.right > document.body.getBoundingClientRect().left + page + 1 || e.scrollWidth > e.clientWidth + 1 &&
      e.clientWidth > 0 && e.tagName === 'PRE';
  });
  done(cut.map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 60)));
});
"""


def handout(site: Path, name: str, base: str = "") -> str:
    """Return the document of a chapter's handout, without the solutions."""
    found = article(site, name, solutions=False)
    title = " ".join(found.select_one("h1").get_text(" ").split())
    relocate(found, name, site, beside=(name,), base=base)
    return document(title, f'<main id="{name}">{found.decode_contents()}</main>', site, style="print.css")


def whole_book(site: Path, names: Sequence[str], title: str, base: str = "") -> str:
    """Return the document of the whole book, a page after the other; what is not among them is linked or left."""
    parts = [f'<main class="cover"><p class="title">{html.escape(title)}</p></main>']
    for name in names:
        found = article(site, name)
        relocate(found, name, site, beside=names, base=base)
        parts.append(f'<main id="{name}">{found.decode_contents()}</main>')
    return document(title, "\n".join(parts), site, style="print.css")


def print_pdf(browser: Any, text: str, path: Path, *, footer: str) -> int:
    """Print a document and return the number of its pages.

    Args:
        browser: from ``chromium``.
        text: the HTML.
        path: the file to write.
        footer: words beside the page's number.

    Raises:
        ValueError: if something would be cut at the edge of the paper.
    """
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(text, encoding="utf-8")
        size = dict(width=round((210 - 2 * MARGIN) / INCH * 96), height=1000, deviceScaleFactor=1, mobile=False)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        browser.get(page.as_uri())
        cut = browser.execute_async_script(FIT)
        if cut:
            raise ValueError(
                f"what is printed must fit the paper, got {len(cut)} too wide: {cut[:5]}; make it narrower"
            )
        small = 'style="font-size:8px;width:100%;padding:0 16mm;display:flex;justify-content:space-between"'
        numbers = '<span class="pageNumber"></span> / <span class="totalPages"></span>'
        margins = dict.fromkeys(("marginLeft", "marginRight", "marginTop", "marginBottom"), MARGIN / INCH)
        options = {
            **(PAPER | margins),
            "printBackground": True,
            "displayHeaderFooter": True,
            "headerTemplate": "<span></span>",
            "footerTemplate": f"<div {small}><span>{html.escape(footer)}</span><span>{numbers}</span></div>",
            "generateDocumentOutline": True,
            "generateTaggedPDF": True,
        }
        data = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: temporary.write_bytes(data))
    return len(re.findall(rb"/Type\s*/Page\b", data))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Print handouts and the book, or the named chapters only; return 0, or 1 where something is missing or cut."""
    import yaml

    parser = argparse.ArgumentParser(prog="pdf", description="Print the built pages as PDF.")
    parser.add_argument("chapters", nargs="*", help="handouts of these only; `book` for the whole book")
    parser.add_argument("--site", type=Path, default=root / "_build/html")
    parser.add_argument("--to", type=Path, default=root / "_build/pdf")
    chosen = parser.parse_args(arguments)
    stems = [path.stem for path in find_chapters(root)]
    title = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["title"]
    base, wanted = published(root), chosen.chapters or [*stems, "book"]
    try:
        with chromium(files=True) as browser:
            for name in wanted:
                text = (
                    whole_book(chosen.site, ["index", *stems, *BEHIND], title, base)
                    if name == "book"
                    else handout(chosen.site, name, base)
                )
                path = chosen.to / (BOOK if name == "book" else f"{name}.pdf")
                pages = print_pdf(browser, text, path, footer=title)
                say(f"{path}: {pages} pages, {path.stat().st_size / 1e6:.1f} MB")
    except (ValueError, RuntimeError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
