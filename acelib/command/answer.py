"""The answer in words: what moves each output most, what cannot be told from noise, and where the data end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .words import listed, number, output_name, reading, shortened

TARGETS = 4  # outputs with a sentence of their own
NAMED = 3  # columns that a sentence names
BACKED = 0.9  # share of a domain, below which the answer speaks of it


def answer(content: Mapping[str, Any]) -> list[str]:
    """Return the answer as sentences.

    Args:
        content: what the JSON holds.
    """
    targets = [target["name"] for target in content["targets"]]
    said = [_of_target(target, ranked(content, target)) for target in targets[:TARGETS]]
    if len(targets) > TARGETS:
        said.append(f"The other {len(targets) - TARGETS} outputs are in the tables.")
    weak = sum(curve["verdict"] != "clear" for curve in content["curves"])
    if weak:
        be = "is" if weak == 1 else "are"
        said.append(f"{weak} of {len(content['curves'])} curves {be} not to be told from a constant.")
    if where := _guessed(content):
        said.append(
            f"Most rows leave the data over a tenth or more of the domain of {where}: there the network answers "
            f"for inputs "
            "that it may never have met."
        )
    said.append(
        "Importance is the standard deviation of the average output while a column is set to each value of its "
        "domain; all "
        "this is about the network, not about the world that the table is from."
    )
    return said


def ranked(content: Mapping[str, Any], target: str) -> list[dict[str, Any]]:
    """Return the curves of an output, the largest importance first."""
    curves = [curve for curve in content["curves"] if curve["target"] == target]
    return sorted(curves, key=lambda curve: -curve["importance"]["value"])


def interval(size: Mapping[str, float]) -> str:
    """Return an estimate with its interval in words."""
    return f"{number(size['value'])}, 95 % interval {number(size['low'])} to {number(size['high'])}"


def _of_target(target: str, curves: list[dict[str, Any]]) -> str:
    """Return the sentence about one output."""
    clear = [curve for curve in curves if curve["verdict"] == "clear"]
    name = output_name(target)
    if not clear:
        return f"No column moves {name} by more than the noise of these rows."
    first, *others = clear
    ends = [f"{number(first['ace'][i])} at {reading(first['value'][i])}" for i in (0, -1)]
    said = (
        f"Setting {shortened(first['feature'])} moves {name} most (importance {interval(first['importance'])}; effect "
        f"{' and '.join(ends)})"
    )
    if others:
        then = [f"{shortened(c['feature'])} ({number(c['importance']['value'])})" for c in others[:NAMED]]
        said += f", then {listed(then)}"
        if others[0]["importance"]["high"] > first["importance"]["low"]:
            said += "; the intervals of the first two overlap, so their order is not certain"
    return f"{said}."


def _guessed(content: Mapping[str, Any]) -> str:
    """Return the columns of whose domain a part is not backed by rows; "" for none."""
    low = {c["feature"] for c in content["curves"] if c["backed"] is not None and c["backed"] < BACKED}
    names = [shortened(one["name"]) for one in content["features"] if one["name"] in low]
    if len(names) == len(content["features"]) > 1:
        return "every column"
    return f"{len(names)} columns" if len(names) > NAMED else listed(names) if names else ""
