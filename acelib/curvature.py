"""How much does curvature shift an average? The second-order term of the interventional expectation.

Around the mean μ of the do-distribution, E[y | do(x_i = α)] ≈ f(μ) + ½ Tr(∇²f(μ) Σ), with row and column i of the
covariance Σ set to zero. With a factor Σ = S Sᵀ that trace is Σ_r s_rᵀ ∇²f(μ) s_r over the columns s_r of S, and
zeroing row i of S zeroes row and column i of Σ: one factor serves every feature. So R second derivatives along lines
are needed, never the k × k Hessian. The routes below compute those second derivatives; they differ in cost and in the
operations that they can pass through. Forward mode over forward mode is never used: through LayerNorm it can return
wrong numbers without an error.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import torch
from torch import nn

from acelib import jets
from acelib._directional import (
    central_difference,
    double_backward,
    full_hessian,
    jvp_grad,
    missing_operation,
    twice_differentiable,
)
from acelib._unsupported import UnsupportedOperation

__all__ = ["ROUTES", "UnsupportedOperation", "half_trace"]

ROUTES = ("auto", "collapsed", "jvp_grad", "double_backward", "hessian", "central_difference")
DEFAULT_CHUNK = 4096
DEFAULT_EPSILON = {torch.float64: 1e-4, torch.float32: 1e-2}
PROBE_ROWS = 8  # rows of the plain forward call that checks the model before the long work starts

Second = Callable[[Callable, torch.Tensor, torch.Tensor], torch.Tensor]


def half_trace(
    model: Callable,
    points: torch.Tensor,
    factor: torch.Tensor,
    *,
    feature: int | torch.Tensor | None = None,
    pinned: torch.Tensor | None = None,
    route: str = "auto",
    chunk_size: int | None = None,
    epsilon: float | None = None,
) -> torch.Tensor:
    """Returns ½ Tr(∇²f(point) S Sᵀ) for each point and output, shape ``(B, outputs)``, in the units of the output.

    The result is detached, with the dtype and on the device of ``points``. Kinks contribute 0: a ReLU network that
    is linear around each point gives exact zeros. What the model, or a
    custom backward, detaches counts as a constant.

    Routes, with their cost for R directions, k features and ``outputs`` outputs, per point:

    - ``"auto"``: ``collapsed``; ``jvp_grad`` where an operation has no rule there; ``double_backward`` where it has
      no forward-mode rule either.
    - ``"collapsed"``: value, R slopes and one summed second derivative in a single forward pass for all outputs
      (``acelib.jets``). R + 2 forward rows, and no graph; with one factor for all points the first linear or
      convolutional layer is paid once for all of them. Exact; by far the fastest.
    - ``"jvp_grad"``: forward mode over reverse mode, directions folded into the batch. R dual forward rows and
      R · ``outputs`` dual reverse rows. Exact; right for custom functions and other operations without a rule for jets.
    - ``"double_backward"``: y(ε) = f(point + ε s_r) differentiated twice by reverse mode. R forward rows and
      2 R · ``outputs`` reverse rows, and it keeps the graph in memory. Exact; right for fused recurrent kernels and
      other operations without a forward-mode rule. cuDNN and oneDNN are off meanwhile: cuDNN's recurrent kernels have
      no second derivative.
    - ``"hessian"``: the whole Hessian, forward over reverse (reverse over reverse where forward mode is missing),
      point by point. k · ``outputs`` rows and k² · ``outputs`` numbers. Exact; an oracle for tests and small k.
    - ``"central_difference"``: the paper's approximation Σ_r λ_r [f(μ + ε e_r) + f(μ − ε e_r) − 2 f(μ)] / ε² with
      unit directions e_r = s_r / √λ_r. 2 R + 1 plain forward rows, no derivatives. Error about 1e-8 in float64; in
      float32 1e-3 at best, and often useless for long sums. Right for models that torch cannot differentiate.

    Args:
        model: maps ``(batch, k)`` to ``(batch, outputs)``, row by row: a row of the output may depend on the same
            row of the input only. Module or plain function, in evaluation mode.
        points: ``(B, k)``, float32 or float64, in the model's dtype and on its device.
        factor: S with Σ = S Sᵀ, ``(k, R)`` for all points or ``(B, k, R)`` with one per point; cast to the dtype of
            ``points``. R = 0 gives zeros.
        feature: the intervened feature, whose row of S is set to zero: one integer, or ``(B,)`` integers.
        pinned: ``(B, k)`` bool instead of ``feature``: all rows of S to set to zero, for each point.
        route: one of the routes above.
        chunk_size: most rows in one call of the model; a point with a direction counts as one row. Default 4096.
        epsilon: step of ``central_difference``, in units of the inputs. Default 1e-4 in float64, 1e-2 in float32.

    Returns:
        Tensor ``(B, outputs)``.

    Raises:
        UnsupportedOperation: an operation in the model has no derivative rule; the message names it.
        TypeError: an argument of the wrong kind.
        ValueError: a wrong shape, device or value, NaN or infinity, a model in training mode, a wrong output.

    References:
        Chattopadhyay et al., ICML 2019: Eq. 3-4 (expansion), Corollary 2.1 (do-covariance), Section 4.6 (directions).

    Example:
        >>> import torch
        >>> f = lambda x: (x[:, 0] * x[:, 1] + 3 * x[:, 2] ** 2)[:, None]
        >>> S = torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))
        >>> t = half_trace(f, torch.zeros(1, 3, dtype=torch.float64), S)     # ½ · 6 · Var(x_2) = 12
        >>> assert abs(t.item() - 12) < 1e-12
        >>> t = half_trace(f, torch.zeros(1, 3, dtype=torch.float64), S, feature=2)
        >>> assert t.item() == 0
    """
    if route not in ROUTES:
        raise ValueError(f"route {route!r} is not available in this release: choose one of {', '.join(ROUTES)}.")
    points, factor = _check_tensors(points, factor)
    held = _held_rows(points, feature, pinned)
    chunk = _positive_int(DEFAULT_CHUNK if chunk_size is None else chunk_size, "chunk_size")
    step = _check_epsilon(epsilon, route, points.dtype)
    model = _check_mode(_uncompiled(model), points.device)
    # Outside gradients would only keep graphs through the parameters alive; the routes switch on what they need.
    with torch.inference_mode(False), torch.no_grad():
        points, factor = points.detach().clone(), factor.detach().clone()
        outputs = _probe(model, points[:PROBE_ROWS], differentiable=route != "central_difference")
        if factor.shape[-1] == 0:
            return points.new_zeros(len(points), outputs)
        result = _evaluate(route, _shape_checked(model), points, factor, held, chunk, step).to(points.dtype)
    bad = (~torch.isfinite(result)).nonzero()
    if len(bad):
        b, o = bad[0].tolist()
        raise ValueError(
            f"model has no finite curvature at points[{b}] in output {o}: expected finite values and "
            "second derivatives; look for sqrt, log or a division at the edge of its domain."
        )
    return result


def _evaluate(route, model, points, factor, held, chunk, step) -> torch.Tensor:
    """``(B, outputs)`` by one route; operations without a rule come out as UnsupportedOperation."""
    if route == "auto":
        return _first_that_works(model, points, factor, held, chunk, step)
    try:
        if route == "collapsed":
            return jets.collapsed(model, points, factor, held, chunk)
        if route == "hessian":
            return _from_hessian(model, points, factor, held, chunk)
        if route == "central_difference":
            second = functools.partial(central_difference, step=step)
            return _fold(second, model, points, factor, held, chunk)
        second = jvp_grad if route == "jvp_grad" else double_backward
        with twice_differentiable(recurrent=route == "double_backward"):
            return _fold(second, model, points, factor, held, chunk)
    except RuntimeError as error:
        name = missing_operation(error)
        if name is None:
            raise
        other = "double_backward" if route == "jvp_grad" else "central_difference"
        raise UnsupportedOperation(name, route, f"try route={other!r}, or write that part differently.") from error


def _first_that_works(model, points, factor, held, chunk, step) -> torch.Tensor:
    """``(B, outputs)`` by the fastest route that can follow every operation of the model."""
    names = []
    for route in ("collapsed", "jvp_grad", "double_backward"):
        try:
            return _evaluate(route, model, points, factor, held, chunk, step)
        except UnsupportedOperation as error:
            names.append(error.operation)
            last = error
        except Exception:
            # The model has answered plain tensors, so what stops jets may be jets; a true error comes up again.
            if route != "collapsed":
                raise
    remedy = "write that part with operations torch can differentiate twice, or use route='central_difference'."
    tried = "auto (collapsed, jvp_grad, then double_backward)"
    raise UnsupportedOperation(" and ".join(dict.fromkeys(names)), tried, remedy) from last


def _from_hessian(model, points, factor, held, chunk) -> torch.Tensor:
    """½ Tr(H S Sᵀ) from the whole Hessian of each point, ``(B, outputs)``."""
    parts = []
    with twice_differentiable(recurrent=True):
        for b, point in enumerate(points):
            s = _block_factor(factor, held, slice(b, b + 1), 1)[0]
            parts.append(0.5 * ((full_hessian(model, point, chunk) @ s) * s).sum((1, 2)))
    return torch.stack(parts)


def _fold(second: Second, model, points, factor, held, chunk) -> torch.Tensor:
    """½ Σ_r of the second derivatives along the columns of S, ``(B, outputs)``, at most ``chunk`` rows a call.

    A block is p points with q directions each. Sums run over a whole axis, not by scatter, so they are deterministic.
    """
    rank = factor.shape[-1]
    q, p = min(rank, chunk), max(1, chunk // rank)
    parts = []
    for b in range(0, len(points), p):
        block = _block_factor(factor, held, slice(b, b + p), min(p, len(points) - b)).transpose(1, 2)
        sums = [second(model, points[b : b + p], block[:, r : r + q]).sum(1) for r in range(0, rank, q)]
        parts.append(0.5 * torch.stack(sums).sum(0))
    return torch.cat(parts)


def _block_factor(factor, held, rows: slice, count: int) -> torch.Tensor:
    """S for some points, ``(p, k, R)``, with the pinned rows at zero."""
    block = factor[rows] if factor.ndim == 3 else factor.expand(count, *factor.shape)
    return block if held is None else block.masked_fill(held[rows, :, None], 0)


def _shape_checked(model) -> Callable:
    """The model, with the shape of every answer checked: a wrong one would be summed into a wrong number."""

    def call(rows):
        y = model(rows)
        if not isinstance(y, torch.Tensor):
            raise TypeError(
                f"model returned {type(y).__name__}, expected a tensor (batch, outputs); pick the tensor "
                "in a small wrapper function."
            )
        if y.ndim == 1:
            raise ValueError(
                f"model returned shape {tuple(y.shape)} for {len(rows)} rows: it must return (batch, "
                "outputs); for a single output add a last axis, for example y[:, None]."
            )
        if y.ndim != 2 or len(y) != len(rows) or not y.is_floating_point():
            raise ValueError(
                f"model returned {y.dtype} of shape {tuple(y.shape)} for {len(rows)} rows, expected "
                f"floating point ({len(rows)}, outputs): one row out for each row in."
            )
        return y

    return call


def _probe(model, points, *, differentiable: bool) -> int:
    """Calls the model once on a few points, checks the answer, and returns the number of outputs."""
    call = _shape_checked(model)
    with torch.set_grad_enabled(differentiable):
        y = call(points.clone().requires_grad_(differentiable).clone())
    if not torch.isfinite(y).all():
        raise ValueError(
            "model returned NaN or infinity at the given points: expected finite outputs; check the "
            "scaling of points and the model's weights."
        )
    if differentiable and not y.requires_grad:
        # No gradient is right for a constant; for anything else zeros would be silently wrong.
        nearby = points + torch.finfo(points.dtype).eps ** 0.5 * (1 + points.abs())
        if not torch.equal(call(nearby), y):
            raise ValueError(
                "model's output changes with its input but carries no gradient: remove torch.no_grad(), "
                "detach() or NumPy calls from it, or use route='central_difference'."
            )
    return y.shape[1]


def _uncompiled(model):
    """The plain function behind torch.compile, whose kernels may drop tangents; the numbers are the same."""
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}, expected one callable (batch, k) -> (batch, outputs).")
    return getattr(model, "_orig_mod", None) or getattr(model, "_torchdynamo_orig_callable", model)


def _check_mode(model, device):
    """Refuses modules that are random, that mix the rows of a batch, or that live on another device."""
    owner = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    if not isinstance(owner, nn.Module):
        return model
    for name, module in owner.named_modules():
        batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if module.training and (batch_norm or _drops(module)):
            raise ValueError(
                f"model is in training mode and its {type(module).__name__} {name!r} is active, expected "
                "evaluation mode: call model.eval() first."
            )
        if batch_norm and module.running_mean is None:
            raise ValueError(
                f"model's {type(module).__name__} {name!r} keeps no running statistics, so rows of a "
                "batch influence each other: build it with track_running_stats=True."
            )
    places = {p.device for p in owner.parameters()}
    if places and device not in places:
        raise ValueError(
            f"points are on {device} but model's parameters are on {places.pop()}, expected one device: "
            "move points, factor or model with .to(device)."
        )
    return model


def _drops(module) -> bool:
    """Whether a module in training mode would draw random numbers."""
    if isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__.startswith("Drop"):
        return getattr(module, "p", 1) != 0
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return module.dropout > 0
    return isinstance(module, nn.RReLU)


def _check_tensors(points, factor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and factor after all checks, the factor in the dtype of the points."""
    for name, value in (("points", points), ("factor", factor)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} is {type(value).__name__}, expected a torch tensor: use torch.as_tensor.")
    if points.dtype not in DEFAULT_EPSILON:
        raise TypeError(
            f"points have dtype {points.dtype}, expected float32 or float64: convert with .float() or .double()."
        )
    if not factor.is_floating_point():
        raise TypeError(f"factor has dtype {factor.dtype}, expected a floating-point dtype: use .to(points.dtype).")
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(
            f"points have shape {tuple(points.shape)}, expected (B, k) with at least one row and column: "
            "flatten each input to one row."
        )
    count, k = points.shape
    if factor.ndim not in (2, 3) or factor.shape[-2] != k or (factor.ndim == 3 and len(factor) != count):
        raise ValueError(
            f"factor has shape {tuple(factor.shape)}, expected ({k}, R) or ({count}, {k}, R) to go with "
            f"points of shape ({count}, {k}); a single direction s is s[:, None]."
        )
    if factor.device != points.device:
        raise ValueError(
            f"factor is on {factor.device} but points are on {points.device}, expected one device: move "
            "one of them with .to(device)."
        )
    for name, value in (("points", points), ("factor", factor)):
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} contain NaN or infinity, expected finite numbers: drop or impute those entries.")
    return points, factor.to(points.dtype)


def _held_rows(points, feature, pinned) -> torch.Tensor | None:
    """``(B, k)`` bool, True where a row of S is zeroed; None where nothing is pinned."""
    count, k = points.shape
    if feature is not None and pinned is not None:
        raise ValueError("feature and pinned are both given, expected at most one: put all rows into pinned.")
    if pinned is not None:
        pinned = torch.as_tensor(pinned, device=points.device)
        if pinned.dtype != torch.bool or pinned.shape != points.shape:
            raise ValueError(
                f"pinned is {pinned.dtype} of shape {tuple(pinned.shape)}, expected bool of shape "
                f"({count}, {k}), True for the coordinates that are set."
            )
        return pinned
    if feature is None:
        return None
    index = torch.as_tensor(feature, device=points.device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(
            f"feature has dtype {index.dtype}, expected an integer or ({count},) integers; for a mask use pinned."
        )
    if index.ndim > 1 or (index.ndim == 1 and len(index) != count):
        raise ValueError(f"feature has shape {tuple(index.shape)}, expected one integer or ({count},), one per point.")
    if index.min() < 0 or index.max() >= k:
        raise ValueError(
            f"feature runs from {index.min()} to {index.max()}, expected 0 to {k - 1}: points have {k} columns."
        )
    return torch.arange(k, device=points.device) == index.expand(count)[:, None]


def _positive_int(value, name: str) -> int:
    """``value`` as an int of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected a positive integer: the most rows in one call.") from None
    if number < 1:
        raise ValueError(f"{name} is {number}, expected at least 1: it is the most rows in one call of the model.")
    return number


def _check_epsilon(epsilon, route: str, dtype: torch.dtype) -> float:
    """The step of the central difference."""
    if epsilon is None:
        return DEFAULT_EPSILON[dtype]
    if route != "central_difference":
        raise ValueError(f"epsilon is given but route is {route!r}: only route='central_difference' takes a step.")
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon is {epsilon}, expected a positive finite step such as {DEFAULT_EPSILON[dtype]}.")
    return float(epsilon)
