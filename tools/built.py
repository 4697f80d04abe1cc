"""Articles of the built pages, made ready for another place: paper or slides.

The pages have every number, reference and citation filled in, so that nothing of the source's markup has to be read
again. Buttons and folded code are left out; identifiers get the page's name in front, and links follow them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DROPPED = "script, style, button, input, a.headerlink, .tag_remove-cell, details.hide, .prev-next-area, .headerbtn"
PICTURES = "figure.acelib-player"


def article(site: Path, name: str, *, solutions: bool = True) -> Any:
    """Return the article of a page as a tag of Beautiful Soup, without what only works on a screen.

    Args:
        site: folder of the built pages.
        name: the page, such as ``"01-attribution-bias"``.
        solutions: whether solutions of exercises stay.

    Raises:
        ValueError: if the page has not been built.
    """
    from bs4 import BeautifulSoup

    path = site / "book" / f"{name}.html"
    if not path.is_file():
        raise ValueError(f"page must be one that was built, got {name!r}; run `make book` first")
    found = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article")
    assert found is not None, "a page without an article"
    for tag in found.select(DROPPED + ("" if solutions else ", .solution")):
        tag.decompose()
    for tag in found.select("details"):
        tag["open"] = ""
    for player in found.select(PICTURES):
        for image in player.select("img")[1:]:
            image.decompose()
        for image in player.select("img"):
            image.attrs.pop("style", None)
            image.attrs.pop("hidden", None)
    return found


def relocate(found: Any, name: str, site: Path, *, beside: Collection[str], base: str = "") -> None:
    """Make links and pictures of an article work in a document that holds several pages; in place.

    Args:
        found: the article.
        name: its page.
        site: folder of the built pages.
        beside: pages whose articles stand in the same document.
        base: where the book's pages can be read, for links to others; without it their words stay, and no link.
    """
    for tag in found.select("[id]"):
        tag["id"] = anchor(name, tag["id"])
    for tag in found.select("img[src]"):
        if not tag["src"].startswith("data:"):
            tag["src"] = (site / "book" / unquote(tag["src"])).resolve().as_uri()
    for tag in found.select("a[href]"):
        parts = urlsplit(tag["href"])
        if parts.scheme or parts.netloc:
            continue
        page = Path(unquote(parts.path)).name.removesuffix(".html") or name
        if page in beside and not parts.path.startswith("../"):
            tag["href"] = "#" + (anchor(page, parts.fragment) if parts.fragment else page)
        elif base and parts.path.endswith(".html") and not parts.path.startswith("../"):
            tag["href"] = f"{base}book/{tag['href']}"
        else:
            tag.unwrap()


def anchor(name: str, identifier: str) -> str:
    """Return an identifier that is one of a kind among pages.

    Example:
        >>> anchor("01-a", "the-claim")
        '01-a--the-claim'
    """
    return f"{name}--{identifier}"


def document(title: str, body: str, site: Path, *, style: str, script: str = "") -> str:
    """Return a whole HTML document around some body, with the book's own equations and colours of code.

    Args:
        title: of the document.
        body: HTML.
        site: folder of the built pages; its style sheets and MathJax are used in place.
        style: name of a style sheet in ``_static``.
        script: name of a script in ``_static``; "" for none.
    """
    import html

    static = (site / "_static").resolve().as_uri()
    scripts = f'<script defer src="{static}/{script}"></script>' if script else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{static}/pygments.css"><link rel="stylesheet" href="{static}/{style}">'
        '<script>MathJax = {options: {enableMenu: false, processHtmlClass: "math", '
        'ignoreHtmlClass: "document"}};</script>'
        f'<script defer src="{static}/mathjax/tex-chtml.js"></script>{scripts}'
        f'</head><body class="document">\n{body}\n</body></html>\n'
    )
