"""The causal horizon τ of a recurrent network: how far back an output depends on the inputs.

Chattopadhyay et al. (2019), Prop. 3: ``τ = E_x[max_k(|det ∂y_t/∂x_{t−k}| > 0)]``. Where the hidden layer is narrower
than the input that determinant is 0 for every k, and its computed value is rounding noise. So the size of the Jacobian
is measured by its spectral norm here, the largest effect that a small change of x_{t−k} can have on y_t, relative to
that of x_t; τ(tolerance) is the largest lag at which it exceeds the tolerance, averaged over the sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._entrance import admit, two_rows
from .._intervals import FEW, MISSED, ends, rests_on
from .._models import DIFFERENTIATED_CHUNK, as_chunk, check_mode, check_placement
from .._optional import optional
from .._process import plain_kernels
from .._saved import Result
from .._warnings import ApproximationWarning, warn_caller
from .networks import (
    Recurrent,
    SequenceModel,
    as_sequence_model,
    as_sequences,
    checked_step,
    is_bidirectional,
    predictions,
    unfold,
)

MEASURES = ("norm", "determinant")
TOLERANCES = {"norm": (0.1, 0.01, 0.001), "determinant": (0.0,)}


@dataclass(frozen=True, eq=False, repr=False)
class TimeLag(Result):
    """The horizon τ as a function of the tolerance, and the sizes behind it; float64, on the CPU.

    Attributes:
        tolerance: ``(j,)``; for the norm relative to lag 0, for the determinant absolute.
        lag: ``(j,)`` mean over the sequences of the largest lag above the tolerance, in steps.
        stderr: ``(j,)`` its standard error over the sequences.
        censored: ``(j,)`` share of sequences whose largest lag is the longest one looked at: τ may be longer there.
        sizes: ``(n, lags)`` spectral norm or absolute determinant of ∂y_t/∂x_{t−k}, k = 0, 1, ...; NaN before a
            sequence begins.
        measure: "norm" or "determinant".

    ``interval`` has Student's t in place of 1.96, which few sequences need.
    """

    tolerance: Tensor
    lag: Tensor
    stderr: Tensor
    censored: Tensor
    sizes: Tensor
    measure: str = "norm"

    @property
    def relative(self) -> Tensor:
        """``(n, lags)`` sizes divided by the size at lag 0; inf where only that one is 0, and 0 where both are."""
        ratio = self.sizes / self.sizes[:, :1]
        return torch.where(self.sizes == 0, self.sizes, ratio)

    @property
    def lags(self) -> Tensor:
        """``(lags,)`` the lags 0, 1, ... of the columns of ``sizes``."""
        return torch.arange(self.sizes.shape[1])

    def each(self, tolerance: float) -> Tensor:
        """Return the largest lag above a tolerance for each sequence, ``(n,)``; 0 where none is."""
        above = (self.relative if self.measure == "norm" else self.sizes) > tolerance
        return torch.where(above, self.lags, 0).amax(1).double()

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return both ends ``(j,)`` of intervals for the mean lag over all sequences of this kind, in steps.

        Student's t with one degree of freedom less than sequences, corrected for skewed lags (Hall's transformation);
        within 0 and the longest lag looked at. Where all sequences have one lag the interval is that lag, which few of
        them do not prove; a single sequence has NaN.

        Args:
            level: nominal coverage.

        Raises:
            ValueError: if the level is not between 0 and 1.

        References:
            Hall, On the removal of skewness by transformation, Journal of the Royal Statistical Society B 54, 1992.

        Example:
            >>> sizes = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]] * 2, dtype=torch.float64)
            >>> mean, error = torch.tensor([[0.5], [0.25 / 0.75**0.5]], dtype=torch.float64)
            >>> tau = TimeLag(torch.tensor([0.1]), mean, error, torch.zeros(1), sizes)
            >>> low, high = tau.interval()
            >>> assert low == 0 and abs(float((high - mean) / error) - 3.182) < 1e-3  # Student's t of four sequences
        """
        skewness = self.skewness.numpy()
        low, high = ends(self.lag.numpy(), self.stderr.numpy(), max(len(self.sizes) - 1, 1), level, skewness)
        last = self.sizes.shape[1] - 1
        return torch.as_tensor(low).clamp(0, last), torch.as_tensor(high).clamp(0, last)

    @property
    def skewness(self) -> Tensor:
        """``(j,)`` skewness of the sampling law of ``lag``, that of the sequences' lags over √n; 0 where they agree."""
        each = torch.stack([self.each(t) for t in self.tolerance.tolist()])
        d = each - each.mean(1, keepdim=True)
        return (d**3).sum(1) / (d**2).sum(1).clamp_min(1e-200) ** 1.5

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{lag:.3g} ± {error:.2g} (> {tolerance:g}{', censored' if cut else ''})"
            for lag, error, tolerance, cut in zip(
                *(t.tolist() for t in (self.lag, self.stderr, self.tolerance, self.censored > 0)), strict=True
            )
        )
        return f"TimeLag({self.measure}, {len(self.sizes)} sequences, lags 0 to {self.sizes.shape[1] - 1}: {parts})"

    def to_frame(self) -> Any:
        """Return a pandas data frame, one row per tolerance."""
        pd = optional("pandas", "a data frame")
        return pd.DataFrame({n: getattr(self, n).numpy() for n in ("tolerance", "lag", "stderr", "censored")})


def time_lag(
    model: SequenceModel,
    sequences: Any,
    *,
    target_step: int | None = None,
    lengths: Any = None,
    tolerance: float | Sequence[float] | None = None,
    measure: str = "norm",
    max_lag: int | None = None,
    chunk_size: int | None = None,
) -> TimeLag:
    """Return the horizon τ in steps, one value per tolerance, with its standard error over the sequences.

    One backward pass per sequence and output gives ∂y_t/∂x_{t−k} at all lags k together; sequences and outputs share
    a batch. The inputs are taken as given: what flows through a feedback of predictions into inputs is not counted.

    Args:
        model: a sequence model, e.g. a Recurrent (see ``acelib.recurrent.networks``); its mode is left as it is.
        sequences: ``(n, T, d)``, a list of ``(T_i, d)``, or a PackedSequence.
        target_step: the step t of the output; sequences that end before it are left out. Default: each one's last.
        lengths: ``(n,)`` of padded sequences.
        tolerance: one or several. For the norm relative to lag 0, default 0.1, 0.01 and 0.001; for the determinant
            absolute, default 0.
        measure: "norm", the spectral norm; or "determinant", the paper's form, which needs as many outputs as features
            and warns where it can only be rounding noise.
        max_lag: largest lag to look at; default as far as the sequences go.
        chunk_size: sequences times outputs differentiated at once; bounds memory. Default 4096.

    Warns:
        ApproximationWarning: where the lags differ among fewer than 30 sequences, or are skewed over many; and where a
            determinant is rounding noise.

    Raises:
        ValueError: for a bidirectional or randomly acting network, sequences of the wrong shape, a step that no
            sequence reaches, a negative tolerance, or the determinant of a Jacobian that is not square.

    References:
        Chattopadhyay et al. (2019), Prop. 3.

    Example:
        >>> delay = torch.nn.RNN(1, 4, nonlinearity="relu", bias=False)  # holds x_t, x_{t-1}, x_{t-2}, x_{t-3}
        >>> state = {"weight_ih_l0": torch.eye(4, 1), "weight_hh_l0": torch.diag(torch.ones(3), -1)}
        >>> _ = delay.load_state_dict(state)
        >>> tau = time_lag(Recurrent(delay, lambda h: h[..., 3:]), torch.rand(5, 10, 1))
        >>> assert tau.lag.tolist() == [3.0, 3.0, 3.0]
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    tolerances = torch.as_tensor(TOLERANCES[measure] if tolerance is None else tolerance, dtype=torch.float64)
    if not bool((tolerances >= 0).all()) or tolerances.ndim > 1 or not tolerances.numel():
        raise ValueError(f"tolerance must be one or several numbers from 0 up, got {tolerance!r}")
    if max_lag is not None and max_lag < 0:
        raise ValueError(f"max_lag must be at least 0, got {max_lag}")
    chunk = as_chunk(chunk_size, DIFFERENTIATED_CHUNK)
    model = as_sequence_model(model)
    if is_bidirectional(model):
        raise ValueError("model must not be bidirectional, got outputs that depend on later inputs; τ looks back only")
    check_mode(model)
    x, lengths = as_sequences(sequences, lengths)
    check_placement([model], x)
    targets = _targets(target_step, lengths, x.shape[1])
    kept = (targets >= 0).nonzero()[:, 0]
    outputs = _admit(model, x, targets)
    sizes = torch.full((len(x), int(targets.max()) + 1), torch.nan, dtype=torch.float64)
    with torch.inference_mode(False), plain_kernels("cudnn"):
        for step in targets[kept].unique().tolist():
            rows, recent = (targets == step).nonzero()[:, 0], []
            for some, jacobian in _jacobians(model, x[:, : step + 1], rows, outputs, max_lag, chunk):
                sizes[some, : jacobian.shape[1]] = _sizes(jacobian, measure).cpu().double()
                recent.append(jacobian[:, :2].clone())
    if measure == "determinant":
        _warn_where_singular(model, torch.cat(recent))
    sizes = sizes[kept, : None if max_lag is None else max_lag + 1]
    return _present(sizes, tolerances.reshape(-1), measure)


def _targets(target_step: int | None, lengths: Tensor, steps: int) -> Tensor:
    """Return the step of the output of each sequence, ``(n,)``; -1 where it ends before."""
    if target_step is None:
        return lengths - 1
    step = checked_step(target_step, steps, "target_step")
    targets = torch.where(lengths > step, step, -1)
    if not bool((targets >= 0).any()):
        raise ValueError(
            f"target_step must be a step of some sequence, got {step} for at most {int(lengths.max())} steps"
        )
    return targets


def _admit(model: SequenceModel, x: Tensor, targets: Tensor) -> int:
    """Return the number of outputs, or raise the entrance's error: for a network that mixes sequences, for example."""
    last = int(targets.max())
    few = x[(targets == last).to(x.device)][:64, : last + 1]
    rows = two_rows(few.flatten(1), few[0].flatten())
    return admit(unfold(model, steps=last + 1, features=x.shape[2]), rows, few.shape[1:], derivatives=True).outputs


def _jacobians(
    model: SequenceModel, x: Tensor, rows: Tensor, outputs: int, max_lag: int | None, chunk: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield numbers ``(b,)`` of some ``rows`` of ``x (n, t + 1, d)`` and their ∂y_t/∂x_{t−k}, for t the last step.

    The Jacobians are ``(b, lags, outputs, d)``.
    """
    for some in rows.split(max(1, chunk // outputs)):
        block = x[some.to(x.device)]
        copies = block.repeat(outputs, 1, 1).requires_grad_(True)  # outputs outer
        with torch.enable_grad():
            last = predictions(model, copies.clone())[0][:, -1]  # a copy, into which the network may write
            chosen = torch.arange(outputs, device=x.device).repeat_interleave(len(block))
            y = last.gather(1, chosen[:, None]).sum()
            slope = None
            if y.requires_grad:
                (slope,) = torch.autograd.grad(y, copies, allow_unused=True)
        if slope is None:
            raise ValueError("model must carry a gradient, got an output without; remove torch.no_grad() or detach()")
        slope = slope.flip(1) if max_lag is None else slope.flip(1)[:, : max_lag + 1]
        yield some, slope.reshape(outputs, len(block), *slope.shape[1:]).permute(1, 2, 0, 3)


def _sizes(jacobian: Tensor, measure: str) -> Tensor:
    """Return the spectral norm or absolute determinant of ``(n, lags, outputs, d)``: ``(n, lags)``."""
    if not torch.isfinite(jacobian).all():
        raise ValueError(
            "model must have finite slopes, got NaN or Inf; check its weights and the scale of the sequences"
        )
    if measure == "norm":
        return torch.linalg.matrix_norm(jacobian, 2)
    outputs, features = jacobian.shape[-2:]
    if outputs != features:
        raise ValueError(
            f"measure must be 'norm' unless there are as many outputs as features, got {outputs} and {features}"
        )
    return torch.linalg.det(jacobian).abs()


def _warn_where_singular(model: SequenceModel, jacobian: Tensor) -> None:
    """Warn where the determinant of ``(n, lags, d, d)`` is 0 by construction, or as far as the numbers can tell."""
    core = model.core if isinstance(model, Recurrent) else None
    hidden, features = (core.proj_size or core.hidden_size) if core else torch.inf, jacobian.shape[-1]
    singular = torch.linalg.svdvals(jacobian[:, :2])
    lost = singular[..., -1] <= features * torch.finfo(jacobian.dtype).eps * singular[..., 0]
    lost = (lost & (singular[..., 0] > 0)).all(0)
    if hidden >= features and not lost.any():
        return
    why = (
        f"its hidden layer of {hidden} is narrower than the {features} features"
        if hidden < features
        else ("its singular values fall below the rounding of the largest")
    )
    warn_caller(
        f"the determinant of the Jacobian is 0 because {why}; its value is rounding noise, so use measure='norm'",
        ApproximationWarning,
    )


def _present(sizes: Tensor, tolerances: Tensor, measure: str) -> TimeLag:
    empty = torch.empty(0, dtype=torch.float64)
    table = TimeLag(tolerances, empty, empty, empty, sizes, measure)
    each = torch.stack([table.each(t) for t in tolerances.tolist()])  # (j, n)
    longest = torch.isfinite(sizes).sum(1) - 1
    spread = each.std(1) if each.shape[1] > 1 else torch.full((len(each),), torch.nan, dtype=torch.float64)
    stderr = spread / each.shape[1] ** 0.5
    found = TimeLag(tolerances, each.mean(1), stderr, (each == longest).double().mean(1), sizes, measure)
    _warn_of_doubts(found)
    return found


def _warn_of_doubts(found: TimeLag) -> None:
    """Warn where ± 1.96 standard errors cover too little; a single sequence has none, and equal lags need none."""
    count, reason = len(found.sizes), ""
    missed = float((found.skewness**2 / 4).clamp_max(0.5).mean())
    if 1 < count < FEW and bool((found.stderr > 0).any()):
        reason = rests_on(count, "sequences")
    elif count >= FEW and missed > MISSED:
        rows = float(f"{count * missed / MISSED:.2g}")  # k² falls like 1 / n
        reason = f"the lags are skewed, so that ± 1.96 of it cover too little; that takes about {rows:.0f} sequences"
    if reason:
        remedy = "interval() uses Student's t and corrects for skewed lags"
        warn_caller(f"the standard error says too little: {reason}; {remedy}", ApproximationWarning)
