"""What the numbers of a run mean and where they end: the sentences that a reader needs before believing a curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .words import listed, number, shortened

NAMED = 10  # columns that a sentence names
MANY = 20  # columns, beyond which distances tell little

ESTIMATORS = {
    "monte_carlo": "averages over rows of the table, each with the column overwritten",
    "linearised": "linear steps around every row, corrected on some rows without bias",
    "taylor": "a second-order Taylor expansion around the mean, which is biased where the network is not quadratic",
    "cubature": "a few points with the mean and covariance of the rows, which is biased where the network is not "
    "quadratic",
}


def doubts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what to trust, as pairs of a term and what there is to say.

    Args:
        content: what the JSON holds.
    """
    found = [
        (
            "The network, not the world",
            "A column is overwritten before the network reads it. The curves say how this network's output "
            "answers, and "
            "nothing of what would happen if the quantity itself were changed.",
        ),
        (
            "Columns that cause each other",
            "When a column is set, the others keep the values of their rows. Where the columns do not cause each "
            "other this is "
            "the whole effect; where they do, it is the direct one (CausalGraphInputs of acelib has the total one).",
        ),
        ("Order and units", _order(content)),
        ("Bands", _bands(content)),
        ("Importance", _importance(content)),
        ("Curves within noise", _noise(content)),
        ("Support", _support(content)),
        ("Estimator", _estimator(content)),
    ]
    return found


def _few(names: list[str]) -> str:
    some = [shortened(name) for name in names]
    return listed(some) if len(some) <= NAMED else f"{', '.join(some[:NAMED])} and {len(some) - NAMED} more"


def _order(content: Mapping[str, Any]) -> str:
    names = _few([feature["name"] for feature in content["features"]])
    return (
        f"The network was given the columns in this order, in the units of the table: {names}. No program can see "
        f"whether it was "
        "trained so; outputs for the rows as they are, at the head of each section, should look familiar."
    )


def _bands(content: Mapping[str, Any]) -> str:
    groups = content["settings"]["groups"]
    rows = (
        f"Rows with the same {shortened(groups)} are taken to depend on each other."
        if groups
        else "The rows are taken to be independent draws; where they are not (times, windows, one person twice), "
        "--groups makes "
        "the bands honest."
    )
    sampled = [f["name"] for f in content["features"] if f["domain"] == "interval" and f["origin"] != "named"]
    domain = (
        f" Domains that were not named are ranges of the rows ({_few(sampled)}); their errors are in the bands of "
        f"effects, for "
        "samples of this size. --domain names one."
        if sampled
        else ""
    )
    return (
        "95 % intervals, value by value, for other rows of the same population, the network as it is: another "
        "training of it may "
        f"move a curve farther. {rows}{domain}"
    )


def _importance(content: Mapping[str, Any]) -> str:
    count = len(content["curves"])
    chance = (
        f" With {count} intervals, about {number(count / 20, 2)} miss their truth by chance alone."
        if count >= 20
        else ""
    )
    return (
        "The standard deviation of the average output when the column is set to all values of its domain alike, so "
        "it depends on "
        "the domain: a wider one gives more. It does not show what single rows do in opposite directions; the thin "
        "lines of the "
        f"curves do.{chance}"
    )


def _noise(content: Mapping[str, Any]) -> str:
    weak = [f"{c['feature']} on {c['target']}" for c in content["curves"] if c["verdict"] == "within noise"]
    still = [f"{c['feature']} on {c['target']}" for c in content["curves"] if c["verdict"] == "none"]
    said = [
        f"Their importance may be 0: {_few(weak)}." if weak else "None: every importance is clear of 0 or exactly 0."
    ]
    if still:
        said.append(f"No effect at all, to rounding: {_few(still)}.")
    return " ".join(said)


def _support(content: Mapping[str, Any]) -> str:
    least: dict[str, float] = {}
    for curve in content["curves"]:
        if curve["backed"] is not None:
            least[curve["feature"]] = min(curve["backed"], least.get(curve["feature"], 1.0))
    if not least:
        return "Unknown: the table has too few rows to say where the data end."
    blind = " With so many columns all rows are far from each other, and a share near 100 % proves little."
    blind = blind if len(content["features"]) > MANY else ""
    low = sorted((name for name in least if least[name] < 1), key=lambda name: least[name])
    if not low:
        return f"At every value of every domain, most rows stay near rows that were seen.{blind}"
    each = [f"{shortened(name)} {100 * least[name]:.0f} %" for name in low[:NAMED]]
    each += [f"{len(low) - NAMED} more columns below 100 %"] if len(low) > NAMED else []
    each += ["all others 100 %"] if len(low) < len(least) else []
    return (
        "A row has left the data when its nearest row of the table is farther than those of 99 % of the rows. Share of "
        f"the domain at whose values most rows stay: {', '.join(each)}. Outside, a curve is the network's guess.{blind}"
    )


def _estimator(content: Mapping[str, Any]) -> str:
    said = []
    for method in dict.fromkeys(curve["method"] for curve in content["curves"]):
        curves = [curve for curve in content["curves"] if curve["method"] == method]
        rows = sorted({curve["rows"] for curve in curves})
        count = f"{rows[0]}" if len(rows) == 1 else f"{rows[0]} to {rows[-1]}"
        reasons = list(dict.fromkeys(curve["reason"] for curve in curves if curve["reason"]))
        why = f" Why: {reasons[0]}." if reasons else ""
        used = f" ({count} rows)" if rows[-1] else ""
        said.append(f"{method.replace('_', ' ').capitalize()}: {ESTIMATORS.get(method, method)}{used}.{why}")
        errors = [abs(e) for curve in curves for e in curve.get("approximation_error", []) if e is not None]
        if errors:
            said.append(f"Against averages over rows it is off by up to {number(max(errors))}.")
    return " ".join(said)
