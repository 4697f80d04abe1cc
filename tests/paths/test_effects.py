"""Effects of path interventions against the literal loop of ``paths_oracle``: one node, one edited copy at a time."""

import pytest
import torch
from paths_oracle import NETWORKS, literal_effects, lively, mlp, uniform
from torch import nn

from acelib.paths import explanatory_graph, masked, trace_layers, treatment_effects
from acelib.paths.run import Run

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def setting(name, dtype):
    make, shape, order = NETWORKS[name]
    net = lively(make()).to(dtype)
    x = torch.rand(30, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    return net, x, order


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_equals_the_literal_loop(name, dtype):
    """Every second output as a target, removal and attenuation in turn; 1e-5 in float32 and 1e-10 in float64."""
    net, x, order = setting(name, dtype)
    layers = Run(net, x, 2).trace.layers
    if order:
        assert [layer.name for layer in layers][::-1] == order
    for layer in layers if name != "resnet" else layers[:: 2 if dtype is torch.float32 else 3]:
        targets = list(range(0, layer.num_outputs, 2))
        intervention = "zero" if (dtype is torch.float32) == (layer.index % 2 == 0) else 0.4
        found = treatment_effects(net, x, 2, layer.name, targets=targets, intervention=intervention, seed=3)
        truth = literal_effects(net, x, 2, name, layer.name, targets, found.beta)
        assert (found.differences - truth).abs().max() <= TOLERANCE[dtype], layer
        assert (found.effects - truth.double().mean(1)).abs().max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", ["lenet", "resnet", "mobilenet"])
def test_chunks_and_repeated_rows_change_nothing(name):
    """Blocks of inputs, pieces of nodes, and repeated rows in place of vmap: equal to 1e-10 in float64."""
    net, x, _ = setting(name, torch.float64)
    whole, cut = Run(net, x, 0), Run(net, x, 0, chunk_size=25)
    assert len(list(whole.recordings())) == 1 and len(list(cut.recordings())) == 3
    for layer in whole.trace.layers[:: 1 if name == "lenet" else 4]:
        targets, betas = range(layer.num_outputs), torch.full((layer.num_nodes,), 0.3, dtype=torch.float64)
        a, b = whole.differences(layer, targets, betas), cut.differences(layer, targets, betas)
        assert (a - b).abs().max() < 1e-10
        recording = next(whole.recordings())
        changed = recording.output_of(layer) + torch.linspace(-1, 1, 4, dtype=x.dtype).reshape(
            -1, *[1] * recording.output_of(layer).ndim
        )
        rows = recording.above_by_rows(layer, changed.clone())
        assert (recording.above(layer, changed) - rows).abs().max() < 1e-10


class Reading(nn.Module):
    """Looks at a value of its hidden layer, which vmap refuses; `fickle` lets that decide what is called."""

    def __init__(self, fickle=False):
        super().__init__()
        self.one, self.act, self.two, self.fickle = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), fickle
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.fickle and self.calls > 5:  # after the entrance and the trace
            x = self.act(x)
        h = self.act(self.one(x))
        return self.two(h * (1 if h.sum().item() < 1e9 else 2))


def test_a_network_that_vmap_cannot_run_is_run_by_rows():
    net, x = lively(Reading()).double(), uniform(40, 3, dtype=torch.float64)
    found = treatment_effects(net, x, 0, "one")
    truth = literal_effects(net, x, 0, "reading", "one", range(4), torch.zeros(3))
    assert (found.differences - truth).abs().max() < 1e-12


def test_a_network_that_calls_other_modules_each_time_is_refused():
    with pytest.raises(TypeError, match="must call the same modules in every pass, got others"):
        treatment_effects(lively(Reading(fickle=True)), uniform(40, 3), 0, "one")


class Fuse(nn.Module):
    """Raises on its n-th call."""

    def __init__(self, error, calls):
        super().__init__()
        self.error, self.left = error, calls

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return x


@pytest.mark.parametrize("calls", range(6))
@pytest.mark.parametrize("error", [ArithmeticError("blown"), KeyboardInterrupt()], ids=["exception", "ctrl-c"])
def test_weights_and_modules_are_as_before_after_an_exception(error, calls):
    """The fuse blows during the entrance, the trace, the recorded pass and the interventions in turn."""
    net = lively(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), Fuse(error, 10**6), nn.Linear(5, 2)))
    net[2].left = calls
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(type(error)):
        explanatory_graph(net, uniform(30, 3), 0, allow_wrong=True)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any("forward" in vars(module) for module in net.modules())


def test_the_masking_context_restores_the_network_too():
    net, x = lively(mlp()), uniform(30, 3, 2, 2)
    net[1].forward = net[1].forward  # a forward of the user's own on the instance stays
    mine, before = vars(net[1])["forward"], net(x)
    with pytest.raises(KeyboardInterrupt), masked(net, trace_layers(net, x), {"1": ((0,), None), "5": ((), None)}):
        assert not torch.equal(net(x), before)
        raise KeyboardInterrupt
    assert torch.equal(net(x), before) and vars(net[1])["forward"] is mine


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(target=3), "target must be an output index from 0 to 2, got 3"),
        (dict(target=-1), "target must be"),
        (dict(target=True), "target must be"),
        (dict(inputs=uniform(29, 3, 2, 2)), "inputs must hold at least 30 rows for a test of means, got 29; give more"),
        (dict(inputs=torch.full((30, 3, 2, 2), torch.nan)), "NaN or Inf"),
        (dict(inputs=torch.ones(30, 3, 2, 2, dtype=torch.int64)), "floating point"),
        (dict(layer="7"), "layer must be one of the Linear and convolution layers .*, got '7'"),
        (dict(targets=[9]), "targets must be output channels 0 to 6"),
        (dict(targets=[]), "targets must be"),
        (dict(intervention=1.5), "'zero' or an attenuation between 0 and 1"),
        (dict(intervention="half"), "'zero' or an attenuation"),
        (dict(epsilon=-1.0, intervention=0.5), "epsilon must be at least 0, got -1.0"),
        (dict(alpha=5), "alpha must lie between 0 and 1"),
        (dict(test="f"), "test must be one of t, paired, unpaired"),
        (dict(correction="bonferroni"), "correction must be None, 'holm' or 'fdr'"),
        (dict(chunk_size=0), "chunk_size must be positive"),
    ],
)
def test_bad_input_gets_one_clear_sentence(changes, message):
    options = dict(inputs=uniform(30, 3, 2, 2), target=0, layer="3") | changes
    with pytest.raises(ValueError, match=message):
        treatment_effects(lively(mlp()), options.pop("inputs"), options.pop("target"), options.pop("layer"), **options)


def test_probabilities_are_warned_about():
    with pytest.warns(UserWarning, match="before the softmax") as seen:
        treatment_effects(nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), uniform(30, 3), 0, "0")
    assert [w.filename for w in seen] == [__file__]  # the line that asked, not one of the package


@pytest.mark.parametrize("options", [dict(seed=0.5), dict(seed="a"), dict(chunk_size=2.5)])
def test_a_seed_or_chunk_that_is_no_integer_is_refused(options):
    with pytest.raises(TypeError, match=f"{next(iter(options))} must be an integer"):
        treatment_effects(lively(mlp()), uniform(30, 3, 2, 2), 0, "3", **options)


def test_attenuations_are_seeded_and_stay_in_their_interval():
    net, x = lively(mlp()), uniform(30, 3, 2, 2)
    a, b, c = (treatment_effects(net, x, 0, "3", intervention=0.5, seed=s).beta for s in (None, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert (a - 0.5).abs().max() <= 0.01 and len(a.unique()) == 9
    assert treatment_effects(net, x, 0, "3").beta.eq(0).all()


def test_relative_effects_frame_and_bar(capsys):
    net, x = lively(mlp()), uniform(30, 3, 2, 2)
    found = treatment_effects(net, x, 2, "5", progress=True)
    assert torch.allclose(found.relative, found.effects / net(x)[:, 2].double().mean().abs(), rtol=1e-5)
    frame = found.to_frame()
    assert list(frame["role"]).count("necessary") == len(found.necessary) and len(frame) == 7
    assert "210 rows" in capsys.readouterr().err and "7 nodes of 3 -> 3 targets" in repr(found)
