"""Scrambled Sobol' points, all scramblings at once: making them takes little time beside a cheap model.

A Sobol' point is an exclusive or of direction numbers, one for each binary digit of the point's number. A scrambling
multiplies the digits of the direction numbers by random lower triangular matrices with ones on the diagonal, one for
each coordinate, and shifts all points by the same random digits. Each point is then uniform, the points stay a net, and
the scramblings are independent. ``scipy.stats.qmc.Sobol`` does the same by an engine for each scrambling, which takes
about a millisecond to make.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from .._checks import as_generator

DIGITS = 30  # of torch's direction numbers, so that points lie on a grid of 2^-30


def scrambled_nets(
    dims: int, n: int, scramblings: int, block: int, seed: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks ``(b, dims)`` of points in the open unit cube, and the scrambling ``(b,)`` each belongs to.

    Args:
        dims: coordinates of a point.
        n: points of a scrambling, a power of two.
        scramblings: independent scramblings of the Sobol' sequence.
        block: most points at a time, a power of two.
        seed: seed of the scramblings; None means 0.

    References:
        Matoušek (1998), "On the L2-discrepancy for anchored boxes", for random linear scrambling; Owen (2003),
        "Variance with alternative scramblings of digital nets", for its variance.

    Example:
        >>> points, scrambling = next(scrambled_nets(3, 4, 16, 1024, seed=0))
        >>> assert points.shape == (64, 3) and scrambling.tolist()[3:5] == [0, 1]
        >>> assert sorted((4 * points[:4, 2]).astype(int)) == [0, 1, 2, 3]  # one in each quarter
    """
    rng = np.random.default_rng(as_generator(seed).initial_seed())
    digits = n.bit_length() - 1
    directions = _directions(dims)[:digits]
    together, size = max(1, block // n), min(n, block)
    for start in range(0, scramblings, together):
        count = min(together, scramblings - start)
        turned, shift = _scrambled(directions, count, rng)
        inside = size.bit_length() - 1
        low = np.empty((count, size, dims), dtype=np.int32)
        low[:, :1] = shift
        for j in range(inside):
            np.bitwise_xor(low[:, : 1 << j], turned[:, j : j + 1], out=low[:, 1 << j : 2 << j])
        scrambling = np.repeat(np.arange(start, start + count), size)
        for piece in range(n // size):
            step = np.zeros((count, 1, dims), dtype=np.int32)
            for j in range(inside, digits):
                if piece >> (j - inside) & 1:
                    step ^= turned[:, j : j + 1]
            whole = low ^ step if piece else low
            # centres of the cells of the grid, so that none is 0
            yield ((whole + 0.5) * 2.0**-DIGITS).reshape(-1, dims), scrambling


@lru_cache(maxsize=8)
def _directions(dims: int) -> np.ndarray:
    """Return the direction numbers ``(DIGITS, dims)`` of the unscrambled sequence, to be read only."""
    found = torch.quasirandom.SobolEngine(dims).sobolstate.numpy().T.astype(np.int32)
    found.flags.writeable = False
    return found


def _scrambled(directions: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return direction numbers ``(count, digits, dims)`` and shifts ``(count, 1, dims)`` of independent scramblings."""
    drawn = rng.integers(0, 1 << DIGITS, (count, DIGITS + 1, directions.shape[1]), dtype=np.int32)
    # the first j direction numbers have their digits among the j most significant
    least = DIGITS - len(directions)
    digit = np.arange(least, DIGITS, dtype=np.int32)[:, None]
    # what a digit adds: itself, and less significant digits at random
    adds = drawn[:, least:DIGITS] & (1 << digit) - 1 | 1 << digit
    digits = directions >> digit[..., None] & 1
    turned = np.zeros((count, *directions.shape), dtype=np.int32)
    for bit in range(len(directions)):
        turned ^= adds[:, bit, None] * digits[bit]
    return turned, drawn[:, DIGITS:]
