"""Roll-outs with a known law: a linear network in closed form, and a quadratic one, where Taylor must be exact."""

import pytest
import torch
from sequence_networks import draw, network
from torch import nn

from acelib import interventional_expectation
from acelib.recurrent import FeedbackSequences


class Linear(nn.Module):
    """h_t = A h_{t-1} + B x_t, y_t = C h_t + c: a step model of one's own, with a state (batch, hidden)."""

    def __init__(self, d=2, hidden=3):
        super().__init__()
        self.A, self.B, self.C = 0.4 * draw(hidden, hidden), draw(hidden, d, seed=1), 0.5 * draw(d, hidden, seed=2)
        self.c = draw(d, seed=3)

    def forward(self, x, state=None):
        h = x.new_zeros(len(x), len(self.A)) if state is None else state
        outputs = []
        for step in x.unbind(1):
            h = h @ self.A.T + step @ self.B.T
            outputs.append(h @ self.C.T + self.c)
        return torch.stack(outputs, dim=1), h


def closed_form(net, x, step, channel, alpha, target):
    """Outputs at the target of every sequence, (n, d), by matrix powers; their slope in the data follows from it.

    Until ``step`` h = sum_s A^(step - s) B x_s with x_step,channel = alpha; from there the closed loop
    h' = (A + B C) h + B c, repeated target - step times.
    """
    x = x[:, : step + 1].clone()
    x[:, step, channel] = alpha
    h = sum(x[:, s] @ (torch.linalg.matrix_power(net.A, step - s) @ net.B).T for s in range(step + 1))
    loop, tau = net.A + net.B @ net.C, target - step
    for j in range(tau):
        h = h if j else h @ torch.linalg.matrix_power(loop, tau).T
        h = h + torch.linalg.matrix_power(loop, j) @ net.B @ net.c
    return h @ net.C.T + net.c


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("n", [6, 200])
@pytest.mark.parametrize("step", [0, 2, 4])
@pytest.mark.parametrize("method", ["monte_carlo", "taylor", "cubature"])
def test_linear_network_in_closed_form(n, step, method):
    """Value, and covariance between values of the sampling error (ddof = 1 over n), by every estimator; to 1e-10."""
    net, x, values = Linear(), draw(n, 6, 2, seed=5), [-1.0, 0.0, 3.0]
    inputs = FeedbackSequences(net, x, target_step=4)
    y = torch.stack([closed_form(net, x, step, 1, a, 4) for a in values])
    e = interventional_expectation(inputs.model, inputs, (step, 1), values, method=method)
    assert (e.values - y.mean(1)).abs().max() < 1e-10
    for o in range(2):
        assert (e.covariance(o) - torch.cov(y[..., o]) / n).abs().max() < 1e-10
    if method != "monte_carlo":
        assert e.check.error.abs().max() < 1e-10 and e.check.num_rows == n


class Quadratic(nn.Module):
    """y_t = (s_t, s_t^2), s_t = x_0 + ... + x_t summed over the channels, scaled: quadratic in its inputs."""

    def forward(self, x, state=None):
        start = x.new_zeros(1, len(x), 1) if state is None else state
        s = start[0] + 0.3 * x.sum(2).cumsum(1)
        return torch.stack([s, s.square()], dim=2), s[None, :, -1:]


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("n", [5, 60])
def test_second_order_expansion_is_exact_for_a_quadratic_network(n):
    """One covariance per value: the simulated part of the rows is no linear function of the data, and depends on it."""
    x = draw(n, 5, 2, seed=6)
    inputs = FeedbackSequences(Quadratic(), x, target_step=3)
    taylor = interventional_expectation(inputs.model, inputs, (1, 0), [-1.0, 0.0, 2.0], method="taylor")
    assert taylor.check.error.abs().max() < 1e-10
    assert (taylor.values[:, 1] - taylor.values[:, 0].square()).min() > 1e-3  # the variance matters
    factors = inputs.do((1, 0), [-1.0, 0.0, 2.0]).factor
    spread = torch.stack([f @ f.T for f in factors]).std(0)
    assert spread.max() > 1e-3 and spread[:3, :3].max() < 1e-12  # the past is the same, the future is not


@pytest.mark.filterwarnings("ignore::acelib.ExtrapolationWarning")
@pytest.mark.parametrize("n", [6, 200])
@pytest.mark.parametrize("method", ["taylor", "cubature"])
def test_errors_of_approximations_stay_close_to_those_of_the_rows(n, method):
    """For a nearly linear network all three agree on the covariance between values, whatever square roots are taken."""
    net = network("gru", 2, 2)
    with torch.no_grad():
        net.core.weight_ih_l0.mul_(0.05)
    inputs = FeedbackSequences(net, draw(n, 6, 2, seed=5), target_step=4)
    values = [-1.0, 0.0, 1.0]
    rows = interventional_expectation(inputs.model, inputs, (2, 0), values)
    other = interventional_expectation(inputs.model, inputs, (2, 0), values, method=method)
    for o in range(2):
        assert (other.covariance(o) / rows.covariance(o) - 1).abs().max() < 0.05
