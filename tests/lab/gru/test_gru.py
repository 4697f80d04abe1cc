"""The simulated sequences and their networks: torch's own GRU is the reference for the recursion, the training and the
imputation counts, which a slow loop repeats literally; integrated gradients have a known answer on a steep step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acelib.lab import gru
from acelib.lab.gru import task
from acelib.lab.networks import stream


@pytest.fixture(scope="module")
def run():
    return gru.train_grus([3, 4, 5], loss=["bce", "mse", "mse"], epochs=2, num=130)


@pytest.fixture(scope="module")
def net():
    return gru.SequenceGRU(7).eval().requires_grad_(False)


# ---------------------------------------------------------------- sequences


def test_sequences_are_as_described():
    """Against the description: lengths, signs, noise and padding; bounds are five standard errors wide."""
    s = gru.make_sequences(4000, seed=1)
    assert set(s.lengths.tolist()) == set(range(10, 15)) and s.values.dtype == torch.float64
    signs = 2 * s.labels - 1
    noise = s.values[:, :10].clone()
    noise[:, :3] -= signs[:, None]
    assert abs(noise.std().item() - 0.2) < 5 * 0.2 / (2 * 40_000) ** 0.5
    assert abs(noise.mean().item()) < 5 * 0.2 / 40_000**0.5
    assert abs(s.labels.mean().item() - 0.5) < 5 * 0.5 / 4000**0.5
    assert (s.values[torch.arange(14) >= s.lengths[:, None]] == 0).all()
    assert (s.values[torch.arange(14) < s.lengths[:, None]] != 0).all()
    x, y = s.of_length(12)
    assert x.shape == (len(y), 12) and len(y) == (s.lengths == 12).sum()


def test_same_seed_same_sequences_and_long_ones():
    a, b, c = (gru.make_sequences(50, seed=s, lengths=gru.LONG) for s in (0, 0, 1))
    assert torch.equal(a.values, b.values) and not torch.equal(a.values, c.values)
    assert a.values.shape == (50, 109) and a.lengths.min() >= 100 and len(a) == 50


@pytest.mark.parametrize("wrong", [{"num": 0}, {"lengths": (2, 5)}, {"lengths": (6, 5)}])
def test_sequences_refuse_bad_arguments(wrong):
    with pytest.raises(ValueError, match="must be .* got"):
        gru.make_sequences(**({"num": 5, "seed": 0} | wrong))


# ---------------------------------------------------------------- network and training


def test_padded_sequences_give_the_output_of_their_own_last_step(net):
    """Each sequence alone, unpadded, is the reference."""
    s = gru.make_sequences(30, seed=2)
    together = net(s.values[..., None], s.lengths)
    for i in range(len(s)):
        alone = net(s.values[i : i + 1, : s.lengths[i], None])
        assert torch.allclose(together[i], alone[0], atol=1e-14)


def test_stacked_networks_are_torchs_networks():
    s = gru.make_sequences(40, seed=3)
    networks = [gru.SequenceGRU(seed) for seed in (1, 2)]
    theta = torch.stack([torch.cat([p.flatten() for p in network.parameters()]) for network in networks])
    logits = gru.stacked_logits(theta, s.values.expand(2, -1, -1), s.lengths.expand(2, -1))
    for row, network in zip(logits, networks, strict=True):
        p = network(s.values[..., None], s.lengths)[:, 0]
        assert torch.allclose(row.sigmoid(), p, atol=1e-13)


@pytest.mark.parametrize("position, clip", [(0, 1.0), (1, 1.0), (1, 0.03)])
def test_each_network_is_trained_as_if_alone_by_torchs_adam(monkeypatch, position, clip):
    """A plain loop with nn.GRU, torch.optim.Adam, torch's clipping and losses, on the same sequences and order."""
    monkeypatch.setattr(task, "CLIP", clip)  # the smaller one clips nearly every gradient here
    run = gru.train_grus([3, 4], loss=["bce", "mse"], epochs=2, num=130)
    seed = run.seeds[position]
    model = gru.SequenceGRU(seed)
    loss = {"bce": nn.BCELoss(), "mse": nn.MSELoss()}[run.losses[position]]
    data = task._draw(stream(seed, task._ROWS), 130, task.LENGTHS, task.SPREAD, torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.SETTINGS["lr"])
    generator = stream(seed, task._ORDER)
    for _ in range(2):
        for rows in torch.randperm(130, generator=generator).split(64):
            optimizer.zero_grad()
            loss(model(data.values[rows, :, None], data.lengths[rows])[:, 0], data.labels[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    for ours, theirs in zip(run.networks[position].parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)
    for ours, theirs in zip(run.untrained[position].parameters(), gru.SequenceGRU(seed).parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_purposes_of_a_seed_share_no_stream():
    """Weights, rows, order and imputed values of a seed each draw their own: the first number differs."""
    first = {
        torch.rand(1, generator=stream(5, number)).item() for number in (1, task._ROWS, task._ORDER, task._WEIGHTS)
    }
    assert len(first) == 4 and torch.rand(1, generator=torch.Generator().manual_seed(5)).item() not in first


def test_training_learns_the_task():
    """Short sequences: at least three of four networks, two for each loss, get above 99 %."""
    run = gru.train_grus([0, 1, 2, 3], loss=["bce", "mse"] * 2, lengths=(4, 5), epochs=8, num=512, batch_size=16)
    check = gru.imputation_check(run.networks, gru.make_sequences(2000, seed=9, lengths=(4, 5)))
    assert (check.accuracy > 0.99).sum() >= 3 and "4 networks" in repr(run)


@pytest.mark.parametrize("wrong", [{"seeds": []}, {"seeds": [-1]}, {"loss": "mae"}, {"loss": ["mse"]}, {"epochs": 0}])
def test_training_refuses_bad_arguments(wrong):
    with pytest.raises(ValueError, match="must be .* got"):
        gru.train_grus(**({"seeds": [0, 1], "num": 8, "epochs": 1} | wrong))


def test_training_that_explodes_says_so():
    with pytest.raises(RuntimeError, match="smaller lr"):
        gru.train_grus([0], num=8, epochs=3, lr=float("1e400"))


# ---------------------------------------------------------------- imputation


def test_the_recursion_is_torchs_gru(net):
    x = gru.make_sequences(50, seed=4, lengths=(11, 11)).values
    p = net(x[..., None])[:, 0]
    assert torch.allclose(gru.final_logits(net, x).sigmoid(), p, atol=1e-14)


def test_counts_equal_a_slow_loop(run):
    """Reference: one network, one position at a time, torch's GRU in float64 on padded rows, the same drawn values."""
    s = gru.make_sequences(300, seed=5)
    positions = (0, 2, 7)
    check = gru.imputation_check(run.networks, s, positions, seed=6, chunk=37)
    generator = stream(6, 1)
    for i, length in enumerate(check.lengths):
        x, y = s.of_length(length)
        drawn = 0.2 * torch.randn(3, len(x), generator=generator)
        for k, network in enumerate(run.networks):
            clean = network(x[..., None])[:, 0]
            assert check.right[k, i] == ((clean > 0.5) == (y > 0.5)).sum()
            assert abs(check.distance[k, i] - (clean - y).abs().sum()) < 1e-3
            for j, position in enumerate(positions):
                other = x.clone()
                other[:, position] = drawn[j]
                p = network(other[..., None])[:, 0]
                assert check.changed[k, i, j] == ((p > 0.5) != (clean > 0.5)).sum()
                assert abs(check.moved[k, i, j] - (p - clean).abs().sum()) < 1e-3
    assert check.counts.shape == (3, 3) and check.totals.sum() == check.num == 300 and "300 sequences" in repr(check)


def test_a_latch_by_hand():
    """n = tanh(3 x + 30 h) with z = 0 keeps the sign of its first input: a new one, N(0, 1), changes half of them.

    Only a new value below about 0.04 in size leaves the state within reach of the next input; half of 4000 within five
    binomial standard deviations allows for that. Later inputs change nothing.
    """
    latch = gru.SequenceGRU(0).eval().requires_grad_(False)
    #                               w: r  z  n    u: r  z  n     b: r   z   n    c: r  z  n   output
    latch.set_weights(torch.tensor([0, 0, 3, 0, 0, 30, 40, -40, 0, 0, 0, 0, 20, 0]).double())
    s = gru.make_sequences(4000, seed=8, lengths=(10, 10))
    check = gru.imputation_check(latch, s, range(10), spread=1.0)
    assert check.accuracy.item() == 1 and (check.counts[0, 1:] == 0).all()
    assert abs(check.counts[0, 0].item() - 2000) < 5 * 1000**0.5


def test_check_by_length_and_its_refusals(run):
    s = gru.make_sequences(200, seed=5)
    check = gru.imputation_check(run.networks, s)
    part = check.of_length(12)
    assert part.num == (s.lengths == 12).sum() and torch.equal(part.counts, check.changed[:, 2])
    assert sum(check.of_length(n).counts for n in check.lengths).equal(check.counts)
    with pytest.raises(ValueError, match="length must be one of 10, 11, 12, 13, 14, got 9"):
        check.of_length(9)
    with pytest.raises(ValueError, match=r"0\.\.9"):
        gru.imputation_check(run.networks, s, [10])
    with pytest.raises(ValueError, match="nn.GRU"):
        gru.imputation_check(nn.Linear(1, 1), s)


# ---------------------------------------------------------------- attribution


def test_integrated_gradients_of_a_steep_step_add_up():
    """σ(β(w·x − c)) along a line: every input gets the share w_i x_i / w·x of f(x) − f(0), whatever β is."""
    w = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.7, 0.2], [-1.0, 0.4, 0.9], [0.3, 1.1, -1.0]], dtype=torch.float64)
    for beta in (1.0, 30.0, 1e7):

        def steep(z, beta=beta):
            return torch.sigmoid(beta * (z @ w[:, None] - 0.3))

        change = steep(x) - steep(torch.zeros_like(x))
        got = gru.integrated_gradients(steep, x)
        assert torch.allclose(got, change * w * x / (x @ w[:, None]), atol=2e-3)
    with pytest.raises(RuntimeError, match="jump"):
        gru.integrated_gradients(lambda z: (z[:, :1] > 0.123).double() + 0 * z[:, :1], x)


def test_rules_of_networks_that_are_known():
    """A latch follows the first sign; with a loud input and a quiet memory the state follows the last one."""
    latch = gru.SequenceGRU(0)
    latch.set_weights(torch.tensor([0, 0, 3, 0, 0, 30, 40, -40, 0, 0, 0, 0, 20, 0]).double())
    assert gru.rule_of(latch) == (False,) * 4 + (True,) * 4
    latch.set_weights(torch.tensor([0, 0, 30, 0, 0, 3, 40, -40, 0, 0, 0, 0, 20, 0]).double())
    assert gru.rule_of(latch) == (False, True) * 4
