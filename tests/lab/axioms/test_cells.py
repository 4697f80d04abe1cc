"""Every cell of the table again: the methods of the chapter, no violation where it says holds, a witness where not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab.axioms.explained import LITERAL, all_orders, chapter_methods, chapter_names, zero

from acelib.lab.axioms import AXIOMS, CELLS, VERDICTS, Method, largest_gap, search

EVERY = [(axiom, name, cell) for axiom, row in CELLS.items() for name, cell in row.items()]
HOLDS = [(axiom, name, kind) for axiom, name, cell in EVERY for kind in cell.holds]
FAILS = [(axiom, name, kind) for axiom, name, cell in EVERY for kind in cell.fails]

pytestmark = pytest.mark.filterwarnings("ignore")  # few rows, values off the data, hooks of Captum


def test_the_table_is_whole():
    """Twelve methods, six axioms, and in each cell a reason and something to re-run."""
    assert list(CELLS) == list(AXIOMS)
    for axiom, row in CELLS.items():
        assert list(row) == list(chapter_methods())
        for cell in row.values():
            assert cell.reason.endswith(".") and (cell.holds or cell.fails)
            assert not set(cell.holds) & set(cell.fails)
            assert {*cell.holds, *cell.fails} <= set(AXIOMS[axiom].kinds)
            assert cell.verdict in VERDICTS and set(cell.on_average) <= set(cell.fails)
            assert (cell.verdict == "holds") == (not cell.fails) and (cell.verdict == "fails") <= (not cell.holds)


@pytest.mark.parametrize(("axiom", "name", "kind"), HOLDS)
def test_no_violation(axiom, name, kind):
    method, asked = chapter_methods()[name], AXIOMS[axiom]
    assert largest_gap(method, asked.gap, asked.kinds[kind], tries=3, seed=5) <= method.tolerance


@pytest.mark.parametrize(("axiom", "name", "kind"), FAILS)
def test_witness(axiom, name, kind):
    """The search finds one, and its number draws it again."""
    method, asked = chapter_methods()[name], AXIOMS[axiom]
    witness = search(method, asked.gap, asked.kinds[kind], seed=5)
    assert witness is not None
    again = asked.gap(method, **witness.case)
    assert again == pytest.approx(witness.gap, rel=1e-9) and again > 0.01


@pytest.mark.parametrize(("axiom", "name", "kind"), [cell for cell in HOLDS if cell[1] in LITERAL])
def test_no_violation_in_double_precision(axiom, name, kind):
    """Where Captum rounds to single precision, the literal method holds to 1e-9, on many networks."""
    asked, limit = AXIOMS[axiom], 1e-9
    assert largest_gap(LITERAL[name], asked.gap, asked.kinds[kind], tries=25, seed=6) <= limit


AVERAGED = [(axiom, name, kind) for axiom, name, cell in EVERY for kind in cell.on_average]


def missing(axiom, name, case, number):
    """By how much, with its sign, one draw of a method breaks completeness or symmetry at the first inputs."""
    names = chapter_names()
    drawn = names["sampled_shapley"](number)
    if name == "ACE, linearised":
        drawn = names["causal_effect"]("linearised", rows=16, seed=number)
    found = drawn(case["net"], case["x"][:2], case["rows"]).double()
    if axiom == "symmetry":
        return float(found[0, 0] - found[0, 1])
    one, other = (found.sum(1) - case["net"](case["x"][:2])[:, 0]).tolist()
    return one - other


@pytest.mark.parametrize(("axiom", "name", "kind"), AVERAGED)
def test_on_average(axiom, name, kind):
    """Over 30 seeds of the method's own draws the mean is zero within 4 of its standard errors, and each is not."""
    case = AXIOMS[axiom].kinds[kind](torch.Generator().manual_seed(3))
    each = np.array([missing(axiom, name, case, number) for number in range(30)])
    assert each.std() > 1e-4 and abs(each.mean()) < 4 * each.std(ddof=1) / len(each) ** 0.5


SHAPLEY = [(axiom, kind) for axiom, name, kind in HOLDS if name == "Shapley sampling"]
SHAPLEY += [("symmetry", kind) for kind in ("tied", "untied", "other marginals")]


@pytest.mark.parametrize(("axiom", "kind"), SHAPLEY)
def test_all_orders_hold_what_sampled_orders_hold_and_symmetry_too(axiom, kind):
    asked = AXIOMS[axiom]
    assert largest_gap(Method(all_orders, zero), asked.gap, asked.kinds[kind], tries=25, seed=6) <= 1e-9


@pytest.mark.parametrize("name", LITERAL)
@pytest.mark.parametrize(("axiom", "kind"), [("completeness", "interacting"), ("dummy", "read and cancelled")])
def test_captum_computes_the_literal_method(axiom, kind, name):
    for number in range(5):
        case = AXIOMS[axiom].kinds[kind](torch.Generator().manual_seed(number))
        net, x, rows = case["net"], case["x"], case["rows"]
        by_captum, by_hand = (each[name](net, x, rows).double() for each in (chapter_methods(), LITERAL))
        torch.testing.assert_close(by_captum, by_hand, rtol=1e-5, atol=1e-6)
