"""Layers of every kind against literal weight editing: subclasses, attention, convolutions, and what is left out."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from paths_oracle import edit, lively, uniform
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from acelib.paths import explanatory_graph, fidelity, masked, trace_layers, treatment_effects


class Scaled(nn.Linear):
    def forward(self, x):
        return F.linear(x, 0.5 * self.weight, self.bias)


class Masked(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight * (torch.arange(self.in_features) % 2), self.bias)


class Cosine(nn.Linear):
    def forward(self, x):
        return F.linear(F.normalize(x), F.normalize(self.weight), self.bias)


class Fused(nn.Linear):
    """An activation that leaves large outputs as they are, so that the recorded ones may not show it."""

    def forward(self, x):
        return torch.relu(super().forward(x))


class Dropping(nn.Linear):
    def forward(self, x):
        return super().forward(x * (x > 0))


class Extra(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 0.1 * x.mean(-1, keepdim=True)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), self.bias


class Transposed(nn.Linear):
    def forward(self, x):
        return x @ self.weight + self.bias


class LowRank(nn.Linear):
    def __init__(self, inside, outside):
        super().__init__(inside, outside)
        self.down, self.up = nn.Linear(inside, 1, bias=False), nn.Linear(1, outside, bias=False)

    def forward(self, x):
        return super().forward(x) + self.up(self.down(x))


class Rounded(nn.Linear):
    def forward(self, x):
        return F.linear(x, torch.round(self.weight * 64) / 64, self.bias)


class Renamed(nn.Linear):
    """Does what a Linear does, in other words."""

    def forward(self, x):
        return x @ self.weight.T + self.bias


class Counting(nn.Linear):
    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x)


class Standardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w, self.bias)


class Padded(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (1, 0, 1, 0)))


class Inner(nn.Conv2d):
    """Overrides the inner function alone."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


def linear_net(kind, width=4):
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), kind(width, width), nn.Tanh(), nn.Linear(width, 2))
    return lively(net).double(), uniform(40, 3, dtype=torch.float64)


def conv_net(kind):
    net = nn.Sequential(kind(2, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    return lively(net).double(), uniform(40, 2, 5, 5, dtype=torch.float64)


REFUSED = [Scaled, Masked, Cosine, Fused, Dropping, Extra, Pair, Transposed, LowRank, Rounded]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_linear_that_does_more_is_refused_by_name(kind):
    net, x = linear_net(kind)
    if kind is Pair:
        net[3] = nn.Sequential()
        net[2].register_forward_hook(lambda module, args, out: out[0])
    with pytest.raises(ValueError, match=rf"layer '2' must return its weight .* from the forward of {kind.__name__}; "):
        treatment_effects(net, x, 0, "2")


@pytest.mark.parametrize("kind", [Standardised, Padded, Inner])
def test_a_convolution_that_does_more_is_refused_by_name(kind):
    net, x = conv_net(kind)
    with pytest.raises(ValueError, match=rf"layer '0' must return .*as Conv2d does.* the forward of {kind.__name__}; "):
        explanatory_graph(net, x, 0, allow_wrong=True)


def test_an_activation_that_no_recorded_input_shows_is_found():
    net, x = linear_net(Fused)
    with torch.no_grad():
        net[2].bias.fill_(50.0)
    with pytest.raises(ValueError, match="Fused"):
        trace_layers(net, x)


def test_what_shows_on_later_rows_alone_is_found_when_they_are_recorded():
    class Late(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (1 + (x[:, :1] == 7))

    net = nn.Sequential(Late(3, 2)).double().eval()
    x = uniform(40, 3, dtype=torch.float64)
    assert len(treatment_effects(net, x, 0, "0").effects) == 3
    x[30] = 7.0
    with pytest.raises(ValueError, match="forward of Late"):
        treatment_effects(net, x, 0, "0")


def test_weights_that_change_in_the_pass_are_found():
    """The contributions would be those of weights that the recorded output does not come from."""

    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 2)

        def forward(self, x):
            out = self.a(x)
            self.a.weight.data = self.a.weight.data * 1.5
            return out

    with pytest.raises(ValueError, match="layer 'a' must return"):
        treatment_effects(Restless().eval(), uniform(40, 3), 0, "a")


def hooked(module):
    module.register_forward_hook(lambda m, args, out: 2 * out)
    module.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    return module


def pruned(module):
    prune.l1_unstructured(module, "weight", 0.4)
    return module


WRAPPED = {
    "renamed": Renamed,
    "counting": Counting,
    "hooks": lambda a, b: hooked(nn.Linear(a, b)),
    "prune": lambda a, b: pruned(nn.Linear(a, b)),
    "weight_norm": lambda a, b: parametrizations.weight_norm(nn.Linear(a, b)),
    "old weight_norm": lambda a, b: old_weight_norm(nn.Linear(a, b)),
    "spectral_norm": lambda a, b: parametrizations.spectral_norm(nn.Linear(a, b)),
    "old spectral_norm": lambda a, b: old_spectral_norm(nn.Linear(a, b)),
    "no bias": lambda a, b: nn.Linear(a, b, bias=False),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", WRAPPED.values(), ids=WRAPPED)
def test_what_only_wraps_a_linear_is_right(kind):
    """Cutting the weights from an input is to set that input to 0, behind the pre-hooks; equal to 1e-10."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), kind(4, 5), nn.Tanh(), nn.Linear(5, 2)).double().eval()
    x = uniform(40, 3, dtype=torch.float64)
    found = treatment_effects(net, x, 1, "2").differences
    for node in range(4):

        def cut(module, args, node=node):
            return (args[0] * (torch.arange(4) != node),)

        with torch.no_grad():
            before = net(x)[:, 1]
            handle = net[2].register_forward_pre_hook(cut)
            after = net(x)[:, 1]
            handle.remove()
        assert (found[node] - (after - before)).abs().max() < 1e-10


def literal(net, x, target, name, nodes, change):
    """Return the differences ``(nodes, n)`` of a copied network, changed by ``change(copy, node)``."""
    with torch.no_grad():
        before, found = net(x)[:, target], []
        for node in range(nodes):
            other = copy.deepcopy(net)
            change(other, node)
            found.append(other(x)[:, target] - before)
    return torch.stack(found)


CONVOLUTIONS = {
    "1d": (nn.Conv1d, (8,), dict(kernel_size=3, stride=2, padding=1)),
    "1d circular": (nn.Conv1d, (8,), dict(kernel_size=3, padding=1, padding_mode="circular")),
    "1d same dilated": (nn.Conv1d, (8,), dict(kernel_size=3, padding="same", dilation=2)),
    "1d groups": (nn.Conv1d, (8,), dict(kernel_size=3, groups=2)),
    "1d no bias": (nn.Conv1d, (8,), dict(kernel_size=2, bias=False)),
    "2d": (nn.Conv2d, (4, 5), dict(kernel_size=(2, 3))),
    "3d": (nn.Conv3d, (3, 4, 4), dict(kernel_size=(2, 3, 3), padding=1, stride=(1, 2, 1))),
    "3d groups replicate": (nn.Conv3d, (3, 4, 4), dict(kernel_size=3, groups=2, padding=1, padding_mode="replicate")),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_over_one_two_and_three_dimensions_equal_edited_weights(case):
    kind, size, options = CONVOLUTIONS[case]
    net = nn.Sequential(kind(2, 4, **options), nn.ReLU(), kind(4, 4, **options), nn.Flatten(), nn.LazyLinear(2))
    x = uniform(30, 2, *size, dtype=torch.float64)
    with torch.no_grad():
        net.double()(x)
    net = lively(net).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = explanatory_graph(net, x, 0, allow_wrong=True)
    assert [layer.kind for layer in graph.layers] == ["Linear", kind.__name__, kind.__name__]
    assert graph["4"].num_nodes == 4 and graph["4"].parents == ("2",), "a flattened channel is one node"
    for name, nodes in (("0", 2), ("2", 4)):
        targets = [0, 3]

        def change(other, node, name=name, targets=targets):
            for t in targets:
                edit(other[int(name)], t, node, 0.0)

        found = treatment_effects(net, x, 1, name, targets=targets).differences
        assert (found - literal(net, x, 1, name, nodes, change)).abs().max() < 1e-10
    with torch.no_grad(), masked(net, trace_layers(net, x), {"2": ((1,), None)}):
        other = copy.deepcopy(net)
        got = net(x)
    with torch.no_grad():
        for t in range(4):
            edit(other[2], t, 1, 0.0)
        assert (other(x) - got).abs().max() < 1e-10


class Tokens(nn.Module):
    """A class token, an encoder and a head."""

    def __init__(self, batch_first=True, layers=1, norm_first=False, wrapped=False):
        super().__init__()
        self.embed, self.cls = nn.Linear(4, 8), nn.Parameter(torch.randn(1, 1, 8))
        encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first, norm_first=norm_first)
        self.encode = nn.TransformerEncoder(encoder, layers, enable_nested_tensor=False) if wrapped else encoder
        self.head, self.batch_first = nn.Linear(8, 2), batch_first

    def forward(self, x):
        t = torch.cat([self.cls.expand(len(x), -1, -1), self.embed(x)], dim=1)
        t = self.encode(t) if self.batch_first else self.encode(t.transpose(0, 1)).transpose(0, 1)
        return self.head(t[:, 0])


@pytest.mark.parametrize(
    "options",
    [{}, dict(batch_first=False), dict(norm_first=True), dict(wrapped=True, layers=2)],
    ids=["plain", "steps first", "norm first", "two layers"],
)
def test_a_transformer_encoder_is_traced_and_equals_edited_weights(options):
    torch.manual_seed(0)
    net, x = Tokens(**options).double().eval(), uniform(40, 5, 4, dtype=torch.float64)
    at = "encode.layers.1" if options.get("wrapped") else "encode"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = explanatory_graph(net, x, 0, allow_wrong=True)
    names = {layer.name for layer in graph.layers}
    assert names >= {f"{at}.{part}" for part in ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")}
    assert f"{at}.linear2" in graph["head"].parents and graph["embed"].targets
    assert torch.backends.mha.get_fastpath_enabled()

    def parameters(other):
        attention = other.get_submodule(f"{at}.self_attn")
        yield f"{at}.self_attn.in_proj", attention.in_proj_weight
        yield f"{at}.self_attn.out_proj", attention.out_proj.weight
        for part in (f"{at}.linear1", f"{at}.linear2", "embed"):
            yield part, other.get_submodule(part).weight

    for name, weight in parameters(net):
        targets = list(range(0, len(weight), 2))

        def change(other, node, name=name, targets=targets):
            dict(parameters(other))[name].data[targets, node] = 0

        truth = literal(net, x, 0, name, weight.shape[1], change)
        found = treatment_effects(net, x, 0, name, targets=targets).differences
        assert (found - truth).abs().max() < 1e-10, name
        if "norm_first" not in options:
            with torch.no_grad(), masked(net, trace_layers(net, x), {name: ((1,), targets)}):
                got = net(x)[:, 0]
            with torch.no_grad():
                assert (got - net(x)[:, 0] - truth[1]).abs().max() < 1e-10, "masked"


class Cross(nn.Module):
    """Attention between two sequences, of other widths where ``wide``, with added keys and a mask of padding."""

    def __init__(self, options):
        super().__init__()
        width = options.get("kdim", 8)
        self.q, self.k = nn.Linear(4, 8), nn.Linear(4, width)
        self.attend = nn.MultiheadAttention(8, 2, **options)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        q, k = self.q(x[:, :2]), self.k(x)
        mask = torch.zeros(len(x), 5, dtype=torch.bool)
        mask[:, 4] = True
        if not self.attend.batch_first:
            q, k = q.transpose(0, 1), k.transpose(0, 1)
        out, shares = self.attend(q, k, k, key_padding_mask=mask)
        out = out if self.attend.batch_first else out.transpose(0, 1)
        return self.head(out.mean(1)) + shares.sum()[None, None] * 0


@pytest.mark.parametrize(
    "options",
    [
        dict(batch_first=True),
        dict(batch_first=False, bias=False),
        dict(kdim=6, vdim=6, batch_first=True),
        dict(add_bias_kv=True, add_zero_attn=True, batch_first=True),
    ],
    ids=["cross", "steps first", "own widths", "added keys"],
)
def test_cross_attention_has_three_projections(options):
    torch.manual_seed(0)
    net, x = Cross(options).double().eval(), uniform(40, 5, 4, dtype=torch.float64)
    trace = trace_layers(net, x)
    names = [f"attend.{part}" for part in ("q_proj", "k_proj", "v_proj")]
    assert [layer.name for layer in trace.layers] == ["q", "k", *names, "attend.out_proj", "head"] and not trace.left_out

    def weight(other, part):
        if "kdim" in options:
            return getattr(other.attend, f"{part}_weight")
        return other.attend.in_proj_weight.chunk(3)[["q_proj", "k_proj", "v_proj"].index(part)]

    for part in ("q_proj", "k_proj", "v_proj"):

        def change(other, node, part=part):
            weight(other, part).data[[0, 5], node] = 0

        truth = literal(net, x, 1, part, trace.layer(f"attend.{part}").num_nodes, change)
        found = treatment_effects(net, x, 1, f"attend.{part}", targets=[0, 5]).differences
        assert (found - truth).abs().max() < 1e-10 and truth.abs().max() > 1e-6, part


def test_fidelity_masks_inside_an_encoder():
    """Share 0 leaves all rankings alike; masking every necessary node in linear2 changes what the class gets."""
    torch.manual_seed(0)
    net, x = Tokens().eval(), uniform(90, 5, 4)
    target = int(net(x).argmax(1).mode().values)
    labels = net(x).argmax(1)
    labels[:3] = 1 - target
    graph = explanatory_graph(net, x, target)
    study = fidelity(net, graph, x, labels, shares=(0, 1), draws=1)
    assert len({float(own[0]) for own in study.own.values()}) == 1


class Around(nn.Module):
    """A module whose weights a graph leaves out, between two layers."""

    def __init__(self, inner, call):
        super().__init__()
        self.first, self.inner, self.call = nn.Linear(4, 4), inner, call
        self.last = nn.LazyLinear(2)

    def forward(self, x):
        return self.last(self.call(self, self.first(x)).flatten(1))


class Matrix(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))


LEFT_OUT = {
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(1, 2, 3), lambda n, h: n.inner(h[:, None])),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(1, 2, 2), lambda n, h: n.inner(h.view(-1, 1, 2, 2))),
    "LSTM": (lambda: nn.LSTM(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "GRU": (lambda: nn.GRU(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "RNN": (lambda: nn.RNN(2, 3, batch_first=True), lambda n, h: n.inner(h.view(-1, 2, 2))[0]),
    "LSTMCell": (lambda: nn.LSTMCell(4, 3), lambda n, h: n.inner(h)[0]),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 3), lambda n, h: n.inner(h, h)),
    "Embedding": (lambda: nn.Embedding(9, 3), lambda n, h: n.inner(h.abs().long().clamp(0, 8))),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(9, 3), lambda n, h: n.inner(h.abs().long().clamp(0, 8))),
    "Matrix": (Matrix, lambda n, h: h @ n.inner.weight),
    "Matrix by parts": (Matrix, lambda n, h: torch.einsum("nc,cd->nd", h, n.inner.weight.exp().T)),
    "Matrix by hand": (Matrix, lambda n, h: (h[:, :, None] * n.inner.weight).sum(1)),
    "Linear by its weight": (lambda: nn.Linear(4, 4), lambda n, h: F.linear(h, n.inner.weight)),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_weights_that_a_graph_leaves_out_are_named(case):
    make, call = LEFT_OUT[case]
    net, x = Around(make(), call).eval(), uniform(40, 4)
    with torch.no_grad():
        net(x)
    kind = case.split()[0]
    with pytest.warns(UserWarning, match=rf"paths through the weights of 'inner' \({kind}\) are left out of the graph"):
        graph = explanatory_graph(net, x, 0, allow_wrong=True)
    assert [layer.name for layer in graph.layers] == ["last", "first"]
    if graph["last"].necessary:
        assert graph["first"].targets, "all that the module reads is a possible cause"


QUIET = {
    "norms": nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.PReLU(4), nn.RMSNorm(4)),
    "identity": nn.Identity(),
    "parametrised": parametrizations.weight_norm(nn.Linear(4, 4)),
    "orthogonal": parametrizations.orthogonal(nn.Linear(4, 4)),
}


@pytest.mark.parametrize("case", QUIET)
def test_weights_that_scale_and_shift_are_no_paths(case):
    net, x = Around(copy.deepcopy(QUIET[case]), lambda n, h: n.inner(h)).eval(), uniform(40, 4)
    with torch.no_grad():
        net(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanatory_graph(net, x, 0, allow_wrong=True)


def test_tied_views_are_refused_and_neighbours_in_one_memory_are_not():
    flat = nn.Parameter(torch.randn(18))
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    net[0].weight, net[2].weight = nn.Parameter(flat.data[:9].view(3, 3)), nn.Parameter(flat.data[9:].view(3, 3))
    assert len(trace_layers(net, uniform(2, 3)).layers) == 2
    net[2].weight = nn.Parameter(net[0].weight.data.T)
    with pytest.raises(ValueError, match="the same in '0' and '2'"):
        trace_layers(net, uniform(2, 3))
