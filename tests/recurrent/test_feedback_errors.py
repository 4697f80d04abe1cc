"""What FeedbackSequences refuses, and that it says why: other networks, no state, feedback that does not fit."""

import pytest
import torch
from sequence_networks import draw, network
from torch import nn

from acelib import InputDistribution, interventional_expectation
from acelib.recurrent import FeedbackSequences, unfold


def test_another_network_is_refused():
    """Only the network that simulated the rows, unfolded to the same step, may be averaged; lists have no roll-out."""
    net, other, x = network("gru", 2, 2), network("gru", 2, 2, seed=1), draw(20, 5, 2)
    inputs = FeedbackSequences(net, x, target_step=3, domain=(-5.0, 5.0))
    interventional_expectation(unfold(net, steps=4, features=2), inputs, (1, 0), [0.0])
    for wrong in (unfold(other, steps=4, features=2), unfold(net, steps=4, features=2, step=2), lambda z: z.sum(1)):
        with pytest.raises(ValueError, match="got another network.*pass inputs.model"):
            interventional_expectation(wrong, inputs, (1, 0), [0.0])
    with pytest.raises(ValueError, match="got a list of models.*one FeedbackSequences for each network"):
        interventional_expectation([inputs.model, inputs.model], inputs, (1, 0), [0.0])
    table = InputDistribution.fit(x[:, :4])
    interventional_expectation([inputs.model, unfold(other, steps=4, features=2)], table, 0, [0.0])


class Without(nn.Module):
    def forward(self, x, state=None):
        return x


class Forgetful(nn.Module):
    """Returns a state and ignores the one it is given."""

    def forward(self, x, state=None):
        return x.cumsum(1), torch.zeros(1, len(x), 1)


class Growing(nn.Module):
    def forward(self, x, state=None):
        return 1e200 * x, ()


def make(model=None, x=None, **options):
    model = network("gru", 2, 2) if model is None else model
    x = draw(9, 5, 2) if x is None else x
    return FeedbackSequences(model, x, **({"target_step": 3} | options))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(3), TypeError, "model must be a sequence model .*got int"),
        (lambda: make(Without()), ValueError, "returned no state"),
        (lambda: make(Forgetful()), ValueError, "the same step by step as in one call"),
        (lambda: make(network("gru", 2, None, hidden=1, bidirectional=True)), ValueError, "bidirectional"),
        (lambda: make(network("gru", 2, 2, num_layers=2, dropout=0.1).train()), ValueError, "training mode"),
        (lambda: make(x=draw(9, 5, 2).float()), ValueError, "inputs, torch.float32, got torch.float64 parameters"),
        (lambda: make(x=draw(9, 5)), ValueError, r"shape \(n, T, d\)"),
        (lambda: make(target_step=5), ValueError, "target_step must lie in -5 to 4, got 5"),
        (lambda: make(channels=["a"]), ValueError, "channels must hold one name per feature of a step, 2, got 1"),
        (lambda: make(domain={"q": (0, 1)}), ValueError, "domain must name features out of"),
        (
            lambda: make(network("gru", 2, 3)),
            ValueError,
            "feedback must be a mapping .*got None for 3 outputs and 2 features",
        ),
        (lambda: make(feedback={0: 2}), ValueError, "outputs from 0 to 1"),
        (lambda: make(feedback={0: 1, -2: 0}), ValueError, "distinct channels"),
        (lambda: make(feedback={"q": 1}), ValueError, "channel must be one of the 2 channels .*got 'q'"),
        (lambda: make(feedback=3), TypeError, "feedback must be None, a mapping or a function"),
        (lambda: make(feedback=lambda y: y[:, :1]).do((0, 0), [0.0]).means, ValueError, "next inputs, .9, 2., got"),
        (lambda: make(Growing()).do((0, 0), [0.0]).means, ValueError, "reach NaN or Inf"),
        (
            lambda: interventional_expectation((s := make(Growing())).model, s, (0, 0), [0.0]),
            ValueError,
            "model must return finite outputs, got NaN or Inf",
        ),
        (lambda: make().do((4, 0), [0.0]), ValueError, r"step of feature \(4, 0\) must lie in -4 to 3, got 4"),
        (lambda: make().do((1, 5), [0.0]), ValueError, "channel must be one of the 2 channels .*got 5"),
        (lambda: make().do("x0[9]", [0.0]), ValueError, "did you mean"),
        (lambda: make().do([(1, 0), "x0[1]"], [[0.0, 0.0]]), ValueError, "each once"),
        (lambda: make().do((1, 0)), ValueError, "values must be given"),
        (lambda: make().do((1, 0), []), ValueError, "values must hold at least one value"),
        (lambda: make().do((1, 0), [float("nan")]), ValueError, "NaN"),
        (lambda: make().do({(1, 0): 0.0}, [1.0]), ValueError, "values must be left out"),
        (lambda: make().do({}), ValueError, "at least one feature"),
        (lambda: make().do({((1, 0), (1, 1)): [[0.0, 0.0], [1.0, 1.0]]}), ValueError, "one value per input, got 2"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_mode_is_checked_again_at_each_intervention():
    net = network("gru", 2, 2, num_layers=2, dropout=0.5)
    inputs = make(net)
    net.train()
    with pytest.raises(ValueError, match="training mode"):
        inputs.do((1, 0), [0.0])
    assert net.training and "from step 1" in repr(make().do((1, 0), [0.0]))
