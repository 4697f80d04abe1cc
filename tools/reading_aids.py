"""A Sphinx extension for readers' comfort: figures that open alone, names for what only had a symbol, and summaries.

A figure becomes a link to its file, so that a tap on a phone shows it whole; its width is the one it was drawn with,
whatever its resolution. The theme's page is corrected where it hides words from screen readers, and every page says
in its head what it is about, for search engines and for those who pass it on.
"""

from __future__ import annotations

import html
import re
import subprocess
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parents[1]
CARD = "_static/card.png"  # the picture that goes with a link to the book
CARD_ALT = "One method credits the same floor area with 3.5 in one house and 51 in another, the causal effect does not"
COLON = "\ue000"  # stands for a colon where napoleon must not see one
LENGTH = 200  # of a summary, in characters

# The theme names these by a word that is not the one a reader sees, or by none.
MENDED = (
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (' role="doc-biblioentry"', ""),
    (
        'class="reference internal image-reference"',
        'class="reference internal image-reference" title="Open the figure alone"',
    ),
)
CHROME = (
    (r'(class="btn search-button-field [^>]*) aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"', r"\1"),
    (r'(<div id="pst-primary-sidebar")', r'\1 role="complementary" aria-label="Book"'),
    (r'(<table class="indextable[^"]*")', r'\1 role="presentation"'),
)


class FiguresWithWidth(SphinxPostTransform):
    """Give PNG figures the width they were drawn with; Sphinx links a figure that has a width to its file."""

    default_priority = 200
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Set the width of every picture that has none; a height beside it would stretch it on a narrow screen."""
        for image in self.document.findall(nodes.image):
            if "width" in image:
                image.attributes.pop("height", None)
            sized = {"width", "height", "scale"} & set(image.attributes)
            path = Path(self.app.srcdir) / image["uri"]
            if not sized and path.suffix == ".png" and path.is_file():
                image["width"] = f"{drawn_width(path)}px"


def drawn_width(path: Path) -> int:
    """Return the width in CSS pixels: a figure of 200 dots per inch is shown at half its pixels.

    Figures up to 100 dots per inch, and files that do not say, are shown at their pixels.
    """
    from PIL import Image

    with Image.open(path) as picture:
        density = round(picture.info.get("dpi", (100.0, 100.0))[0])
        return round(picture.width * min(1.0, 100.0 / density))


@cache
def last_change(root: Path) -> str:
    """Return the day of the last commit, such as ``"1 May 2026"``; "" where there is none."""
    asked = ["git", "-C", str(root), "log", "-1", "--format=%cs"]
    try:
        day = date.fromisoformat(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return ""
    return f"{day.day} {day:%B %Y}"


def summary(doctree: nodes.document | None) -> str:
    """Return what a page is about: its claim where it states one, else how it begins; at most ``LENGTH`` characters."""
    if doctree is None:
        return ""
    claims = [part for part in doctree.findall(nodes.section) if part[0].astext().startswith("The claim")]
    for paragraph in [p for part in (*claims[:1], doctree) for p in part.findall(nodes.paragraph)]:
        inside = paragraph.parent
        while inside is not None and not isinstance(inside, (nodes.Admonition, nodes.container, nodes.table)):
            inside = inside.parent
        text = re.sub(r" ?\[[^\]]*\]", "", " ".join(paragraph.astext().split()))  # without the labels of citations
        if inside is None and len(text) >= 60 and not any(paragraph.findall(nodes.math)):
            return _cut(text)
    return ""


def _cut(text: str) -> str:
    """Return as many whole sentences as fit, or the beginning of the first up to a word's end."""
    if len(text) <= LENGTH:
        return text
    whole = re.match(rf".{{40,{LENGTH - 1}}}[.?!](?= )", text)
    return whole[0] if whole else text[: LENGTH - 1].rsplit(" ", 1)[0] + "…"


def hide_colons(app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Hide the first line's colons of a property: napoleon would take the words before one for a type."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(":", COLON)


def show_colons(app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Put the colons back, and keep initials at the start of a line, as in R. A. Fisher, from becoming a list."""
    lines[:] = [re.sub(r"^(\s*)([A-Z]\. )", r"\1\\\2", line.replace(COLON, ":")) for line in lines]


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Repair the body of a page and write its summary, title and picture into its head."""
    if "body" in context:
        context["body"] = _replaced(context["body"], MENDED)
    context["last_updated"] = last_change(ROOT)
    book = app.config.html_title
    title = html.unescape(re.sub(r"<[^>]*>", "", context.get("title", ""))) or book
    said = summary(doctree) or f"{title}, in: {book}."
    base = app.config.html_baseurl
    picture = urljoin(base, CARD) if base else context["pathto"](CARD, resource=True)
    tags = {"og:title": title, "og:description": said, "og:type": "article", "og:site_name": book, "og:image": picture}
    tags |= {"og:image:alt": CARD_ALT}
    if context.get("pageurl"):
        tags["og:url"] = context["pageurl"]
    lines = [f'<meta name="description" content="{html.escape(said)}" />']
    lines += [f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in tags.items()]
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines) + "\n"


def mend_chrome(app: Sphinx, exception: Exception | None) -> None:
    """Repair what the theme's own templates wrote around the pages."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            before = path.read_text(encoding="utf-8")
            after = before
            for pattern, correct in CHROME:
                after = re.sub(pattern, correct, after)
            if after != before:
                path.write_text(after, encoding="utf-8")


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform and the two hooks."""
    app.add_post_transform(FiguresWithWidth)
    app.connect("autodoc-process-docstring", hide_colons, priority=400)  # napoleon comes between, at 500
    app.connect("autodoc-process-docstring", show_colons, priority=600)
    app.connect("html-page-context", describe)
    app.connect("build-finished", mend_chrome)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
