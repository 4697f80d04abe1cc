"""What is fitted belongs to the library: the caller's memory may be overwritten afterwards, and no answer changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from acelib import FeedbackSequences, InputDistribution, LatentPrior, interventional_expectation
from acelib.intrinsic import EmpiricalNoise, FiniteNoise, LinearModel
from acelib.recurrent import Recurrent


def data(dtype=torch.float64):
    return torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)


def model(x):
    return x[:, :1] * x[:, 1:2] + x[:, 2:] ** 2


def answers(inputs, net=model):
    """Everything that can be asked of rows and moments."""
    found = [inputs.mean, inputs.do(0, [0.3]).means, inputs.do({1: 0.5}).mean]
    for method in ("monte_carlo", "taylor", "cubature"):
        e = interventional_expectation(net, inputs, 0, [0.2, 0.9], method=method)
        found += [e.values, e.stderr, e.support]
    return [t.clone() for t in found]


def overwrite(holder):
    if isinstance(holder, pd.DataFrame):
        for block in holder._mgr.blocks:  # as a write through another view of the same memory would
            block.values.flags.writeable = True
            block.values[:] = 7.0
    else:
        holder[:] = 7.0


TABLES = {
    "numpy": lambda x: (x.numpy(), x.numpy()),
    "a view of numpy": lambda x: (x.numpy()[:], x.numpy()),
    "torch": lambda x: (x, x),
    "columns first": lambda x: (x.T.contiguous().T, None),
    "frame": lambda x: (f := pd.DataFrame(x.numpy(), columns=list("abc"), copy=False), f),
    "a list of one batch": lambda x: ([x], x),
    "a stream": lambda x: (iter([x]), x),
    "images": lambda x: (x.reshape(40, 3, 1), x),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_may_be_overwritten(kind, dtype):
    """All answers before and after are equal to the last bit; nothing is written to the caller's table."""
    x = data(dtype)
    table, memory = TABLES[kind](x)
    inputs = InputDistribution.fit(table)
    assert torch.equal(x, data(dtype))
    net = model if kind != "images" else lambda z: model(z[..., 0])
    before = answers(inputs, net)
    overwrite(table if memory is None else memory)
    assert all(torch.equal(a, b) for a, b in zip(before, answers(inputs, net), strict=True))


def test_writing_to_the_samples_leaves_the_table():
    frame = pd.DataFrame(data().numpy(), columns=list("abc"))
    kept = frame.copy()
    InputDistribution.fit(frame).samples.fill_(9.0)
    assert frame.equals(kept)


@pytest.mark.filterwarnings("error")
def test_read_only_memory_brings_no_warning():
    """pandas hands out read-only arrays, of which torch would warn."""
    array = data().numpy()
    array.flags.writeable = False
    inputs = InputDistribution.fit(array)
    inputs.do(0, array[:3, 0])


def test_values_moments_and_weights_may_be_overwritten():
    x, w = data(), torch.rand(40, dtype=torch.float64)
    mean, factor, values = x.mean(0), torch.eye(3, dtype=torch.float64), np.array([0.1, 0.2])
    moments = InputDistribution.from_moments(mean, factor, low=0, high=1, num_observed=40)
    weighted = InputDistribution.fit(x, weights=w)
    answer = weighted.do(0, values)
    kept = moments.mean.clone(), moments.factor.clone(), weighted.weights.clone(), answer.values.clone()
    for each in (mean, factor, w, values):
        each[:] = 5.0
    now = moments.mean, moments.factor, weighted.weights, answer.values
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))


def test_a_prior_owns_its_probabilities():
    p = torch.tensor([0.2, 0.8], dtype=torch.float64)
    prior = LatentPrior(1, 2, p, dtype=torch.float64)
    before = prior.mean.clone()
    p.fill_(0.5)
    again = LatentPrior(1, 2, torch.tensor([0.2, 0.8]), dtype=torch.float64)
    assert torch.equal(prior.mean, before) and torch.allclose(prior.do(0, [0.0]).means, again.do(0, [0.0]).means)


@pytest.mark.parametrize("form", [lambda x: x, lambda x: list(x), lambda x: x.numpy()])
def test_sequences_own_their_rows(form):
    torch.manual_seed(0)
    net = Recurrent(torch.nn.RNN(2, 3, batch_first=True), torch.nn.Linear(3, 2)).double()
    x = torch.rand(8, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = FeedbackSequences(net, form(x), target_step=3, domain=(-9.0, 9.0))

    def asked():
        e = interventional_expectation(inputs.model, inputs, (1, 0), [0.1, 0.8])
        return [inputs.samples.clone(), inputs.mean.clone(), e.values, e.stderr]

    before = asked()
    x.fill_(7.0)
    assert all(torch.equal(a, b) for a, b in zip(before, asked(), strict=True))


def test_causal_models_own_what_they_were_given():
    """A fitted linear model with residuals as noise, and noises given as values."""
    x = data().numpy()
    fitted = LinearModel.fit(x, {"x": [], "y": ["x"], "z": ["x", "y"]}, noise="empirical")
    values, shares = np.array([0.0, 1.0]), np.array([0.3, 0.7])
    noises = FiniteNoise(values, shares), EmpiricalNoise(values)
    u = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)

    def asked():
        return [fitted.contributions("z"), *(noise(u) for noise in noises), fitted.push(u[:, None].expand(9, 3))]

    before = asked()
    x[:], values[:], shares[:] = 3.0, 9.0, 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, asked(), strict=True))
