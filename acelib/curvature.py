"""The second-order term of the interventional expectation: by how much curvature shifts an average.

Around the mean μ of the do-distribution, E[y | do(x_i = α)] ≈ f(μ) + ½ Tr(∇²f(μ) Σ), with row and column i of the
covariance Σ set to zero. With a factor Σ = S Sᵀ that trace is Σ_r s_rᵀ ∇²f(μ) s_r over the columns s_r of S, and
zeroing row i of S zeroes row and column i of Σ: one factor serves every feature. So R second derivatives along lines
are needed, never the k × k Hessian. The routes below compute those second derivatives; they differ in cost and in the
operations that they can pass through. Forward mode over forward mode is never used: through LayerNorm it can return
wrong numbers without an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import jets
from ._directional import (
    UnsupportedOperation,
    central_difference,
    differ,
    double_backward,
    full_hessian,
    jvp_grad,
    missing_operation,
    twice_differentiable,
)
from ._entrance import admit, two_rows
from ._models import DIFFERENTIATED_CHUNK, Model, as_chunk, check_shape

__all__ = ["ROUTES", "UnsupportedOperation", "half_trace"]

DISAGREES = "an operation whose forward mode disagrees with its double backward"
ROUTES = ("auto", "collapsed", "jvp_grad", "double_backward", "hessian", "central_difference")
DEFAULT_EPSILON = {torch.float64: 1e-4, torch.float32: 1e-2}
COMPARED_ROWS = 8  # points at which forward over reverse is compared with double backward

Second = Callable[[Model, Tensor, Tensor], Tensor]


def half_trace(
    model: Callable,
    points: Tensor,
    factor: Tensor,
    *,
    feature: int | Tensor | None = None,
    pinned: Tensor | None = None,
    route: str = "auto",
    chunk_size: int | None = None,
    epsilon: float | None = None,
) -> Tensor:
    """Return ½ Tr(∇²f(point) S Sᵀ) for each point and output, shape ``(B, outputs)``, in the units of the output.

    The result is detached, with the dtype and on the device of ``points``. Kinks contribute 0: a ReLU network that
    is linear around each point gives exact zeros. What the model, or a custom backward, detaches counts as a constant.

    Routes, with their cost for R directions, k features and ``outputs`` outputs, per point:

    - ``"auto"``: ``collapsed``; ``jvp_grad`` where an operation has no rule there; ``double_backward`` where it has
      no forward-mode rule either.
    - ``"collapsed"``: value, R slopes and one summed second derivative in a single forward pass for all outputs
      (``acelib.jets``). R + 2 forward rows, and no graph; with one factor for all points the first linear or
      convolutional layer is paid once for all of them. Exact; by far the fastest.
    - ``"jvp_grad"``: forward mode over reverse mode, directions folded into the batch. R dual forward rows and
      R · ``outputs`` dual reverse rows. Exact; right for custom functions and other operations without a rule for jets.
      Refused where torch's forward mode is wrong without an error, as a comparison on a few rows tells.
    - ``"double_backward"``: y(ε) = f(point + ε s_r) differentiated twice by reverse mode. R forward rows and
      2 R · ``outputs`` reverse rows, and it keeps the graph in memory. Exact; right for fused recurrent kernels and
      other operations without a forward-mode rule. cuDNN and oneDNN are off meanwhile: cuDNN's recurrent kernels have
      no second derivative.
    - ``"hessian"``: the whole Hessian, forward over reverse (reverse over reverse where forward mode is missing or
      wrong), point by point. k · ``outputs`` rows and k² · ``outputs`` numbers. Exact; an oracle for tests and small k.
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
        UnsupportedOperation: if an operation in the model has no derivative rule; the message names it.
        TypeError: for an argument of the wrong kind, or a model that returns no tensor.
        ValueError: for a wrong shape, dtype, device or value, NaN or Inf, a model in training mode, a wrong output.

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
        raise ValueError(f"route must be one of {', '.join(ROUTES)}, got {route!r}")
    points, factor = _check_tensors(points, factor)
    held = _held_rows(points, feature, pinned)
    chunk = as_chunk(chunk_size, DIFFERENTIATED_CHUNK)
    step = _check_epsilon(epsilon, route, points.dtype)
    admitted = admit(model, two_rows(points, points[0]), points.shape[1:], derivatives=route != "central_difference")
    # Outside gradients would only keep graphs through the parameters alive; the routes switch on what they need.
    with torch.inference_mode(False), torch.no_grad():
        points = points.detach().clone()
        factor = factor.clone() if factor.is_inference() else factor.detach()  # large, and never written to
        if factor.shape[-1] == 0:
            return points.new_zeros(len(points), admitted.outputs)
        result = _evaluate(route, _shape_checked(admitted), points, factor, held, chunk, step).to(points.dtype)
    bad = (~torch.isfinite(result)).nonzero()
    if len(bad):
        b, o = bad[0].tolist()
        raise ValueError(
            f"model must have a finite curvature, got NaN or Inf at points[{b}] in output {o}; look for sqrt, log or a "
            "division at the edge of its domain"
        )
    return result


def _evaluate(route, model, points, factor, held, chunk, step) -> Tensor:
    """Return ``(B, outputs)`` by one route, or raise UnsupportedOperation where an operation has no rule."""
    if route == "auto":
        return _first_that_works(model, points, factor, held, chunk, step)
    if route == "jvp_grad" and _misled(model, points, factor, min(COMPARED_ROWS, chunk)):
        raise UnsupportedOperation(DISAGREES, route, "try route='double_backward'")
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
        raise UnsupportedOperation(name, route, f"try route={other!r}, or write that part differently") from error


def _first_that_works(model, points, factor, held, chunk, step) -> Tensor:
    """Return ``(B, outputs)`` by the fastest route that can follow every operation of the model."""
    names: list[str] = []
    last: UnsupportedOperation | None = None
    for route in ("collapsed", "jvp_grad", "double_backward"):
        try:
            return _evaluate(route, model, points, factor, held, chunk, step)
        except UnsupportedOperation as error:
            names.append(error.operation)
            last = error
        except Exception:
            # The model accepts plain tensors, so jets may be the cause; a real error is raised again by the next route.
            if route != "collapsed":
                raise
    remedy = "write that part with operations torch can differentiate twice, or use route='central_difference'"
    tried = "auto (collapsed, jvp_grad, then double_backward)"
    raise UnsupportedOperation(" and ".join(dict.fromkeys(names)), tried, remedy) from last


def _misled(model, points, factor, rows: int) -> bool:
    """Return whether forward over reverse differs from double backward, on a few rows along one direction.

    Torch computes some operations wrongly in forward mode without an error, ``scatter_reduce`` with products among
    them. Where one of the two cannot follow the model there is nothing to compare.
    """
    few = points[:rows]
    weights = torch.linspace(1, 2, factor.shape[-1], dtype=factor.dtype, device=factor.device)
    direction = (factor[:rows] if factor.ndim == 3 else factor) @ weights
    direction = direction.expand(few.shape)
    try:
        with twice_differentiable(recurrent=True):
            right = double_backward(model, few, direction[:, None])
        with twice_differentiable(recurrent=False):
            found = jvp_grad(model, few, direction[:, None])
    except (RuntimeError, NotImplementedError):
        return False
    return differ(found, right)


def _from_hessian(model, points, factor, held, chunk) -> Tensor:
    """Return ½ Tr(H S Sᵀ) from the whole Hessian of each point, ``(B, outputs)``."""
    parts = []
    with twice_differentiable(recurrent=True):
        for b, point in enumerate(points):
            s = _block_factor(factor, held, slice(b, b + 1), 1)[0]
            parts.append(0.5 * ((full_hessian(model, point, chunk) @ s) * s).sum((1, 2)))
    return torch.stack(parts)


def _fold(second: Second, model, points, factor, held, chunk) -> Tensor:
    """Return ½ Σ_r of the second derivatives along the columns of S, ``(B, outputs)``, at most ``chunk`` rows a call.

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


def _block_factor(factor, held, rows: slice, count: int) -> Tensor:
    """Return S for some points, ``(p, k, R)``, with the pinned rows at zero."""
    block = factor[rows] if factor.ndim == 3 else factor.expand(count, *factor.shape)
    return block if held is None else block.masked_fill(held[rows, :, None], 0)


def _shape_checked(model: Model) -> Model:
    """Return the model with the shape of every output checked: a wrong one would be summed into a wrong number."""
    return lambda rows: check_shape(model(rows), len(rows))


def _check_tensors(points: Any, factor: Any) -> tuple[Tensor, Tensor]:
    """Return points and factor after all checks, the factor in the dtype of the points."""
    for name, value in (("points", points), ("factor", factor)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}; use torch.as_tensor")
    if points.dtype not in DEFAULT_EPSILON:
        raise TypeError(f"points must be float32 or float64, got {points.dtype}; convert with .float() or .double()")
    if not factor.is_floating_point():
        raise TypeError(f"factor must have a floating dtype, got {factor.dtype}; use .to(points.dtype)")
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(
            f"points must have shape (B, k) with at least one row and column, got {tuple(points.shape)}; flatten each "
            "input to one row"
        )
    count, k = points.shape
    if factor.ndim not in (2, 3) or factor.shape[-2] != k or (factor.ndim == 3 and len(factor) != count):
        raise ValueError(
            f"factor must have shape ({k}, R) or ({count}, {k}, R) for points of shape ({count}, {k}), got "
            f"{tuple(factor.shape)}; a single direction s is s[:, None]"
        )
    if factor.device != points.device:
        raise ValueError(
            f"factor must be on the device of points, {points.device}, got {factor.device}; move one of them with .to()"
        )
    for name, value in (("points", points), ("factor", factor)):
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} must be finite, got NaN or Inf; drop or impute those entries")
    return points, factor.to(points.dtype)


def _held_rows(points: Tensor, feature: Any, pinned: Any) -> Tensor | None:
    """Return ``(B, k)`` bool, True for each row of S to set to zero; None where nothing is pinned."""
    count, k = points.shape
    if feature is not None and pinned is not None:
        raise ValueError("feature and pinned must not be given together; put all rows into pinned")
    if pinned is not None:
        pinned = torch.as_tensor(pinned, device=points.device)
        if pinned.dtype != torch.bool or pinned.shape != points.shape:
            raise ValueError(
                f"pinned must be bool of shape ({count}, {k}), True for the coordinates that are set, got "
                f"{pinned.dtype} of shape {tuple(pinned.shape)}"
            )
        return pinned
    if feature is None:
        return None
    index = torch.as_tensor(feature, device=points.device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(
            f"feature must be an integer or ({count},) integers, got dtype {index.dtype}; for a mask use pinned"
        )
    if index.ndim > 1 or (index.ndim == 1 and len(index) != count):
        raise ValueError(f"feature must be one integer or ({count},), one per point, got shape {tuple(index.shape)}")
    if index.min() < 0 or index.max() >= k:
        raise ValueError(f"feature must lie in 0 to {k - 1}, the columns of points, got {index.min()} to {index.max()}")
    return torch.arange(k, device=points.device) == index.expand(count)[:, None]


def _check_epsilon(epsilon: float | None, route: str, dtype: torch.dtype) -> float:
    """Return the step of the central difference."""
    if epsilon is None:
        return DEFAULT_EPSILON[dtype]
    if route != "central_difference":
        raise ValueError(f"epsilon must be left out unless route is 'central_difference', got route {route!r}")
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon must be a positive finite step such as {DEFAULT_EPSILON[dtype]}, got {epsilon}")
    return float(epsilon)
