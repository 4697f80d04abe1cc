"""What the command line takes: its options with their checks and their help. Nothing heavy is imported for it."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from typing import Any

from .. import __version__

METHODS = ("auto", "monte_carlo", "linearised", "taylor", "cubature")
LINKS = ("softmax", "sigmoid")
FORMATS = ("json", "csv", "html")

_ABOUT = """\
Average causal effects of the inputs of a neural network, with an error bar on every number.
"""
_EFFECTS = """\
Set each column of a table to every value of its domain, leave the other columns as they are, and average the
network's output: E[y | do(column = value)]. Writes the curves with 95 % bands as JSON and CSV, and a report to read.

MODEL is a program of torch.export (.pt2) or ONNX (.onnx) that reads one row of numbers per example; TABLE has a header
with the names of its columns, in the order and the units in which the network reads them.
"""
_EXAMPLES = """\
examples:
  python -m acelib effects iris.pt2 iris.csv --drop species --link softmax
  python -m acelib effects iris.pt2 iris.csv --columns sl,sw,pl,pw --outputs setosa,versicolor,virginica --target setosa
  python -m acelib effects flights.onnx rows.parquet --groups flight --domain speed=50:80 --domain gear=0,1 --out result

to write a network:
  program = torch.export.export(net.eval(), (X[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
  torch.export.save(program, "net.pt2")

exit codes: 0 done, 1 a file, name or number that does not fit, 2 a wrong command, 130 stopped (nothing is written).
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Example:
        >>> options = parser().parse_args("effects net.pt2 table.csv --domain age=18:90 --target 0".split())
        >>> assert options.domain == {"age": (18.0, 90.0)} and options.target == ["0"] and options.seed == 0
    """
    whole = argparse.ArgumentParser(prog="python -m acelib", description=_ABOUT, allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"acelib {__version__}")
    commands = whole.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    effects = commands.add_parser(
        "effects",
        help="effects of every column of a table on a network's outputs",
        description=_EFFECTS,
        epilog=_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    effects.add_argument(
        "model", metavar="MODEL", help="the network: a .pt2 or .onnx file (files of pickles are not read)"
    )
    effects.add_argument("table", metavar="TABLE", help="the rows: a .csv, .tsv, .csv.gz, .tsv.gz or .parquet file")
    _what(effects.add_argument_group("what is explained"))
    _how(effects.add_argument_group("how it is estimated"))
    _where(effects.add_argument_group("what is written"))
    return whole


def _what(group: Any) -> None:
    """Add the options that say which inputs and outputs are meant."""
    add = group.add_argument
    add(
        "--columns",
        type=names,
        metavar="A,B,…",
        help="columns that the network reads, in its order (default: all numeric)",
    )
    add("--drop", type=names, metavar="A,B,…", default=[], help="columns that it does not read, such as the label")
    add(
        "--missing",
        choices=("refuse", "drop"),
        default="refuse",
        help="rows with empty or infinite entries (default: refuse)",
    )
    add("--target", type=names, metavar="NAME,…", help="outputs to explain, by name or number from 0 (default: all)")
    add(
        "--outputs",
        type=names,
        metavar="NAME,…",
        help="names of the network's outputs, in its order (default: 0, 1, …)",
    )
    add("--result", metavar="NAME", help="which tensor, by name or number, where the network returns several")
    add("--link", choices=LINKS, help="explain probabilities of a network that returns logits")
    add(
        "--domain",
        action=_Domains,
        default={},
        metavar="COLUMN=LOW:HIGH",
        help="values that a column is set to, an interval or a list such as gear=0,1; repeat for each column "
        "(default: the range "
        "of the rows, or the values themselves for columns of few whole numbers)",
    )


def _how(group: Any) -> None:
    """Add the options of the estimate."""
    add = group.add_argument
    add(
        "--groups",
        metavar="COLUMN",
        help="column whose equal entries mark rows that depend on each other; it is no input",
    )
    add("--method", choices=METHODS, default="auto", help="estimator (default: auto, which says what it took and why)")
    add(
        "--budget",
        type=_count(100),
        metavar="N",
        help="most rows that the network is asked, over all curves (default: 1000000)",
    )
    add("--rows", type=_count(2), metavar="N", help="most rows of each average, in place of --budget")
    add("--values", type=_count(2), metavar="N", default=50, help="values per column (default: 50)")
    add("--chunk", type=_count(1), metavar="N", help="most rows in one call of the network; bounds memory")
    add("--seed", type=int, metavar="N", default=0, help="seed of whatever is drawn (default: 0)")


def _where(group: Any) -> None:
    """Add the options of what is written."""
    add = group.add_argument
    add("--out", metavar="FOLDER", help="folder of the results (default: TABLE-effects beside the table)")
    add("--format", type=formats, metavar="json,csv,html", default=FORMATS, help="which of them (default: all)")
    add("--quiet", action="store_true", help="say nothing but errors; warnings are in the files all the same")


def names(text: str) -> list[str]:
    """Return names from a list with commas, in which quotes protect commas.

    Raises:
        argparse.ArgumentTypeError: for an empty name, one given twice, or quotes that do not close.

    Example:
        >>> assert names('age,"height, cm"') == ["age", "height, cm"]
    """
    try:
        (found,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (ValueError, csv.Error):
        raise argparse.ArgumentTypeError(f"must be names with commas between them, got {text!r}") from None
    found = [name.strip() for name in found]
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"must be names with commas between them, each once, got {text!r}")
    return found


def formats(text: str) -> list[str]:
    """Return formats from a list with commas.

    Raises:
        argparse.ArgumentTypeError: for an unknown one.
    """
    found = names(text)
    if unknown := [one for one in found if one not in FORMATS]:
        raise argparse.ArgumentTypeError(f"must be out of {', '.join(FORMATS)}, got {unknown[0]!r}")
    return found


def domain(text: str) -> tuple[str, tuple[float, float] | set[float]]:
    """Return a column's name and its domain: a pair for ``name=low:high``, a set for ``name=a,b,c``.

    Raises:
        argparse.ArgumentTypeError: for anything else.

    Example:
        >>> assert domain("a=b=-1:2") == ("a=b", (-1.0, 2.0)) and domain("gear=0,1") == ("gear", {0.0, 1.0})
    """
    name, found, values = text.rpartition("=")
    pair = values.split(":")
    try:
        numbers = [float(one) for one in (pair if len(pair) > 1 else values.split(","))]
    except ValueError:
        numbers = []
    fits = len(numbers) == 2 and numbers[0] < numbers[1] if len(pair) > 1 else True
    if not found or not name or not numbers or not fits or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"must be COLUMN=LOW:HIGH with LOW < HIGH, or COLUMN=A,B,…, got {text!r}")
    return name, (numbers[0], numbers[1]) if len(pair) > 1 else set(numbers)


class _Domains(argparse.Action):
    """A mapping that grows with each ``--domain``."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        try:
            name, found = domain(values)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, getattr(namespace, self.dest) | {name: found})


def _count(least: int) -> Any:
    """Return a reader of whole numbers from ``least`` on."""

    def count(text: str) -> int:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number != int(number) or number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number, at least {least}, got {text!r}")
        return int(number)

    return count


def as_written(words: Sequence[str]) -> str:
    """Return a command as it can be typed again."""
    import shlex

    return shlex.join(["python", "-m", "acelib", *words])
