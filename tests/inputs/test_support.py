"""Which intervened rows leave the data: cases whose answer is known beforehand, and a literal nearest neighbour."""

import torch

from acelib import InputDistribution
from acelib.inputs.support import off_support, share_off_support


def test_equals_a_literal_nearest_neighbour_search():
    """Loop over values and rows with plain Python distances; the share must agree exactly."""
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scaled = X / X.std(0, correction=0)
    own = sorted(min((a - b).norm().item() for j, b in enumerate(scaled) if j != i) for i, a in enumerate(scaled))
    position = 0.99 * (len(own) - 1)
    below, above = own[int(position)], own[int(position) + 1]
    limit = below + (position - int(position)) * (above - below)
    values = torch.tensor([[-3.0], [0.0], [2.0]], dtype=torch.float64)
    for value, share in zip(values, off_support(X, X, (1,), values), strict=True):
        rows = X.clone()
        rows[:, 1] = value
        left = [min((r - s).norm().item() for s in scaled) > limit for r in rows / X.std(0, correction=0)]
        assert share.item() == sum(left) / len(left)


def test_independent_inputs_stay_and_far_values_leave():
    """On a full grid of two independent inputs every pinned row is a data row; far outside none is near."""
    line = torch.linspace(0, 1, 20, dtype=torch.float64)
    X = torch.cartesian_prod(line, line)
    assert off_support(X, X, (0,), line[[0, 7]][:, None]).max() == 0
    assert off_support(X, X, (0,), torch.tensor([[9.0]], dtype=torch.float64)).item() == 1


def test_a_constant_feature_that_moves_has_left():
    X = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X[:, 1] = 3.0
    moved, kept = off_support(X, X, (1,), torch.tensor([[3.1], [3.0]], dtype=torch.float64)).tolist()
    assert moved == 1 and kept < 0.1


def test_large_data_are_subsampled_with_a_seed():
    X = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = torch.tensor([[2.0]], dtype=torch.float64)
    a, b = off_support(X, X, (0,), value, seed=0), off_support(X, X, (0,), value, seed=0)
    assert torch.equal(a, b) and 0 < a.item() < 1


def test_simulated_rows_beyond_those_looked_at_do_not_dilute_the_share():
    """500 of 800 simulated rows are compared, and all of them are far away: the share is 1."""
    X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def simulated(chunk, index):
        yield torch.tensor([0]), torch.full((1, len(index), 2), 99.0, dtype=torch.float64), torch.ones(len(index))

    assert share_off_support(X, simulated, num_values=1, num_rows=800).tolist() == [1.0]


def test_pins_of_a_nested_do_count_as_interventions():
    """After do(x0 = 9) every row is far away, whatever x1 is set to."""
    X = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = InputDistribution.fit(X, domain=(-20, 20))
    assert inputs.do({0: 9.0}).do(1, [0.0, 1.0]).support().tolist() == [1.0, 1.0]
    assert inputs.do(1, [0.0]).support().item() < 0.3
