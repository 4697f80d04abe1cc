"""Networks of ONNX files, against the torch networks that they were exported from, and as black boxes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from acelib import AverageCausalEffect, InputDistribution, as_model, interventional_expectation
from acelib.adapters import load_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def network(path, *, batch="batch", kind=TensorProto.FLOAT, outputs=("y",), flat=False, inputs=("x",), width=3):
    """Write y = tanh(x W + b), and 2 y as a second output; return W and b."""
    rng = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    W, b = rng.normal(size=(3, 1 if flat else 2)).astype(dtype), rng.normal(size=1 if flat else 2).astype(dtype)
    given = " + ".join(inputs)
    nodes = [helper.make_node("Add", list(inputs), ["sum"])] if len(inputs) > 1 else []
    nodes += [
        helper.make_node("Gemm", ["sum" if nodes else given, "W", "b"], ["z"]),
        helper.make_node("Tanh", ["z"], ["t"]),
    ]
    nodes += [helper.make_node("Squeeze", ["t", "axis"], ["y"]) if flat else helper.make_node("Identity", ["t"], ["y"])]
    nodes += [helper.make_node("Add", ["t", "t"], ["twice"])]
    shape = [batch] if flat else [batch, 2]
    makers = [helper.make_tensor_value_info(n, kind, shape if n == "y" else [batch, 1 if flat else 2]) for n in outputs]
    entries = [helper.make_tensor_value_info(n, kind, [batch, width]) for n in inputs]
    weights = [numpy_helper.from_array(W, "W"), numpy_helper.from_array(b, "b")]
    weights += [numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")]
    made = helper.make_graph(nodes, "net", entries, makers, weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, path)
    return torch.tensor(W), torch.tensor(b)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE], ids=["float", "double"])
def test_a_file_is_the_network(tmp_path, kind):
    """Its averages are those of the formula; inputs in the other dtype are converted, as for any network."""
    W, b = network(tmp_path / "net.onnx", kind=kind)
    found = load_network(tmp_path / "net.onnx")
    x = X.to(W.dtype)
    assert torch.allclose(found(x), torch.tanh(x @ W + b), atol=1e-6) and found.dtype == W.dtype and found.shape == (3,)
    for given in (X, X.double()):
        inputs = InputDistribution.fit(given, domain=(-4, 4))
        ours = interventional_expectation(found, inputs, 1, [0.0, 0.5])
        own = interventional_expectation(lambda x: torch.tanh(x @ W.to(x) + b.to(x)), inputs, 1, [0.0, 0.5])
        assert torch.allclose(ours.values, own.values, atol=1e-6) and ours.method == "monte_carlo"
    curves = AverageCausalEffect(found, inputs).regress(num=10)
    assert len(curves) == 6
    assert torch.equal(pickle.loads(pickle.dumps(found))(x), found(x)) and "net.onnx" in repr(found)


def test_what_torch_exports_is_read(tmp_path):
    pytest.importorskip("onnxscript")
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(net, (X[:5],), tmp_path / "net.onnx", dynamic_shapes=batch, dynamo=True, verbose=False)
    found = as_model(tmp_path / "net.onnx")
    assert torch.allclose(found(X), net(X), atol=1e-5)


def test_it_has_no_derivative_and_says_so(tmp_path):
    network(tmp_path / "net.onnx")
    found, inputs = load_network(tmp_path / "net.onnx"), InputDistribution.fit(X, domain=(-4, 4))
    with pytest.raises(ValueError, match="must carry a gradient .*ONNX Runtime computes no derivative.*'monte_carlo'"):
        interventional_expectation(found, inputs, 0, [0.0], method="taylor")
    with pytest.raises(RuntimeError, match="computes no derivative|functorch|data pointer"):
        torch.func.jvp(found, (X,), (X,))
    dual = torch.autograd.forward_ad
    with dual.dual_level(), pytest.raises(RuntimeError, match="computes no derivative"):
        found(dual.make_dual(X, X))


def test_outputs_are_named_and_flat_ones_become_columns(tmp_path):
    path = tmp_path / "net.onnx"
    network(path, outputs=("y", "twice"))
    assert torch.equal(load_network(path, output="twice")(X), 2 * load_network(path, output=0)(X))
    with pytest.raises(
        ValueError, match=r"output must be one of the outputs \['y', 'twice'\] of net.onnx, .* got None"
    ):
        load_network(path)
    with pytest.raises(ValueError, match="got 'z'"):
        load_network(path, output="z")
    network(path, flat=True)
    assert load_network(path)(X).shape == (60, 1)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"batch": 8}, "net.onnx must take a batch of any size, got exactly 8 rows; export it with dynamic_shapes="),
        ({"width": "width"}, r"must take inputs of one shape, got \['width'\]"),
        ({"inputs": ("x", "mask")}, r"must take one tensor \(batch, ...\), got the inputs \['x', 'mask'\]"),
    ],
)
def test_what_cannot_be_averaged_is_one_sentence(tmp_path, options, said):
    network(tmp_path / "net.onnx", **options)
    with pytest.raises(ValueError, match=said):
        load_network(tmp_path / "net.onnx")


def test_other_dtypes_and_no_files_are_one_sentence(tmp_path):
    network(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"inputs must have the dtype of net.onnx, torch.float32, got torch.float64"):
        load_network(tmp_path / "net.onnx")(X.double())
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad.onnx must be a network that ONNX Runtime opens, got "):
        load_network(tmp_path / "bad.onnx")
