"""A page of HTML as a tree, so that every name of a user is escaped where it is written, and nothing is run by it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .words import plain_text

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #57606a; --paper: #ffffff; --card: #f5f7f9; --line: #d0d7de;
  --accent: #0b5cad; --warn: #8a3b00; --warn-card: #fff4e5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #a0aab5; --paper: #11161c; --card: #1b222b;
  --line: #39424d; --accent: #79b8ff; --warn: #ffb877; --warn-card: #33240f } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); 
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 2rem }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; overflow-wrap: anywhere }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; overflow-wrap: anywhere }
p, li, dd { max-width: 46rem; overflow-wrap: anywhere }
.under { color: var(--faint); margin-top: 0 }
.answer { background: var(--card); border-left: 4px solid var(--accent); padding: .9rem 1.1rem;
  margin: 1.25rem 0; font-size: 1.05rem; max-width: none }
.warnings { background: var(--warn-card); border-left: 4px solid var(--warn); padding: .5rem 1.1rem }
a { color: var(--accent) }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: 1rem 0 }
nav a { display: inline-block; padding: .2rem 0 }
figure { margin: 0; min-width: 0 }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px }
figcaption { color: var(--faint); font-size: .9rem; margin: .35rem 0 0; max-width: 46rem; overflow-wrap: anywhere }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr));
  gap: 1.25rem; margin: 1rem 0 }
.grid img { width: 100% }
.table { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: 1rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .6rem .75rem; color: var(--faint) }
th, td { text-align: right; padding: .4rem .75rem; border-top: 1px solid var(--line); white-space: nowrap }
th:first-child, td.text { text-align: left }
tbody th { font-weight: 600 }
dt { font-weight: 600; margin-top: .6rem }
dd { margin: 0 }
pre { background: var(--card); padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere }
code { overflow-wrap: anywhere; font-size: .92em }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
footer { color: var(--faint); font-size: .9rem; padding-bottom: 3rem; margin-top: 2.5rem }
@media print {
  :root { --ink: #000; --faint: #333; --paper: #fff; --card: #fff; --line: #999; --accent: #000; --warn: #000;
    --warn-card: #fff }
  nav { display: none }
  body { font-size: 10.5pt }
  figure, tr, .answer { break-inside: avoid }
  h2, h3, caption, thead { break-after: avoid }
  .table { overflow: visible }
  th, td { white-space: normal; padding: .25rem .4rem }
  .grid { grid-template-columns: repeat(2, 1fr) }
}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str) -> tuple[Element, Element]:
    """Return a page and its body, empty but for the head: language, title, style, and a policy that loads nothing."""
    root = Element("html", lang="en")
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    add(head, "meta", {"http-equiv": "Content-Security-Policy"}, content=_POLICY)
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "meta", name="color-scheme", content="light dark")
    add(head, "title", title)
    ElementTree.SubElement(head, "style").text = STYLE
    return root, add(root, "body")


def add(parent: Element, tag: str, *content: str | dict[str, str] | Element, **attributes: Any) -> Element:
    """Return a new element at the end of another.

    Args:
        parent: the element it goes into.
        tag: its name.
        content: texts and elements in their order, and mappings of attributes whose names are no Python names.
        attributes: further attributes; ``class_`` stands for class.

    Example:
        >>> paragraph = add(Element("div"), "p", "a < b", title='"quoted"')
        >>> assert ElementTree.tostring(paragraph, "unicode") == '<p title="&quot;quoted&quot;">a &lt; b</p>'
    """
    one = ElementTree.SubElement(parent, tag)
    for part in content:
        if isinstance(part, dict):
            attributes |= part
        elif isinstance(part, str):
            _write(one, plain_text(part) if part.strip() == part else f" {plain_text(part)} ")
        else:
            one.append(part)
    for name, value in attributes.items():
        one.set(name.rstrip("_").replace("_", "-"), str(value))
    return one


def _write(one: Element, text: str) -> None:
    """Add text after what an element holds."""
    if len(one):
        one[-1].tail = (one[-1].tail or "") + text
    else:
        one.text = (one.text or "") + text


def picture(parent: Element, svg: bytes, alt: str, caption: str) -> Element:
    """Return a figure with a picture in it: as data of an image, where a drawing can neither run nor load anything."""
    one = add(parent, "figure")
    add(one, "img", src="data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii"), alt=alt, **_size(svg))
    add(one, "figcaption", caption)
    return one


def _size(svg: bytes) -> dict[str, str]:
    """Return width and height of a drawing in CSS pixels, of which an inch has 96 and a point 4/3."""
    root = ElementTree.fromstring(svg)
    return {name: str(round(float(root.attrib[name].removesuffix("pt")) * 4 / 3)) for name in ("width", "height")}


def table(
    parent: Element, label: str, head: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = ()
) -> Element:
    """Return a table that scrolls inside itself; the first entry of a row is its header.

    Args:
        parent: the element it goes into.
        label: its caption.
        head: headers of the columns.
        rows: entries, as they are shown.
        texts: numbers of the columns that are no numbers.
    """
    box = add(parent, "div", class_="table", role="region", tabindex="0", aria_label=label)
    one = add(box, "table")
    add(one, "caption", label)
    line = add(add(one, "thead"), "tr")
    for place, name in enumerate(head):
        add(line, "th", name, scope="col", **({"style": "text-align: left"} if place in texts else {}))
    body = add(one, "tbody")
    for row in rows:
        line = add(body, "tr")
        add(line, "th", row[0], scope="row")
        for place, entry in enumerate(row[1:], 1):
            add(line, "td", entry, **({"class_": "text"} if place in texts else {}))
    return box


def written(root: Element) -> str:
    """Return a page as text."""
    return "<!DOCTYPE html>\n" + ElementTree.tostring(root, encoding="unicode", method="html") + "\n"
