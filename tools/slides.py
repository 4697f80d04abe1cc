"""Slides: a deck for each chapter, made of its own claim, pictures, equations and key ideas.

``python -m tools.slides`` takes them from the pages of the last `make book`, where every number and reference is filled
in. A deck is one page of HTML in ``_build/html/slides`` that needs no library and no network: the arrow keys turn its
slides, and printing it gives one slide a sheet.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acelib.lab.home import write_whole
from tools.built import article, document, relocate
from tools.chapters import ROOT, find_chapters, say

FEWEST, MOST = 8, 14
LABEL = re.compile(r"^(<strong>)?\s*The claim[^<:.]*[.:,]?\s*(</strong>)?[\s:.]*")


@dataclass(frozen=True)
class Slide:
    """A slide: its heading, its kind (``"title"`` or ``"plain"``) and its HTML."""

    head: str
    body: str
    kind: str = "plain"


def slides_of(page: Any, entries: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> list[Slide]:
    """Return a chapter's slides, from its article as ``tools.built.article`` gives it.

    Args:
        page: the article.
        entries: the chapter's slides in ``book/slides.toml``: ``head``, and ``say``, ``show`` or both.
        words: the chapter's entry in ``book/course.toml``.

    Raises:
        ValueError: if the page lacks what a slide shows, or there are too few or too many slides.
    """
    title = " ".join(page.select_one("h1").get_text(" ").split())
    found = [
        Slide(title, f"<p>{html.escape(question(page))}</p>", "title"),
        Slide("The claim", f"<p class='claim'>{claim_of(page)}</p>"),
        *(Slide(entry["head"], _body(page, entry)) for entry in entries),
        Slide("Often thought", _misconception(page, words)),
        Slide("Key ideas", _list(key_ideas(page))),
        Slide("To discuss", f"<p>{html.escape(words['ask'])}</p>"),
    ]
    if not FEWEST <= len(found) <= MOST:
        raise ValueError(f"slides of {title!r} must be {FEWEST} to {MOST}, got {len(found)}; correct book/slides.toml")
    return found


def question(page: Any) -> str:
    """Return the last question that the chapter's opening asks, besides that of its slider; "" where it asks none."""
    paragraphs = (" ".join(paragraph.get_text().split()) for paragraph in _opening(page))
    said = " ".join(text for text in paragraphs if not text.startswith("Try it first"))
    asked = [sentence for sentence in re.split(r"(?<=[.?!])[\s”]+", said) if sentence.endswith("?")]
    return asked[-1].lstrip("“") if asked else ""


def claim_of(page: Any) -> str:
    """Return the chapter's claim in HTML, without the words that announce it.

    Raises:
        ValueError: if the chapter states no claim.
    """
    section = page.select_one("section#the-claim")
    texts = (
        section.select("p")[:1] if section else [p for p in _opening(page) if re.search("claim", p.get_text(), re.I)]
    )
    if not texts:
        raise ValueError("page must state its claim in a section or a paragraph, got none; write it")
    bold = max(texts[0].select("strong"), key=lambda tag: len(tag.get_text()), default=None)
    if bold is not None and len(bold.get_text()) > 80:
        return bold.decode_contents()
    return LABEL.sub("", texts[0].decode_contents())


def key_ideas(page: Any) -> list[str]:
    """Return the key ideas: the points of a list, or the first sentence of each paragraph."""
    section = page.select_one("section#key-ideas")
    points = [item.decode_contents() for item in section.select("li")]
    return points or [html.escape(_begin(" ".join(p.get_text().split()))) for p in section.select("p")]


def _begin(text: str, least: int = 60) -> str:
    """Return the first sentences of a text, as many as make some length."""
    sentences = re.split(r"(?<=[.?!])\s", text)
    length = next((n for n in range(1, len(sentences)) if len(" ".join(sentences[:n])) >= least), len(sentences))
    return " ".join(sentences[:length])


def _opening(page: Any) -> Iterator[Any]:
    """Yield the paragraphs before the chapter's first section."""
    for tag in page.select_one("section").find_all(recursive=False):
        if tag.name == "section":
            return
        if tag.name == "p":
            yield tag


def _body(page: Any, entry: Mapping[str, Any]) -> str:
    said = _list([html.escape(line) for line in entry.get("say", ())])
    return said + (_shown(page, entry["show"]) if "show" in entry else "")


def _shown(page: Any, name: str) -> str:
    if name.startswith("#"):
        section, _, rest = name[1:].partition(" ")
        found = page.find(id=section)
        found = found.select_one(rest) if found is not None and rest else found
    else:
        found = page.find(id=f"equation-{name}" if name.startswith("eq-") else name)
    if found is None:
        raise ValueError(f"a slide must show a part of its page, got {name!r}; correct book/slides.toml")
    return str(found)


def _misconception(page: Any, words: Mapping[str, Any]) -> str:
    picture = _shown(page, words["place"]) if words["place"].startswith("fig-") else ""
    return f"<p><em>{html.escape(words['wrong'])}</em></p><p>{html.escape(words['right'])}</p>{picture}"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>" if lines else ""


def deck(site: Path, name: str, entries: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> str:
    """Return the HTML of a chapter's deck; it loads pictures, style and MathJax from the folder above its own."""
    from bs4 import BeautifulSoup

    page = article(site, name, solutions=False)
    found = slides_of(page, entries, words)
    parts = []
    for number, slide in enumerate(found, 1):
        level = "h1" if slide.kind == "title" else "h2"
        parts.append(
            f'<section class="slide {slide.kind}" id="{number}" aria-label="{number} of {len(found)}">'
            f"<{level}>{html.escape(slide.head)}</{level}>{slide.body}"
            f"<footer>{html.escape(found[0].head)} · {number} / {len(found)}</footer></section>"
        )
    body = BeautifulSoup("\n".join(parts), "html.parser")
    for tag in body.select(".slide [id]"):
        del tag["id"]
    for tag in body.select("a[href^='#']"):
        tag.unwrap()
    numbers = [tag.attrs.pop("id") for tag in body.select(".slide")]
    relocate(body, name, site, beside=(), base="../")
    for tag, number in zip(body.select(".slide"), numbers, strict=True):
        tag["id"] = number
    text = document(found[0].head, str(body), site, style="deck.css", script="deck.js")
    return text.replace(site.resolve().as_uri(), "..")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the decks of all chapters, or of the named ones; return 0, or 1 where something is missing."""
    parser = argparse.ArgumentParser(prog="slides", description="Make slides from the built pages.")
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--site", type=Path, default=root / "_build/html")
    chosen = parser.parse_args(arguments)
    tables = [tomllib.loads((root / f"book/{name}.toml").read_text(encoding="utf-8")) for name in ("slides", "course")]
    try:
        for name in chosen.chapters or [path.stem for path in find_chapters(root)]:
            text = deck(chosen.site, name, tables[0].get(name, []), tables[1]["chapters"][name])
            path = chosen.site / "slides" / f"{name}.html"
            path.parent.mkdir(exist_ok=True)
            write_whole(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
            say(f"{path}: {text.count('<footer>')} slides")
    except ValueError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
