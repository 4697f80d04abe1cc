"""Every refusal of half_trace: one sentence that names the argument, and before any long work.

Also what happens at operations that torch cannot differentiate twice: the way round, or an error that names them.
"""

import pytest
import torch
from torch import nn

from acelib.curvature import UnsupportedOperation, half_trace

X, S = torch.ones(3, 4, dtype=torch.float64), torch.ones(4, 2, dtype=torch.float64)
Z = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
SINE = -Z.sin()  # ½ Σ_i −sin(z_i) Σ_ii with Σ = S Sᵀ, whose entries are all 2


def square(x):
    return x**2


def with_nan(tensor, value=float("nan")):
    tensor = tensor.clone()
    tensor[1, 1] = value
    return tensor


ARGUMENTS = {
    "unknown route": (
        {"route": "newton"},
        ValueError,
        "route must be one of auto, collapsed, jvp_grad, double_b.*got 'newton'",
    ),
    "model not callable": ({"model": 3}, TypeError, "model must be a torch callable .*got int"),
    "points not a tensor": ({"points": [[1.0]]}, TypeError, "points must be a torch tensor, got list"),
    "factor not a tensor": ({"factor": 2.0}, TypeError, "factor must be a torch tensor, got float"),
    "integer points": ({"points": X.long()}, TypeError, "points must be float32 or float64, got torch.int64"),
    "half points": ({"points": X.half()}, TypeError, "points must be float32 or float64, got torch.float16"),
    "integer factor": ({"factor": S.long()}, TypeError, "factor must have a floating dtype, got torch.int64"),
    "points 1-D": ({"points": X[0]}, ValueError, r"points must have shape \(B, k\).*got \(4,\)"),
    "no points": ({"points": X[:0]}, ValueError, r"points must have shape .*got \(0, 4\)"),
    "no columns": ({"points": X[:, :0], "factor": S[:0]}, ValueError, r"points must have shape .*got \(3, 0\)"),
    "factor 1-D": ({"factor": S[:, 0]}, ValueError, r"factor must have shape .*got \(4,\).*s\[:, None\]"),
    "factor rows": ({"factor": S[:3]}, ValueError, r"factor must have shape \(4, R\) or .*got \(3, 2\)"),
    "factor batch": ({"factor": S.repeat(2, 1, 1)}, ValueError, r"factor must have shape .*got \(2, 4, 2\)"),
    "factor device": ({"factor": S.to("meta")}, ValueError, "factor must be on the device of points, cpu, got meta"),
    "points NaN": ({"points": with_nan(X)}, ValueError, "points must be finite, got NaN or Inf"),
    "factor Inf": ({"factor": with_nan(S, float("inf"))}, ValueError, "factor must be finite, got NaN or Inf"),
    "both": ({"feature": 1, "pinned": X > 0}, ValueError, "feature and pinned must not be given together"),
    "feature high": ({"feature": 4}, ValueError, "feature must lie in 0 to 3, .*got 4 to 4"),
    "feature low": ({"feature": [0, -1, 2]}, ValueError, "feature must lie in 0 to 3, .*got -1 to 2"),
    "feature float": ({"feature": 1.0}, TypeError, "feature must be an integer .*got dtype torch.float32"),
    "feature bool": ({"feature": True}, TypeError, "feature must be an integer .*got dtype torch.bool"),
    "feature length": ({"feature": [0, 1]}, ValueError, r"feature must be one integer .*got shape \(2,\)"),
    "pinned dtype": ({"pinned": X}, ValueError, r"pinned must be bool of shape \(3, 4\).*got torch.float64"),
    "pinned shape": (
        {"pinned": torch.zeros(4, dtype=torch.bool)},
        ValueError,
        r"pinned must be bool .*got torch.bool of shape \(4,\)",
    ),
    "chunk zero": ({"chunk_size": 0}, ValueError, "chunk_size must be positive, .*got 0"),
    "chunk float": ({"chunk_size": 2.5}, TypeError, "chunk_size must be an integer, .*got 2.5"),
    "epsilon elsewhere": (
        {"epsilon": 1e-3},
        ValueError,
        "epsilon must be left out unless route is 'central_difference', got route 'auto'",
    ),
    "epsilon zero": (
        {"epsilon": 0.0, "route": "central_difference"},
        ValueError,
        "epsilon must be a positive finite step .*got 0.0",
    ),
    "epsilon NaN": (
        {"epsilon": float("nan"), "route": "central_difference"},
        ValueError,
        "epsilon must be a positive finite step .*got nan",
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name):
    options, kind, message = ARGUMENTS[name]
    calls = {"model": square, "points": X, "factor": S} | options
    with pytest.raises(kind, match=message):
        half_trace(calls.pop("model"), calls.pop("points"), calls.pop("factor"), **calls)


def silent(x):
    with torch.no_grad():
        return x**2


MODELS = {
    "1-D": (lambda x: x.sum(1), ValueError, r"must return shape \(batch, outputs\).*append .unsqueeze"),
    "0-D": (lambda x: x.sum(), ValueError, r"must return shape .*got \(\)"),
    "one row": (lambda x: x.sum(0, keepdim=True), ValueError, r"= \(2, outputs\), got \(1, 4\)"),
    "3-D": (lambda x: x[:, None], ValueError, r"got \(2, 1, 4\)"),
    "classes": (lambda x: x.argmax(1, keepdim=True), ValueError, "must return a floating dtype, got torch.int64"),
    "tuple": (lambda x: (x, x), TypeError, "model must return a tensor .*got tuple"),
    "NaN": (lambda x: x / 0 * 0, ValueError, "model must return finite outputs, got NaN"),
    "no gradient": (silent, ValueError, "model must carry a gradient"),
    "detached": (lambda x: x.detach() ** 2, ValueError, "model must carry a gradient"),
    "curvature": (
        lambda x: (x - 1).abs() ** 1.5,
        ValueError,
        r"finite curvature, got NaN or Inf at points\[0\] in output 0",
    ),
}


@pytest.mark.parametrize("route", ("auto", "collapsed", "double_backward", "hessian"))
@pytest.mark.parametrize("name", MODELS)
def test_models(name, route):
    model, kind, message = MODELS[name]
    with pytest.raises(kind, match=message):
        half_trace(model, X, S, route=route)


def test_a_model_without_gradient_is_fine_for_central_differences():
    """½ Σ_i 2 Σ_ii with Σ = S Sᵀ all twos: 2 per coordinate."""
    assert torch.allclose(half_trace(silent, X, S, route="central_difference"), 2 * X, atol=1e-6)


def test_a_step_function_is_flat_and_not_an_error():
    """It carries no gradient, and rightly so: its curvature is 0 away from the jump."""
    assert not half_trace(lambda x: (x > 0).to(x.dtype), X, S).any()


TRAINING = {
    "dropout": lambda: nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5)),
    "alpha": lambda: nn.Sequential(nn.Linear(4, 2), nn.AlphaDropout(0.1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)),
    "recurrent dropout": lambda: nn.GRU(4, 2, num_layers=2, dropout=0.1),
    "rrelu": lambda: nn.Sequential(nn.Linear(4, 2), nn.RReLU()),
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_mode(name):
    model = TRAINING[name]().double()
    for callable_model in (model, model.forward):
        with pytest.raises(ValueError, match=r"training mode.*model\.eval\(\)"):
            half_trace(callable_model, X, S)
    assert model.training  # refused, not switched


def test_training_mode_without_randomness_is_accepted():
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.0), nn.Tanh()).double()
    assert half_trace(model, X, S).shape == (3, 2)


def test_batch_norm_without_statistics_and_another_device():
    with pytest.raises(ValueError, match="track_running_stats"):
        half_trace(nn.BatchNorm1d(4, track_running_stats=False).double().eval(), X, S)
    with pytest.raises(ValueError, match="model must be on the device of the inputs, cpu, got meta"):
        half_trace(nn.Linear(4, 2, device="meta"), X, S)


def test_unsupported_operation_reads_well():
    error = UnsupportedOperation("some_kernel", "jvp_grad", "try another")
    assert str(error) == "the route jvp_grad cannot differentiate some_kernel twice: try another"


# ---------------------------------------------------------------- operations without a rule


class OldSine(torch.autograd.Function):
    """A custom function in the style that torch.func refuses; double backward works."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].cos()


class OnceSine(OldSine):
    """The same, differentiable once only: naive double backward would give a silent 0."""

    backward = staticmethod(torch.autograd.function.once_differentiable(OldSine.backward))


def same(actual, expected, atol):
    assert float((actual - expected).abs().max()) <= atol


@pytest.mark.parametrize("route", ("auto", "double_backward", "hessian"))
def test_falls_back_to_reverse_mode(route):
    """sin'' = −sin: auto and the oracle reach it by double backward where torch.func cannot follow."""
    same(half_trace(OldSine.apply, Z, S, route=route), SINE, 1e-12)


@pytest.mark.parametrize(
    "model, route, name",
    [
        (OldSine.apply, "jvp_grad", "autograd.Function"),
        (OldSine.apply, "collapsed", "autograd.Function"),
        (OnceSine.apply, "double_backward", "once_differentiable"),
        (OnceSine.apply, "hessian", "Function"),
        (OnceSine.apply, "auto", "once_differentiable"),
        (lambda x: torch.special.zeta(x.abs() + 2, x.abs() + 1), "auto", "zeta"),
        (lambda x: torch.special.zeta(x.abs() + 2, x.abs() + 1), "hessian", "zeta"),
        (lambda x: torch.special.zeta(x.abs() + 2, x.abs() + 1), "collapsed", "zeta"),
    ],
)
def test_unsupported_operations_are_named(model, route, name):
    with pytest.raises(UnsupportedOperation, match=name) as caught:
        half_trace(model, Z, S, route=route)
    assert name in caught.value.operation and route in caught.value.route
    assert any(way in str(caught.value) for way in ("central_difference", "double_backward", "acelib.jets.register"))
    assert isinstance(caught.value, RuntimeError)


def test_central_difference_needs_no_derivative_rule():
    same(half_trace(OnceSine.apply, Z, S, route="central_difference"), SINE, 1e-4)


ENTRANCE = 4  # calls of the checks: two rows together, each alone, and together in forward mode


@pytest.mark.parametrize("route", ("auto", "collapsed", "jvp_grad", "double_backward", "hessian"))
def test_errors_of_the_model_are_not_taken_for_a_missing_rule(route):
    """Not a shape mismatch, which the entrance explains, nor one in later calls, which surfaces as it is."""
    with pytest.raises(ValueError, match=r"take a batch of shape \(2, 4\) .*shapes cannot be multiplied"):
        half_trace(nn.Linear(5, 2).double(), Z, S, route=route)
    calls = []

    def breaks_later(x):
        calls.append(1)
        return x**2 if len(calls) <= ENTRANCE else x @ x.new_zeros(3, 3)

    with pytest.raises(RuntimeError, match="size mismatch|cannot be multiplied|expected a matrix") as caught:
        half_trace(breaks_later, Z, S, route=route)
    assert not isinstance(caught.value, UnsupportedOperation)


@pytest.mark.parametrize("route, off", [("jvp_grad", False), ("double_backward", True), ("hessian", True)])
def test_recurrent_kernels_are_switched_off_and_on_again(route, off):
    """cuDNN and oneDNN recurrences stop forward mode or a second derivative; elsewhere they stay on for speed."""
    seen = []

    def model(x):
        seen.append((torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled))
        return x.sin()

    before = (torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled)
    same(half_trace(model, Z, S, route=route), SINE, 1e-12)
    answer = seen[ENTRANCE:] if off else seen[-1:]  # before it forward mode is compared with double backward
    assert set(answer) == {(False, False) if off else before}
    assert (torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled) == before


def test_auto_leaves_cudnn_recurrences_to_double_backward():
    """A stand-in for the CUDA kernel, with its message: it refuses derivatives while cuDNN is on."""
    calls = []

    def model(x):
        calls.append(1)
        if len(calls) > ENTRANCE and torch.backends.cudnn.enabled:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return x.sin()

    same(half_trace(model, Z, S), SINE, 1e-12)
