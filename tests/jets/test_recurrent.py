"""Recurrent networks, their cells, and nn.MultiheadAttention by jets, against the literal oracle, to 1e-10."""

import pytest
import torch
from jets_oracle import B, K, agrees, draw, varying

CELLS = {"gru_cell": torch.nn.GRUCell, "lstm_cell": torch.nn.LSTMCell, "rnn_cell": torch.nn.RNNCell}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_cells(name, bias):
    cell = CELLS[name](K, 4, bias=bias).double()
    state = (draw(B, 4), draw(B, 4, seed=1)) if name == "lstm_cell" else draw(B, 4)
    pick = (lambda y: y[0] + y[1]) if name == "lstm_cell" else (lambda y: y)
    for p in cell.parameters():
        p.requires_grad_(False)
    agrees(lambda x: pick(cell(varying(x), state)))


def recurrent(kind, **options):
    net = kind(3, 4, **options).double()
    net.load_state_dict({n: 0.5 * draw(*p.shape, seed=i) for i, (n, p) in enumerate(net.state_dict().items())})
    return net.requires_grad_(False).eval()


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM, torch.nn.RNN])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False, "batch_first": True}],
    ids=str,
)
def test_recurrent_networks(kind, options):
    """Outputs and final states, over two steps of three features."""
    net = recurrent(kind, **options)
    shape = (B, 2, 3) if options.get("batch_first") else (2, B, 3)

    def model(x):
        out, state = net(varying(x).reshape(shape))
        states = state if isinstance(state, tuple) else (state,)
        return torch.cat([out.flatten(), *[s.flatten() for s in states]])

    agrees(model)


def test_recurrent_variants():
    net = recurrent(torch.nn.RNN, nonlinearity="relu")
    agrees(lambda x, net=net: net(x.reshape(2, B, 3))[0])
    net = recurrent(torch.nn.LSTM, proj_size=2)
    agrees(lambda x, net=net: net(x.reshape(2, B, 3))[0])
    net = recurrent(torch.nn.LSTM, proj_size=2, bias=False)
    agrees(lambda x, net=net: net(x.reshape(2, B, 3))[1][1])
    net = recurrent(torch.nn.GRU)
    agrees(lambda x, net=net: net(x.reshape(4, 3))[0])
    net = recurrent(torch.nn.GRU)
    agrees(lambda x, net=net: net(x.reshape(2, B, 3), x.reshape(1, B, 6)[..., :4])[0])


def attention(**options):
    torch.manual_seed(0)
    net = torch.nn.MultiheadAttention(4, 2, **options).double().eval().requires_grad_(False)
    return net


MASKS = {
    "none": {},
    "weights": {"need_weights": True},
    "bool": {"attn_mask": torch.ones(3, 3).triu(1).bool()},
    "float": {"attn_mask": draw(3, 3)},
    "padding": {"key_padding_mask": torch.tensor([[False, False, True], [False, True, False]])},
    "both": {
        "attn_mask": draw(4, 3, 3),
        "key_padding_mask": torch.tensor([[False, False, True], [False, True, False]]),
    },
    "heads": {"average_attn_weights": False},
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("options", [{}, {"kdim": 2, "vdim": 2, "bias": False}], ids=str)
def test_multi_head_attention(name, options):
    net, arguments = attention(batch_first=True, **options), {"need_weights": False} | MASKS[name]

    def model(x):
        queries = torch.cat([x, varying(x)], 1).reshape(B, 3, 4)
        keys = queries[..., :2] if options else queries
        out, weights = net(queries, keys, keys, **arguments)
        return out if weights is None else torch.cat([out.flatten(), weights.flatten()])

    agrees(model)


def test_multi_head_attention_without_a_batch():
    net = attention()
    agrees(lambda x: net(*x.reshape(3, 4).expand(3, 3, 4))[0])
    agrees(lambda x: net(*x.reshape(3, 4).expand(3, 3, 4))[1])
