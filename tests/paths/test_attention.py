"""Transformer encoders and attention, whose fused kernels call no layer, against literal weight editing."""

import warnings

import pytest
import torch
from paths_oracle import literal_changes, uniform
from torch import nn

from acelib.paths import explanatory_graph, fidelity, masked, trace_layers, treatment_effects


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

        truth = literal_changes(net, x, 0, weight.shape[1], change)
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
    assert [layer.name for layer in trace.layers] == [
        "q",
        "k",
        *names,
        "attend.out_proj",
        "head",
    ] and not trace.left_out

    def weight(other, part):
        if "kdim" in options:
            return getattr(other.attend, f"{part}_weight")
        return other.attend.in_proj_weight.chunk(3)[["q_proj", "k_proj", "v_proj"].index(part)]

    for part in ("q_proj", "k_proj", "v_proj"):

        def change(other, node, part=part):
            weight(other, part).data[[0, 5], node] = 0

        truth = literal_changes(net, x, 1, trace.layer(f"attend.{part}").num_nodes, change)
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
