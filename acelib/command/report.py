"""The report to read: the answer, pictures, numbers, what to trust, how it was made; one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from .answer import interval, ranked
from .page import add, page, picture, table, written
from .trust import doubts
from .words import number, reading, shortened

if TYPE_CHECKING:
    from .figures import Picture

VERDICTS = {"clear": "clear", "within noise": "within noise", "none": "no effect"}


def report(content: Mapping[str, Any], pictures: Mapping[tuple[str, str], Picture]) -> str:
    """Return the report as a page of HTML.

    Args:
        content: what the JSON holds.
        pictures: by (output, column), see ``draw``.
    """
    model, rows = content["model"]["name"], content["table"]
    title = f"Average causal effects in {model}"
    root, body = page(title)
    header = add(body, "header")
    add(header, "h1", title)
    add(
        header,
        "p",
        f"{len(content['features'])} columns of {rows['name']}, {rows['rows']} rows, {_outputs(content)}",
        class_="under",
    )
    add(header, "p", " ".join(content["answer"]), class_="answer")
    _contents(header, content)
    main = add(body, "main")
    for place, target in enumerate(content["targets"]):
        _target(main, place, target, content, pictures)
    _trust(main, content)
    _made(main, content)
    footer = add(body, "footer")
    add(
        footer, "p", f"Written by acelib {content['acelib']}. The same numbers, to the last digit, are in effects.json."
    )
    return written(root)


def _outputs(content: Mapping[str, Any]) -> str:
    count = len(content["targets"])
    return f"{count} output{'s' if count > 1 else ''}" + (
        f" by {link}" if (link := content["settings"]["link"]) else ""
    )


def _contents(header: Element, content: Mapping[str, Any]) -> None:
    nav = add(header, "nav", aria_label="Contents")
    items = add(nav, "ul")
    for place, target in enumerate(content["targets"]):
        add(add(items, "li"), "a", _name(target), href=f"#output-{place}")
    add(add(items, "li"), "a", "What to trust", href="#trust")
    add(add(items, "li"), "a", "How it was made", href="#made")


def _name(target: Mapping[str, Any]) -> str:
    return f"Output {target['name']}" if str(target["name"]).isdigit() else shortened(target["name"])


def _target(
    main: Element,
    place: int,
    target: Mapping[str, Any],
    content: Mapping[str, Any],
    pictures: Mapping[tuple[str, str], Picture],
) -> None:
    """Write the section of one output."""
    name, curves = target["name"], ranked(content, target["name"])
    section = add(main, "section", aria_labelledby=f"output-{place}")
    add(section, "h2", _name(target), id=f"output-{place}")
    add(
        section,
        "p",
        f"For the rows of the table as they are it is {number(target['mean'])} on average, from "
        f"{number(target['least'])} to "
        f"{number(target['most'])}.",
    )
    chart = pictures[name, ""]
    picture(section, chart.svg, chart.alt, chart.caption)
    drawn = [curve for curve in curves if (name, curve["feature"]) in pictures]
    add(section, "h3", "Curves of effects")
    add(
        section,
        "p",
        "The average output when a column is set to a value, minus its mean over the domain. Shaded: 95 % band. "
        "Thin lines: "
        "single rows. Marks below: values in the table. Grey background: values at which most rows leave the data."
        + (f" The {len(drawn)} largest of {len(curves)} curves are drawn." if len(drawn) < len(curves) else ""),
    )
    grid = add(section, "div", class_="grid")
    for curve in drawn:
        one = pictures[name, curve["feature"]]
        picture(grid, one.svg, one.alt, f"{shortened(curve['feature'])}: {_short(curve)}")
    _numbers(section, target, curves)


def _short(curve: Mapping[str, Any]) -> str:
    size = f"importance {interval(curve['importance'])}"
    return size if curve["verdict"] == "clear" else f"{size}, {VERDICTS[curve['verdict']]}"


def _numbers(section: Element, target: Mapping[str, Any], curves: list[dict[str, Any]]) -> None:
    """Write the table of an output's curves."""
    head = ["column", "importance", "95 % interval", "effect at the low end", "effect at the high end", "widest ±"]
    head += ["backed by rows", "judgement", "estimator", "rows"]
    rows = []
    for curve in curves:
        size = curve["importance"]
        widths = [(h - w) / 2 for h, w in zip(curve["ace_high"], curve["ace_low"], strict=True) if None not in (h, w)]
        backed = "unknown" if curve["backed"] is None else f"{100 * curve['backed']:.0f} %"
        rows.append(
            [
                shortened(curve["feature"]),
                number(size["value"]),
                f"{number(size['low'])} to {number(size['high'])}",
                *(f"{number(curve['ace'][i])} at {reading(curve['value'][i])}" for i in (0, -1)),
                number(max(widths, default=None)),
                backed,
                VERDICTS[curve["verdict"]],
                curve["method"].replace("_", " "),
                str(curve["rows"]),
            ]
        )
    table(section, f"Effects on {shortened(target['name'])}, the largest importance first", head, rows, texts=(7, 8))


def _trust(main: Element, content: Mapping[str, Any]) -> None:
    section = add(main, "section", aria_labelledby="trust")
    add(section, "h2", "What to trust", id="trust")
    told = [one["text"] for one in content["warnings"] if one["concerns"] == "effects"]
    if told:
        box = add(section, "div", class_="warnings", role="note", aria_label="Warnings")
        add(box, "h3", f"{len(told)} warning{'s' if len(told) > 1 else ''}")
        items = add(box, "ul")
        for text in told:
            add(items, "li", text)
    terms = add(section, "dl")
    for term, text in doubts(content):
        add(terms, "dt", term)
        add(terms, "dd", text)


def _made(main: Element, content: Mapping[str, Any]) -> None:
    """Write how to make it again: command, columns with their domains, files, versions."""
    section = add(main, "section", aria_labelledby="made")
    add(section, "h2", "How it was made", id="made")
    add(add(section, "pre"), "code", content["command"])
    rows = []
    for feature in content["features"]:
        values = feature.get("values")
        domain = (
            ", ".join(map(reading, values)) if values else f"{reading(feature['low'])} to {reading(feature['high'])}"
        )
        origin = "values of the rows" if values and feature["origin"] == "values" else feature["origin"]
        seen = f"{reading(feature['least'])} to {reading(feature['most'])}"
        rows.append([shortened(feature["name"]), domain, origin, number(feature["mean"]), seen])
    head = ["column", "domain", "where from", "mean", "range of the rows"]
    table(section, "Columns in the order in which the network reads them", head, rows, texts=(1, 2))
    files = [[one["name"], one["sha256"]] for one in (content["model"], content["table"])]
    table(section, "Files that were read", ["file", "SHA-256"], files, texts=(1,))
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    add(
        section,
        "p",
        f"Seed {content['settings']['seed']}; {content['date']}; {number(content['seconds'])} s. {versions}.",
    )
