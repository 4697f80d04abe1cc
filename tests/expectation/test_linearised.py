"""The linearised estimator: equal to the row average for linear networks, unbiased for all, one pass for all inputs."""

import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, LatentPrior, interventional_expectation
from acelib._intervals import student
from acelib.expectation import expansion as module
from acelib.expectation.estimate import expectation_of
from acelib.expectation.linearised import Step
from acelib.expectation.networks import admitted
from acelib.recurrent import FeedbackSequences, Recurrent

ALPHAS = [-1.0, 0.0, 1.5]


def draw(n=400, k=5, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def perceptron(k=5, outputs=3, activation=nn.Tanh, seed=0, gain=2.0):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(k, 12), activation(), nn.Linear(12, outputs)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(gain * torch.randn(p.shape, generator=generator, dtype=p.dtype) / p.shape[-1] ** 0.5)
    return net.eval()


def both(net, inputs, feature, values, **options):
    """The row average and the linearised one of the same rows."""
    shared = {name: options.pop(name) for name in ("link", "outputs", "groups") if name in options}
    exact = interventional_expectation(net, inputs, feature, values, method="monte_carlo", **shared)
    return exact, interventional_expectation(net, inputs, feature, values, method="linearised", **shared, **options)


@pytest.mark.parametrize("feature, values", [(1, ALPHAS), ((0, 3), [[1.0, 2.0], [0.0, -1.0]]), ("x4", [0.5])])
def test_of_a_linear_network_it_is_the_row_average(feature, values):
    """Slopes hold everything there, so that drawn rows have nothing to correct, and the error is that of the rows."""
    exact, found = both(nn.Linear(5, 2).double(), InputDistribution.fit(draw()), feature, values, rows=7)
    assert torch.allclose(found.values, exact.values, atol=1e-12)
    assert torch.allclose(found.covariances, exact.covariances, atol=1e-12)
    assert torch.allclose(found.spread, exact.spread, atol=1e-7) and found.num_rows == exact.num_rows
    assert found.method == "linearised" and found.check is None


def test_of_a_network_that_is_linear_in_each_input_it_is_the_row_average_too():
    """There the curves of single rows differ in their slopes, so that their spread is not 0."""
    exact, found = both(lambda x: x[:, :1] * x[:, 1:2], InputDistribution.fit(draw()), 0, ALPHAS, rows=7)
    for name in ("values", "stderr", "spread", "covariances"):
        assert torch.allclose(getattr(found, name), getattr(exact, name), rtol=1e-9, atol=1e-12), name
    assert exact.spread.min() > 0.1


@pytest.mark.parametrize("link", [None, "softmax", "sigmoid", lambda z: z.square().sum(1, keepdim=True)])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_it_is_unbiased(link, activation):
    """Over 500 draws the mean differs from the row average by less than 3.5 standard errors in each cell."""
    net, inputs = perceptron(activation=activation), InputDistribution.fit(draw())
    networks = admitted(net, inputs, derivatives=True, link=link)
    exact = interventional_expectation(net, inputs, 2, ALPHAS, link=link)
    options = dict(method="linearised", rows=24, budget=10**6)
    found = torch.stack([expectation_of(networks, 2, ALPHAS, seed=s, **options).values for s in range(500)])
    error = (found.mean(0) - exact.values) / (found.std(0) / len(found) ** 0.5)
    assert error.abs().max() < 3.5, error


def test_weights_groups_and_lists_of_networks():
    """Averages with weights, errors of dependent rows and the mean over networks are those of the row average."""
    X, nets = draw(600), [perceptron(seed=s, gain=0.3) for s in range(3)]
    weights = torch.rand(600, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights[::7] = 0
    inputs = InputDistribution.fit(X, weights=weights)
    for link in (None, "softmax"):
        exact, found = both(nets, inputs, 1, ALPHAS, link=link, rows=400)
        assert torch.allclose(found.values, exact.values, atol=5e-3)
        assert torch.allclose(found.models, exact.models, atol=5e-3) and found.models.shape == (3, 3, 3)
        assert torch.allclose(found.stderr, exact.stderr, rtol=0.2)
    grouped = X[:60].repeat_interleave(10, 0)  # ten equal rows to a group
    labels = torch.arange(600) // 10
    shuffled = torch.randperm(600, generator=torch.Generator().manual_seed(2))
    for order in (torch.arange(600), shuffled):
        inputs = InputDistribution.fit(grouped[order])
        exact, found = both(nets[0], inputs, 1, ALPHAS, groups=labels[order], rows=400)
        assert torch.allclose(found.stderr, exact.stderr, rtol=0.25)
        assert found.stderr.mean() > 2 * both(nets[0], inputs, 1, ALPHAS, rows=400)[1].stderr.mean()


def test_stderr_is_the_spread_over_tables_and_draws():
    """New tables and new draws: the errors stated are those seen, to a tenth (400 repetitions)."""
    net, found, stated = perceptron(outputs=2), [], []
    for seed in range(400):
        inputs = InputDistribution.fit(draw(300, seed=seed), domain=(-9.0, 9.0))
        e = interventional_expectation(net, inputs, 0, ALPHAS, method="linearised", rows=60, link="softmax", seed=seed)
        found.append(e.values)
        stated.append(e.stderr.square())
    ratio = torch.stack(stated).mean(0).sqrt() / torch.stack(found).std(0)
    assert 0.9 < ratio.min() and ratio.max() < 1.1, ratio


def test_a_feature_alone_or_with_others_and_any_chunk_gives_the_same_numbers():
    net, inputs = perceptron(), InputDistribution.fit(draw(), domain=(-3.0, 3.0))
    effects = AverageCausalEffect(net, inputs, method="linearised", rows=40, link="softmax")
    together = effects.regress(num=9).expectations["x3"]
    alone = effects.regress(["x3"], num=9).expectations["x3"]
    assert torch.equal(together.values, alone.values) and torch.equal(together.covariances, alone.covariances)
    pieces = AverageCausalEffect(net, inputs, method="linearised", rows=40, link="softmax", chunk_size=50)
    small = pieces.regress(["x3"], num=9).expectations["x3"]
    assert torch.allclose(small.values, alone.values, atol=1e-12)
    assert torch.allclose(small.covariances, alone.covariances, atol=1e-14)


def test_one_pass_over_the_rows_serves_all_features(monkeypatch):
    """784 features would not need 784 passes: the networks are linearised once a call."""
    built = []
    build = module.Expansion.build.__func__
    monkeypatch.setattr(
        module.Expansion, "build", classmethod(lambda cls, *a, **o: built.append(1) or build(cls, *a, **o))
    )
    effects = AverageCausalEffect(perceptron(), InputDistribution.fit(draw()), method="linearised", rows=30)
    effects.regress(num=7)
    assert len(built) == 1
    effects.attribute(draw(3, seed=1), target=0)
    assert len(built) == 2


def test_many_slopes_are_those_of_some_rows(monkeypatch):
    """Where the slopes of all rows would not fit, a seeded subset is expanded; its average is without bias too."""
    monkeypatch.setattr(module, "SLOPES", 100 * 5 * 3 * 8)
    exact, found = both(perceptron(gain=0.3), InputDistribution.fit(draw()), 0, ALPHAS, rows=399)
    assert found.num_rows == 100
    assert ((found.values - exact.values).abs() < 4 * found.stderr).all()
    assert torch.allclose(found.stderr, 2 * exact.stderr, rtol=0.3)  # a quarter of the rows


def test_latents_of_a_generator():
    """Normal latents are set in their draws; a class changes the others too, and is left to the row average."""
    decoder = perceptron(k=5, outputs=4)
    prior = LatentPrior(2, 3, [0.2, 0.3, 0.5], draws=300, dtype=torch.float64)
    exact, found = both(decoder, prior, "z1", ALPHAS, rows=890)
    assert torch.allclose(found.values, exact.values, atol=0.05)
    assert torch.allclose(found.stderr, exact.stderr, rtol=0.6)
    with pytest.raises(ValueError, match="not all that the intervention does"):
        interventional_expectation(decoder, prior, "c1", [0.0, 1.0], method="linearised")
    with pytest.raises(ValueError, match="no rows"):
        moments = InputDistribution.from_moments(torch.zeros(5), torch.eye(5), low=-1, high=1)
        interventional_expectation(perceptron().float(), moments, 0, [0.0], method="linearised")


def test_where_slopes_say_nothing_the_drawn_rows_say_all():
    """A step has slope 0 everywhere: the estimate is that of the drawn rows, its error theirs."""
    inputs = InputDistribution.fit(draw(1000))

    def step(x):
        return ((x[:, :1] + x[:, 1:2] > 0).double() + 0 * x[:, :1]) * (1 + x[:, 1:2].detach().sign())

    exact, found = both(step, inputs, 0, ALPHAS, rows=100)
    assert ((found.values - exact.values).abs() < 4 * found.stderr).all()
    assert torch.allclose(found.stderr, exact.stderr * 10**0.5, rtol=0.3)


def test_the_error_of_fair_draws_alone_is_that_of_a_sample_mean():
    """With nothing known before, each draw is an estimate by itself: their sample covariance over their number."""
    fine = draw(3, 12)[:, :, None]
    step = Step(torch.zeros_like(fine), fine, torch.ones(12, dtype=fine.dtype))
    assert torch.allclose(step.taken(torch.zeros(3, 1, dtype=fine.dtype)), fine.mean(1))
    assert torch.allclose(step.covariance[0], fine[:, :, 0].cov() / 12, rtol=1e-12)


@pytest.mark.parametrize("rare", [1.0, 0.1, 0.02])
def test_degrees_of_freedom_tell_how_much_the_variance_of_the_draws_varies(rare):
    """An estimated variance with f degrees of freedom has the relative variance 2 / f.

    Draws of which the share ``rare`` is ten times as wide, 4,000 sets of 2,000, one output and two values; 2 / f, by
    its mean over the sets, and the variance over the sets agree to 10 %.
    """
    generator = torch.Generator().manual_seed(0)
    sets, draws = 4000, 2000
    size = torch.where(torch.rand(sets, draws, generator=generator) < rare, 10.0, 1.0)
    noise = size.double() * torch.randn(2, sets, draws, generator=generator, dtype=torch.float64)
    one = torch.ones(draws, dtype=torch.float64)
    variances, freedoms = [], []
    for given in noise.unbind(1):
        step = Step(torch.zeros(2, draws, 1, dtype=torch.float64), given[..., None], one)
        step.taken(torch.zeros(2, 1, dtype=torch.float64))
        variances.append(step.covariance[0].diagonal())
        freedoms.append(step.freedom)
    found = torch.stack(variances)
    relative = found.var(0) / found.mean(0).square()
    assert torch.allclose((2 / torch.stack(freedoms)).mean(0), relative, rtol=0.1)


def test_draws_that_do_not_differ_have_all_their_degrees_of_freedom():
    step = Step(torch.zeros(3, 8, 2, dtype=torch.float64), torch.ones(3, 8, 2, dtype=torch.float64), torch.ones(8))
    step.taken(torch.zeros(3, 2, dtype=torch.float64))
    assert step.freedom.tolist() == [7.0, 7.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_skewness_of_few_draws_widens_an_interval_and_never_narrows_it(sign):
    """An output with a tail on one side: that end is farther than Student's t, the other is Student's t."""
    inputs = InputDistribution.fit(draw(2000), domain=(-10.0, 10.0))
    net = lambda x: sign * (1.5 * x[:, :2].sum(1, keepdim=True)).exp()  # noqa: E731
    e = interventional_expectation(net, inputs, 0, [1.0], method="linearised", rows=60)
    assert e.skewness is not None and bool((sign * e.skewness > 0.2).all()) and e.freedom < 59
    half = torch.from_numpy(student(e.freedom, 0.95)) * e.stderr
    low, high = e.interval()
    long, short = (e.values - low, high - e.values)[:: -1 if sign > 0 else 1]
    assert bool((long > 1.05 * half).all()) and torch.allclose(short, half)


def test_where_rows_are_few_all_are_averaged():
    inputs = InputDistribution.fit(draw(60))
    exact, found = both(perceptron(), inputs, 0, ALPHAS, link="softmax")
    assert found == exact and found.method == "monte_carlo"
    assert both(perceptron(), inputs, 0, ALPHAS, rows=59)[1].method == "linearised"


@pytest.mark.parametrize(
    "net",
    [
        lambda x: x[:, :2].sqrt(),  # an infinite slope at 0
        lambda x: (x[:, :1] - x[:, :1]).abs().sqrt() + x[:, :1],  # 0 times infinity
        lambda x: torch.where(x[:, :1] > 0, x[:, :1].log(), x[:, :1]),  # log(0) in the branch that is not taken
    ],
)
def test_slopes_that_are_no_numbers_are_left_to_the_drawn_rows(net):
    X = draw().abs()
    X[::9, 0] = 0
    exact, found = both(net, InputDistribution.fit(X), 0, [0.1, 0.5], rows=60)
    assert found.values.isfinite().all() and found.stderr.isfinite().all()
    assert ((found.values - exact.values).abs() < 4 * found.stderr + 1e-12).all()


def test_without_a_derivative_it_is_refused():
    inputs = InputDistribution.fit(draw())
    with pytest.raises(ValueError, match="carry a gradient"):
        with_numpy = lambda x: torch.from_numpy(x.numpy()).clone()  # noqa: E731
        interventional_expectation(with_numpy, inputs, 0, ALPHAS, method="linearised")


def test_individual_curves_are_a_fair_sample():
    """Rows that matter, here those with a steep slope, are drawn more often; the curves shown are thinned to all."""
    X = draw(2000)
    inputs = InputDistribution.fit(X)
    networks = admitted(lambda x: x[:, :1] * torch.exp(2 * x[:, 1:2]), inputs, derivatives=True)
    e = expectation_of(networks, 0, [0.0], method="linearised", rows=60, budget=1)
    chosen, _, fair = networks.expansions[0].drawn(5000, 1)
    steep = X[:, 1] > 1
    everywhere, drawn, shown = (part.double().mean() for part in (steep, steep[chosen], steep[chosen][fair]))
    assert drawn > 2 * everywhere and abs(shown - everywhere) < 0.03
    assert 0 < e.individual.shape[1] < 50 and fair.sum() > 500


def landings(n=40, steps=7, d=3):
    x = torch.randn(n, steps, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.manual_seed(0)
    core, head = nn.LSTM(d, 6, batch_first=True).double(), nn.Linear(6, d).double()
    return FeedbackSequences(Recurrent(core, head).eval(), x, target_step=steps - 1, domain=(-3.0, 3.0))


@pytest.mark.parametrize("link", [None, "sigmoid"])
@pytest.mark.parametrize("feature", [(6, 1), (2, 0), [(3, 0), (3, 2)]])
def test_sequences_with_feedback(feature, link):
    """A reverse pass through a roll-out gives the slopes of every channel of its first step."""
    inputs = landings()
    values = [[-0.5, 0.2], [0.4, 0.1]] if isinstance(feature, list) else [-0.5, 0.0, 0.5]
    feature = tuple(feature)
    exact = interventional_expectation(inputs.model, inputs, feature, values, link=link)
    found = [
        interventional_expectation(
            inputs.model, inputs, feature, values, method="linearised", link=link, rows=12, seed=s
        ).values
        for s in range(100)
    ]
    found = torch.stack(found)
    assert ((found.mean(0) - exact.values).abs() < 3.5 * found.std(0) / 10 + 1e-12).all()
    twelve = exact.stderr * (40 / 12) ** 0.5  # the errors of as many plain sequences
    assert (found.std(0) < 0.5 * twelve).all()


def test_a_link_reaches_outputs_that_were_simulated():
    inputs = landings()
    plain = interventional_expectation(inputs.model, inputs, (2, 0), [0.5], link=lambda z: 2 * z + 1)
    assert torch.allclose(plain.values, 2 * interventional_expectation(inputs.model, inputs, (2, 0), [0.5]).values + 1)


def test_slopes_of_a_step_serve_all_its_channels():
    inputs = landings()
    networks = admitted(inputs.model, inputs, derivatives=True)
    for feature in ((2, 0), (2, 1), (3, 0), (3, 2)):
        expectation_of(networks, feature, [0.0], method="linearised", rows=5, budget=1000)
    assert [e.local.key for e in networks.expansions] == [2, 3]
