"""time_lag against known horizons and against Jacobians taken one sequence, one step and one output at a time."""

import warnings

import pytest
import torch
from scipy import stats
from sequence_networks import CORES, draw, network, seeded
from torch import nn

from acelib import ApproximationWarning
from acelib.recurrent import Recurrent, TimeLag, time_lag, unfold


def delay_line(steps, *, taps=None):
    """An nn.RNN that holds the last ``steps + 1`` positive inputs: h_t = (x_t, x_{t-1}, ..., x_{t-steps})."""
    core = nn.RNN(1, steps + 1, nonlinearity="relu", bias=False).double()
    shift = torch.diag(torch.ones(steps, dtype=torch.float64), -1)
    core.load_state_dict({"weight_ih_l0": torch.eye(steps + 1, 1, dtype=torch.float64), "weight_hh_l0": shift})
    taps = torch.eye(steps + 1, dtype=torch.float64)[-1:] if taps is None else taps
    return Recurrent(core, lambda h: h @ taps.T)


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_a_delay_line_of_d_steps_gives_d(steps):
    """The output is the input of d steps ago, exactly; at any tolerance, and no error bar."""
    x = draw(6, 15, 1).abs() + 0.1
    tau = time_lag(delay_line(steps), x, tolerance=[0.5, 1e-3, 0.0])
    assert tau.lag.tolist() == [steps] * 3 and tau.stderr.tolist() == [0.0] * 3 and tau.censored.tolist() == [0.0] * 3
    expected = torch.zeros(6, 15, dtype=torch.float64)
    expected[:, steps] = 1
    assert torch.equal(tau.sizes, expected)


def test_the_horizon_depends_on_the_tolerance_as_the_taps_do():
    """y_t = sum_k 2^-k x_{t-k} over k = 0..6: above a tolerance of 0.1 lie the lags up to 3, above 0.01 up to 6."""
    weights = 0.5 ** torch.arange(7, dtype=torch.float64)[None]
    tau = time_lag(delay_line(6, taps=weights), draw(5, 12, 1).abs() + 0.1, tolerance=(0.1, 0.01, 0.4, 2.0))
    assert tau.lag.tolist() == [3, 6, 1, 0]
    assert torch.allclose(tau.relative[:, :7], weights.expand(5, 7), rtol=1e-12)
    assert tau.each(0.2).tolist() == [2.0] * 5 and tau.lags.tolist() == list(range(12))


@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "batch_first": True}], ids=str)
def test_sizes_equal_literal_jacobians(kind, options):
    """Spectral norm and determinant at every lag, from torch.autograd.functional.jacobian of one sequence; to 1e-12."""
    net, x = network(kind, 3, 3, **options), draw(4, 6, 3, seed=1)
    f = unfold(net, steps=5, features=3)
    full = torch.stack([torch.autograd.functional.jacobian(lambda r: f(r[None])[0], row[:5]) for row in x])
    jacobians = full.permute(0, 2, 1, 3).flip(1)  # (n, lag, outputs, d)
    norms = torch.stack([torch.stack([torch.linalg.svdvals(j)[0] for j in row]) for row in jacobians])
    for chunk in (None, 1, 7):
        tau = time_lag(net, x, target_step=4, chunk_size=chunk)
        assert (tau.sizes - norms).abs().max() < 1e-12
    dets = torch.stack([torch.stack([torch.linalg.det(j).abs() for j in row]) for row in jacobians])
    tau = time_lag(f, x, target_step=-2, measure="determinant", tolerance=1e-6)
    assert (tau.sizes - dets).abs().max() < 1e-12
    expected = torch.where(dets > 1e-6, torch.arange(5), 0).amax(1).double()
    assert torch.equal(tau.each(1e-6), expected) and tau.lag[0] == expected.mean()
    assert torch.allclose(tau.stderr[0], expected.std() / 2)


def test_lengths_lists_and_packing_agree_with_each_sequence_alone():
    net = network("lstm", 2, 2)
    parts = [draw(t, 2, seed=t) for t in (5, 3, 7)]
    packed = nn.utils.rnn.pack_sequence(parts, enforce_sorted=False)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    padded[1, 3:] = torch.nan
    for tau in (time_lag(net, parts), time_lag(net, packed), time_lag(net, padded, lengths=lengths)):
        for row, part in zip(tau.sizes, parts, strict=True):
            assert (row[: len(part)] - time_lag(net, part[None]).sizes[0]).abs().max() < 1e-12
            assert row[len(part) :].isnan().all()
    tau = time_lag(net, parts, target_step=4)
    assert tau.sizes.shape == (2, 5) and (tau.sizes[0] - time_lag(net, parts[0][None]).sizes[0]).abs().max() < 1e-12


def tapped(n, share, seed=0):
    """The horizon of n sequences: y_t = h(x_{t-1}) x_t with a lag of 1 where x_{t-1} > 0, and 0 elsewhere."""
    x = torch.rand(n, 6, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1 + share
    net = Recurrent(delay_line(1).core, lambda h: h[..., :1] + h[..., 1:])
    x[:, -1] = 1.0
    return time_lag(net, x, tolerance=[0.5, 0.2])


def said_of(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in found if "standard error says too little" in str(w.message)]


def test_the_interval_of_a_mean_lag_is_students_made_safe_for_skewness():
    """Literal reference: Hall's inverse at ± t of n - 1, with the skewness summed lag by lag, to 1e-12."""
    tau = tapped(20, 0.3)
    each = tau.each(0.5).tolist()
    assert set(each) == {0.0, 1.0} and tau.each(0.2).tolist() == each
    mean = sum(each) / 20
    k = sum((e - mean) ** 3 for e in each) / sum((e - mean) ** 2 for e in each) ** 1.5
    assert tau.skewness.tolist() == pytest.approx([k, k], abs=1e-12) and k > 0.05
    t = float(stats.t.ppf(0.975, 19))
    low, high = (3 / k * ((1 + k * (sign * t - k / 6)) ** (1 / 3) - 1) for sign in (1, -1))
    ends = [mean - low * float(tau.stderr[0]), mean - high * float(tau.stderr[0])]
    assert [float(end[0]) for end in tau.interval()] == pytest.approx(ends, abs=1e-12)
    narrow = tau.interval(0.5)
    assert (tau.interval()[0] < narrow[0]).all() and (narrow[1] < tau.interval()[1]).all()
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 2"):
        tau.interval(2)


def test_intervals_of_lags_stay_where_lags_can_be():
    """The bounds are lag 0 and the longest lag looked at; sequences that agree give a point, a single one NaN."""
    low, high = TimeLag(
        torch.tensor([0.5]), *torch.tensor([[1.5], [4.0], [0.0]]).double(), torch.ones(3, 3).double()
    ).interval()
    assert low.tolist() == [0.0] and high.tolist() == [2.0]
    line = time_lag(delay_line(2), draw(6, 5, 1).abs() + 0.1)
    assert all(end.tolist() == [2.0] * 3 for end in line.interval())
    assert time_lag(delay_line(2), draw(1, 5, 1)).interval()[0].isnan().all()


def test_few_sequences_and_skewed_lags_say_so():
    tau, (said,) = said_of(lambda: tapped(20, 0.4))
    assert "it rests on 20 sequences, with which ± 1.96 of it cover about 94% in place of 95 %; interval()" in said
    assert tau.stderr.min() > 0 and not said_of(lambda: tapped(200, 0.4))[1]
    tau, (said,) = said_of(lambda: tapped(40, 0.1))
    rows = float(f"{40 * float((tau.skewness**2 / 4).mean()) / 0.01:.2g}")
    assert f"the lags are skewed, so that ± 1.96 of it cover too little; that takes about {rows:.0f} sequences" in said
    assert not said_of(lambda: time_lag(delay_line(2), draw(6, 5, 1).abs() + 0.1))[1]  # all agree
    assert not said_of(lambda: tapped(1, 0.4))[1]


def test_short_windows_are_called_censored():
    """Where the lag is the longest one looked at, the horizon may be longer; each sequence has its own longest."""
    line = delay_line(6)
    parts = [draw(t, 1, seed=t).abs() + 0.1 for t in (12, 7, 4)]
    tau = time_lag(line, parts, tolerance=0.5)
    assert tau.each(0.5).tolist() == [6, 6, 0] and tau.censored.tolist() == [pytest.approx(1 / 3)]
    cut = time_lag(line, parts[0][None], tolerance=0.5, max_lag=4)
    assert cut.sizes.shape == (1, 5) and cut.lag.tolist() == [0]
    assert cut.stderr.isnan().all() and "> 0.5, censored" in repr(tau) and "lags 0 to 4" in repr(cut)
    assert list(tau.to_frame().columns) == ["tolerance", "lag", "stderr", "censored"]


def test_the_determinant_of_a_narrow_network_is_noise_and_says_so():
    """17-15-17: the Jacobian has rank 15 at most, in float64 its determinant is rounding, and above 0 far back.

    The spectral norm of the same untrained network falls off within a few steps.
    """
    net = network("lstm", 17, 17, hidden=15)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(0.4)
    x = draw(3, 30, 17)
    with pytest.warns(ApproximationWarning, match="hidden layer of 15 is narrower than the 17 features"):
        tau = time_lag(net, x, measure="determinant")
    assert tau.sizes.max() < 1e-25
    norm = time_lag(net, x, tolerance=0.01)
    assert tau.lag[0] > 2 * norm.lag[0] > 0 and norm.censored[0] == 0


def test_a_determinant_that_is_zero_without_a_reason_in_the_layers_is_noticed():
    """A head of rank 2 on a wide layer; and no warning for a network whose determinant means something."""
    mix = draw(3, 2) @ draw(2, 6, seed=1)
    net = Recurrent(seeded(nn.GRU(3, 6)), lambda h: h @ mix.T)
    with pytest.warns(ApproximationWarning, match="below the rounding"):
        time_lag(net, draw(3, 8, 3), measure="determinant")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        time_lag(network("gru", 3, 3), draw(3, 8, 3), measure="determinant")


def test_modes_flags_and_gradients_are_left_as_they_are():
    net = network("gru", 2, 2)
    net.train()
    before = torch.backends.cudnn.enabled
    with torch.no_grad():
        time_lag(net, draw(3, 5, 2))
    assert net.training and torch.backends.cudnn.enabled == before
    assert all(p.grad is None for p in net.parameters())


class Detached(nn.Module):
    def forward(self, x, state=None):
        return x.detach().cumsum(1), ()


class Root(nn.Module):
    def forward(self, x, state=None):
        return (x - x).sqrt(), ()


def lag(net=None, x=None, **options):
    return time_lag(network("gru", 2, 2) if net is None else net, draw(3, 5, 2) if x is None else x, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lag(measure="trace"), "measure must be one of norm, determinant, got 'trace'"),
        (lambda: lag(tolerance=-1), "tolerance must be"),
        (lambda: lag(tolerance=[]), "tolerance must be"),
        (lambda: lag(max_lag=-1), "max_lag must be at least 0"),
        (lambda: lag(chunk_size=0), "chunk_size must be positive"),
        (lambda: lag(network("gru", 2, None, bidirectional=True)), "bidirectional"),
        (lambda: lag(network("gru", 2, 2, num_layers=2, dropout=0.1).train()), "training mode"),
        (lambda: lag(x=draw(3, 5)), r"shape \(n, T, d\)"),
        (lambda: lag(x=draw(3, 5, 2).float()), "inputs, torch.float32, got torch.float64 parameters"),
        (lambda: lag(target_step=5), "target_step must lie in -5 to 4, got 5"),
        (lambda: lag(target_step=4, lengths=[2, 3, 4]), "got 4 for at most 4 steps"),
        (lambda: lag(network("gru", 2, 3), measure="determinant"), "as many outputs as features, got 3 and 2"),
        (lambda: lag(Detached()), "model must carry a gradient"),
        (lambda: lag(Root()), "NaN or Inf"),
        (lambda: lag(lambda x: x.sum(1)), "model must return"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", CORES)
def test_kernels_of_the_gpu_agree_with_the_cpu(kind):
    net, x = network(kind, 3, 3, num_layers=2), draw(4, 6, 3)
    expected = time_lag(net, x).sizes
    assert (time_lag(net.cuda(), x.cuda()).sizes - expected).abs().max() < 1e-10
