"""Every registered rule, in every documented form of its arguments, against double backward in float64 to 1e-10.

``jets_calls`` has a call for each name in the registry, and a name without one fails. From a call the other forms
follow: function, method and in-place method, positions and names (read from torch's own signatures), and which of the
tensors vary and which are constants. The call itself must be right and reach its rule; another form is right or is
refused by name, and a form that plain tensors do not know is no form.
"""

import inspect
import itertools
import re

import pytest
import torch
import torch.nn.functional as F
from jets_calls import CALLS, CASTS, NOT_CALLED, OPERATORS, OTHERWISE, TESTS, T, turned
from jets_oracle import F64, S, X, agrees, varying

from acelib import jets
from acelib.jets.registry import RULES

pytestmark = pytest.mark.filterwarnings("ignore")


def fill(tree, x, which, counter):
    """The arguments at x; markers whose number is not in ``which`` are constants."""
    if isinstance(tree, T):
        return tree.at(x) if next(counter) in which else tree.constant()
    if isinstance(tree, (list, tuple)) and markers(tree):
        return type(tree)(fill(item, x, which, counter) for item in tree)
    return tree


def markers(tree):
    if isinstance(tree, T):
        return 1
    return sum(markers(item) for item in tree) if isinstance(tree, (list, tuple)) else 0


def floating(out):
    """The first floating part of a result."""
    parts = out if isinstance(out, (tuple, list)) else (out,)
    return next(part for part in parts if isinstance(part, torch.Tensor) and part.is_floating_point())


def names_of(function):
    """The names of a function's arguments, from its signature or from the first line of its documentation."""
    try:
        return [p for p in inspect.signature(function).parameters]
    except (TypeError, ValueError):
        found = re.match(r"\s*\w+\((.*?)\)\s*->", function.__doc__ or "")
        names = [part.split(":")[0].split("=")[0].strip(" *") for part in found.group(1).split(",")] if found else []
        return [name for name in names if name.isidentifier()]


def homes(name):
    """The functions and methods of that name."""
    plain = {"linalg_norm": "norm", "linalg_vector_norm": "vector_norm", "linalg_cross": "cross"}
    plain["linalg_vecdot"] = "vecdot"
    if name in plain:
        return {"linalg": getattr(torch.linalg, plain[name])}
    places = {"torch": torch, "functional": F, "special": torch.special, "method": torch.Tensor}
    if name in ("T", "mT"):
        return {"property": lambda z: getattr(z, name)}
    return {place: getattr(home, name) for place, home in places.items() if callable(getattr(home, name, None))}


def forms(name):
    """Forms of the call of a name: (what is said of it, model, whether it may be refused)."""
    args, kwargs = CALLS[name]
    count = markers(list(args))
    every = tuple(range(count))
    choices = [every, *(c for n in range(1, count) for c in itertools.combinations(every, n))][:4]
    first = True
    for place, function in homes(name).items():
        if place == "method" and not (args and isinstance(args[0], T)):
            continue
        for which in choices:

            def call(x, function=function, which=which):
                return floating(function(*fill(args, x, which, itertools.count()), **kwargs))

            yield f"{place}, {which} vary", call, not (first and which == every)
        first = False
        names = names_of(function)
        if len(names) >= len(args):

            def named(x, function=function, names=names, skip=int(place == "method")):
                filled = fill(args, x, every, itertools.count())
                return floating(
                    function(*filled[:skip], **dict(zip(names[skip:], filled[skip:], strict=False)), **kwargs)
                )

            yield f"{place}, by name", named, True
    in_place = getattr(torch.Tensor, f"{name}_", None)
    if in_place is not None and args and isinstance(args[0], T):

        def writing(x):
            filled = fill(args, x, every, itertools.count())
            z = filled[0].clone()
            in_place(z, *filled[1:], **kwargs)
            return z

        yield "in place", writing, True


@pytest.fixture
def reached(monkeypatch):
    """The names of the rules that are called."""
    seen = set()
    for name, rule in RULES.items():

        def noting(func, *args, rule=rule, name=name, **kwargs):
            seen.add(name)
            return rule(func, *args, **kwargs)

        monkeypatch.setitem(RULES, name, noting)
    return seen


def test_every_registered_rule_has_a_form():
    known = set().union(CALLS, OPERATORS, TESTS, CASTS, NOT_CALLED, {"hardsigmoid"})
    assert set(jets.supported()) - known == set(), "give each of these names a call in tests/jets_calls.py"
    assert known - set(jets.supported()) == set(), "these names are no longer registered"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_rule_in_every_form_of_its_arguments(name, reached):
    right = 0
    for what, model, refusable in forms(name):
        try:
            plain = model(X)
        except (TypeError, RuntimeError, ValueError, IndexError, AttributeError):
            assert refusable or not right, f"{name}: {what} is no form of the call"
            continue  # plain tensors have no such form
        if plain.dtype != F64:
            continue
        try:
            agrees(model)
            right += 1
        except jets.MissingRule as error:
            assert refusable, f"{name}: {what}: {error}"
        except (NotImplementedError, RuntimeError) as error:
            if "derivative" not in str(error) and "differentiable" not in str(error):
                raise
        except AssertionError as error:
            raise AssertionError(f"{name}: {what}") from error
    assert right and name in reached | OTHERWISE, f"{right} forms of {name} are right, rules: {sorted(reached)}"


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_operators_and_writing(name, reached):
    agrees(OPERATORS[name])
    assert name in reached | OTHERWISE


@pytest.mark.parametrize("name", sorted(TESTS))
def test_what_has_no_slope_is_a_factor(name, reached):
    """Numbers and masks multiply by what they are; what is no number is only asked for."""

    def factor(z):
        found = TESTS[name](z)
        if isinstance(found, torch.Size | bool | int | float):
            found = torch.as_tensor(found, dtype=F64)
        return found.double().sum().detach() if isinstance(found, torch.Tensor) else 1.0

    agrees(lambda x: varying(x) * (1 + factor(turned(x))))
    assert name in reached | OTHERWISE, sorted(reached)


def test_hardsigmoid(reached):
    """Torch has no second derivative of it; the same by a clamp has. Its slope there is 1/6 in float32: 1e-7."""
    found = jets.propagate(lambda x: F.hardsigmoid(3 * varying(x)), X, S)
    right = jets.propagate(lambda x: (varying(x) / 2 + 0.5).clamp(0, 1), X, S)
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)
    assert "hardsigmoid" in reached


@pytest.mark.parametrize("name", sorted(CASTS))
def test_casts(name, reached):
    def cast(x):
        return getattr(turned(x), name)().double()

    for one, other in zip(jets.propagate(cast, X, S), jets.propagate(turned, X, S), strict=True):
        torch.testing.assert_close(one, other, rtol=CASTS[name], atol=4 * CASTS[name])
    assert name in reached
