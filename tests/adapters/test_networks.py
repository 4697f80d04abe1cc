"""Networks that return more than a tensor or take their input by name, and batches of dictionaries."""

from __future__ import annotations

import pickle
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from acelib import AverageCausalEffect, InputDistribution, as_model, half_trace, interventional_expectation

X = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
Pair = namedtuple("Pair", "logits hidden")


class ModelOutput(OrderedDict):
    """As that of transformers: a dictionary with attributes and places."""

    def __getattr__(self, name):
        return self[name]

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int | slice) else super().__getitem__(key)


@dataclass
class Result:
    logits: torch.Tensor
    hidden: torch.Tensor


FORMS = {
    "dict": lambda logits, hidden: {"logits": logits, "hidden": hidden},
    "ModelOutput": lambda logits, hidden: ModelOutput(logits=logits, hidden=hidden),
    "namedtuple": Pair,
    "dataclass": Result,
    "tuple": lambda logits, hidden: (logits, hidden),
    "list": lambda logits, hidden: [logits, hidden],
}


class Net(nn.Module):
    def __init__(self, form, squeezed=False):
        super().__init__()
        self.first, self.last, self.form, self.squeezed = (
            nn.Linear(3, 4),
            nn.Linear(4, 1 if squeezed else 2),
            form,
            squeezed,
        )

    def forward(self, inputs_embeds=None, attention_mask=None):
        hidden = self.first(inputs_embeds).tanh()
        logits = self.last(hidden)
        return FORMS[self.form](logits.squeeze(-1) if self.squeezed else logits, hidden)


def net(form, **options):
    torch.manual_seed(0)
    return Net(form, **options).eval()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_output_is_picked_and_stays_differentiable(form, dtype):
    """All estimators and the curvature are those of the plain network, bit by bit."""
    whole = net(form).to(dtype)
    plain = nn.Sequential(whole.first, nn.Tanh(), whole.last)
    key = 0 if form in ("tuple", "list") else "logits"
    model = as_model(whole, output=key, input="inputs_embeds")
    inputs = InputDistribution.fit(X.double(), domain=(-4, 4))
    for method in ("monte_carlo", "taylor", "cubature"):
        ours, own = (interventional_expectation(m, inputs, 1, [0.0, 1.0], method=method) for m in (model, plain))
        assert torch.equal(ours.values, own.values)
    factor = torch.eye(3, dtype=dtype)
    assert torch.allclose(half_trace(model, X[:2].to(dtype), factor), half_trace(plain, X[:2].to(dtype), factor))
    assert torch.equal(as_model(whole, output=-1)(X.to(dtype)), whole.first(X.to(dtype)).tanh())
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(X.to(dtype)), plain(X.to(dtype)))


def test_a_flat_output_becomes_a_column_and_a_single_one_needs_no_name():
    flat = as_model(net("dict", squeezed=True), output="logits")
    assert flat(X).shape == (90, 1)
    assert torch.equal(as_model(lambda x: {"y": x * 2}, output="y")(X), X * 2)
    assert torch.equal(as_model(lambda rows: rows * 2, input="rows")(X), X * 2)
    assert torch.equal(as_model(nn.Flatten())(X), X)
    ace = AverageCausalEffect(as_model(net("dict"), output="logits"), InputDistribution.fit(X))
    assert ace.num_outputs == 2


@pytest.mark.parametrize(
    "form, said",
    [
        ("dict", r"got dict; name one of its outputs \['logits', 'hidden'\] by acelib.as_model\(model, output=...\)"),
        ("ModelOutput", r"got ModelOutput; name one of its outputs \['logits', 'hidden'\]"),
        ("namedtuple", r"got Pair; name one of its outputs \['logits', 'hidden'\]"),
        ("tuple", r"got tuple; name one of its outputs \[0, 1\]"),
    ],
)
def test_a_network_of_several_outputs_is_told_the_remedy(form, said):
    with pytest.raises(TypeError, match=said):
        interventional_expectation(net(form), InputDistribution.fit(X), 0, [0.0])


def test_wrong_names_end_in_one_sentence():
    with pytest.raises(
        ValueError, match=r"output must be one of the outputs \['logits', 'hidden'\] of Net, .* got None"
    ):
        as_model(net("dict"))(X)
    with pytest.raises(ValueError, match="got 'logit'"):
        as_model(net("dict"), output="logit")(X)
    with pytest.raises(ValueError, match="output must be left out for Flatten, which returns a single tensor"):
        as_model(nn.Flatten(), output="logits")(X)
    with pytest.raises(ValueError, match="unexpected keyword argument"):
        interventional_expectation(as_model(net("dict"), output=0, input="ids"), InputDistribution.fit(X), 0, [0.0])
    with pytest.raises(TypeError, match="model must be a torch network where output or input is named, got int"):
        as_model(3, output="logits")


@pytest.mark.parametrize("kind", [dict, UserDict, ModelOutput], ids=lambda kind: kind.__name__)
def test_batches_of_dictionaries_are_read_by_a_key(kind):
    """As the same loader of plain batches, to the last digit; a dictionary of whole tables too."""
    loader = DataLoader([{"inputs_embeds": x, "labels": 0} for x in X], batch_size=20)
    found = InputDistribution.fit((kind(batch) for batch in loader), key="inputs_embeds")
    plain = InputDistribution.fit(iter(X.split(20)))
    assert torch.equal(found.mean, plain.mean) and torch.equal(found.samples, plain.samples)
    whole = InputDistribution.fit(kind(inputs_embeds=X, labels=0), key="inputs_embeds")
    assert torch.equal(whole.mean, InputDistribution.fit(X).mean)
    assert torch.equal(InputDistribution.fit(loader, key="inputs_embeds").mean, plain.mean)


def test_dictionaries_without_a_key_are_told_the_remedy():
    batches = [{"x": X[:30]}, {"x": X[30:]}]
    with pytest.raises(
        TypeError, match=r"got dictionaries with \['x'\]; name the entry by InputDistribution.fit\(X, key"
    ):
        InputDistribution.fit(iter(batches))
    with pytest.raises(TypeError, match="name the entry that holds the inputs by key="):
        InputDistribution.fit({"x": X})
    with pytest.raises(ValueError, match=r"key must be one of the entries \['x'\] of X, got 'y'"):
        InputDistribution.fit(batches, key="y")
    with pytest.raises(TypeError, match="X must hold dictionaries where key is given, got Tensor"):
        InputDistribution.fit(X, key="x")
