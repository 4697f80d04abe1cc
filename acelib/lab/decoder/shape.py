"""The slant, size and stroke of a drawn digit, measured by image moments.

A grey image is a density I(u, v) ≥ 0 on its pixels, each a unit square, with u to the right and v upwards. Its mass is
A = Σ I, its centroid the mean of (u, v) under I / A, and its covariance M the second moments about the centroid, each
square's own 1/12 included, so that a w × h block of pixels has variances w²/12 and h²/12 exactly.
Angle: of the long axis, the leading eigenvector of M, ½ atan2(2 M_uv, M_vv − M_uu), clockwise from the vertical.
Size: the rms distance from the centroid, √(M_uu + M_vv).
Stroke width: 2 A / P with P = Σ ``|∇I|``, which by the co-area formula is the perimeter averaged over all grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Shape:
    """Moments of grey images, one entry an image; lengths in pixels.

    Attributes:
        mass: sum of the pixels A, ``(B,)``.
        centroid: ``(B, 2)``, u to the right of the image's middle and v upwards.
        covariance: ``(B, 2, 2)`` of (u, v).
        perimeter: sum of ``|∇I|``, ``(B,)``: the length of the outline where the image is black and white.
    """

    mass: Tensor
    centroid: Tensor
    covariance: Tensor
    perimeter: Tensor

    @property
    def angle(self) -> Tensor:
        """Angle of the long axis in degrees, ``(B,)``, from −90 to 90: 0 is upright, positive leans to the right."""
        return 0.5 * torch.rad2deg(torch.atan2(*self._doubled))

    @property
    def elongation(self) -> Tensor:
        """(λ₁ − λ₂)/(λ₁ + λ₂) of the covariance, ``(B,)``: 0 for a round image (any angle), 1 for a line."""
        return torch.hypot(*self._doubled) / (self.covariance[:, 0, 0] + self.covariance[:, 1, 1])

    @property
    def size(self) -> Tensor:
        """Root of the mean squared distance from the centroid, ``(B,)``, in pixels."""
        return (self.covariance[:, 0, 0] + self.covariance[:, 1, 1]).sqrt()

    @property
    def breadth(self) -> Tensor:
        """Standard deviation of the ink from left to right, ``(B,)``, in pixels."""
        return self.covariance[:, 0, 0].sqrt()

    @property
    def height(self) -> Tensor:
        """Standard deviation of the ink from bottom to top, ``(B,)``, in pixels."""
        return self.covariance[:, 1, 1].sqrt()

    @property
    def width(self) -> Tensor:
        """Stroke width 2 A / P, ``(B,)``, in pixels: exact for a ring, w L / (L + w) for a bar of w × L pixels."""
        return 2 * self.mass / self.perimeter

    @property
    def _doubled(self) -> tuple[Tensor, Tensor]:
        """Sine and cosine of twice the angle, both times λ₁ − λ₂."""
        m = self.covariance
        return 2 * m[:, 0, 1], m[:, 1, 1] - m[:, 0, 0]


def measure_shapes(images: Tensor, *, shape: tuple[int, int] | None = None) -> Shape:
    """Return the moments of a batch of grey images as ``Shape``.

    Args:
        images: ``(B, height, width)``, or ``(B, height · width)`` row by row from the top left; values ≥ 0.
        shape: height and width of flat images; by default they are square.

    Raises:
        ValueError: for images of another shape, or one without any mass.

    References:
        Hu 1962, IRE Transactions on Information Theory 8, 179–187, for central moments of images; Fleming and Rishel
        1960, Archiv der Mathematik 11, 218–222, for the perimeter from the gradient.

    Example:
        >>> image = torch.zeros(1, 28, 28)
        >>> image[:, 4:24, 13:16] = 1
        >>> bar = measure_shapes(image)  # 3 wide, 20 high
        >>> assert bar.angle == 0 and abs(bar.size - ((3**2 + 20**2) / 12) ** 0.5) < 1e-5
        >>> assert abs(bar.width - 3 * 20 / 23) < 0.1
    """
    images = _grid(images, shape)
    height, width = images.shape[1:]
    mass = images.sum((1, 2))
    if (mass <= 0).any():
        raise ValueError(f"images must have mass each, got {int((mass <= 0).sum())} without any; leave them out")
    u = torch.arange(width).to(images) - (width - 1) / 2
    v = (height - 1) / 2 - torch.arange(height).to(images)
    columns, rows = images.sum(1) / mass[:, None], images.sum(2) / mass[:, None]  # the two marginal densities
    centre_u, centre_v = columns @ u, rows @ v
    du, dv = u - centre_u[:, None], v - centre_v[:, None]  # (B, width), (B, height)
    uu, vv = (columns * du.square()).sum(1) + 1 / 12, (rows * dv.square()).sum(1) + 1 / 12
    uv = torch.einsum("bvu,bu,bv->b", images, du, dv) / mass
    covariance = torch.stack([torch.stack([uu, uv], 1), torch.stack([uv, vv], 1)], 1)
    return Shape(mass, torch.stack([centre_u, centre_v], 1), covariance, _perimeter(images))


def _perimeter(images: Tensor) -> Tensor:
    """Return the sum of ``|∇I|`` over 2 × 2 blocks of pixels: exact for edges at 0, 45 and 90°, apart from corners."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    return torch.hypot((b + d - a - c) / 2, (c + d - a - b) / 2).sum((1, 2))


def _grid(images: Tensor, shape: tuple[int, int] | None) -> Tensor:
    """Return the images as ``(B, height, width)``."""
    if images.ndim == 3 and shape in (None, tuple(images.shape[1:])):
        return images
    side = round(images.shape[-1] ** 0.5)
    height, width = shape or (side, side)
    if images.ndim != 2 or images.shape[1] != height * width:
        expected = (
            f"(B, {height}, {width}) or (B, {height * width})" if shape else "(B, side · side) or (B, side, side)"
        )
        raise ValueError(f"images must be {expected}, got {tuple(images.shape)}; name shape=(height, width)")
    return images.reshape(-1, height, width)
