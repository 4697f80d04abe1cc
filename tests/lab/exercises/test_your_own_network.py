"""Chapter 12's judges: against the library on three houses and a sum, and each known slip gets its hint."""

import pandas as pd
import pytest
import torch

from acelib import Categories, InputDistribution, interventional_expectation, regional_effects
from acelib.lab.exercises import check
from acelib.lab.exercises.replies import NEARLY, WRONG

HOUSES = {"category": 0, "column": 3}
MISSING = {"moves by": "less", "at most": 0.05}
ADDITIVE = {"of a sum": 0, "with a factor": 1, "split by": "continent"}
BASELINE = {"changes": "level", "effect of 35": 0.3, "difference": 0.8}


def test_answers_worked_out_by_hand_are_right():
    assert check("ex-own-houses", HOUSES)
    assert check("ex-own-missing", MISSING)
    assert check("ex-own-additive", ADDITIVE)
    assert check("ex-own-baseline", BASELINE)
    assert check("ex-own-future", ["support", "warning"])


@pytest.mark.filterwarnings("ignore:the standard error says too little")
def test_the_library_answers_for_the_houses():
    """Against ``Categories`` and the bare one-hot columns."""
    frame = pd.DataFrame({"size": [1.0, 2.0, 4.0], "place": ["sea", "land", "sea"]})
    places = Categories.of(frame)
    weights = torch.tensor([[1.0], [3.0], [3.0]], dtype=torch.float64)
    coded = InputDistribution.fit(places.encode(frame), domain=places.domain | {"size": (0, 5)})
    columns = InputDistribution.fit(places.one_hot(places.encode(frame)), feature_names=places.wide)
    whole = interventional_expectation(places.before(lambda x: x @ weights), coded, "place", [0.0, 1.0])
    alone = interventional_expectation(lambda x: x @ weights, columns, "place=sea", [0.0, 1.0])
    category, column = (float(e.values[1, 0] - e.values[0, 0]) for e in (whole, alone))
    assert check("ex-own-houses", {"category": category, "column": column})


def test_the_library_splits_two_slopes_and_no_sum():
    """Against ``regional_effects`` on rows of which a third has half the slope."""
    X = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X[:, 0] = (torch.arange(300) % 3).double()
    inputs = InputDistribution.fit(X, feature_names=["continent", "income"], domain={"continent": {0, 1, 2}})
    nothing = regional_effects(lambda x: x.sum(1, keepdim=True), inputs, "income")
    two = regional_effects(lambda x: x[:, 1:] * torch.where(x[:, :1] == 0, 1.0, 2.0), inputs, "income")
    assert check("ex-own-additive", {"of a sum": nothing.share, "with a factor": two.share, "split by": two.by})


def test_the_most_that_five_of_a_hundred_can_move_an_average():
    """Against the worst table there is: those who go all have 1, those who stay all 0."""
    worst = torch.tensor([1.0] * 5 + [0.0] * 95)
    assert check("ex-own-missing", {"moves by": "less", "at most": (worst.mean() - worst[5:].mean()).abs()})


@pytest.mark.parametrize(
    ("name", "right", "part", "slip", "said"),
    [
        ("ex-own-houses", HOUSES, "category", 3, "lies nowhere"),
        ("ex-own-houses", HOUSES, "category", 2, "not only those"),
        ("ex-own-houses", HOUSES, "column", 0, "does not follow"),
        ("ex-own-houses", HOUSES, "column", 4, "drops out"),
        ("ex-own-houses", HOUSES, "column", 5, "another weight"),
        ("ex-own-missing", MISSING, "moves by", "more", "value by value"),
        ("ex-own-missing", MISSING, "at most", 5 / 95, "denominator"),
        ("ex-own-missing", MISSING, "at most", 5, "percent"),
        ("ex-own-missing", MISSING, "at most", 1, "most rows stay"),
        ("ex-own-missing", MISSING, "at most", 0.95, "those who stay"),
        ("ex-own-additive", ADDITIVE, "of a sum", 1, "centred curves"),
        ("ex-own-additive", ADDITIVE, "with a factor", 0, "two slopes"),
        ("ex-own-additive", ADDITIVE, "with a factor", 0.5, "either region"),
        ("ex-own-additive", ADDITIVE, "split by", "year", "which slope"),
        ("ex-own-additive", ADDITIVE, "split by", "log income", "another input"),
        ("ex-own-baseline", BASELINE, "changes", "both", "difference of the two"),
        ("ex-own-baseline", BASELINE, "changes", "shape", "one number"),
        ("ex-own-baseline", BASELINE, "effect of 35", 0.4, "over the domain"),
        ("ex-own-baseline", BASELINE, "effect of 35", 0.9, "the expectation"),
        ("ex-own-baseline", BASELINE, "effect of 35", 0.1, "two baselines"),
        ("ex-own-baseline", BASELINE, "difference", 0.2, "in both effects"),
        ("ex-own-baseline", BASELINE, "difference", -0.2, "not a sum"),
    ],
)
def test_slips(name, right, part, slip, said):
    reply = check(name, right | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint


def test_slips_with_what_tells():
    assert check("ex-own-future", ["warning"]).hint == "1 missing."
    assert check("ex-own-future", ["warning", "standard error"]).verdict == NEARLY
    none = check("ex-own-future", ["standard error", "check"])
    assert none.verdict == WRONG and "domain" in none.hint
