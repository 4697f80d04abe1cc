"""How is a digit rotated, how large is it, how thick is its stroke? Measured by image moments, not by eye.

A grey image is a density I(u, v) ≥ 0 on its pixels, each a unit square, with u to the right and v upwards. Its mass is
A = Σ I, its centroid the mean of (u, v) under I / A, and its covariance M the second moments about the centroid, each
square's own 1/12 included, so that a w × h block of pixels has variances w²/12 and h²/12 exactly.
Angle: of the long axis, the leading eigenvector of M, ½ atan2(2 M_uv, M_vv − M_uu), clockwise from the vertical.
Size: the rms distance from the centroid, √(M_uu + M_vv).
Stroke width: 2 A / P with P = Σ |∇I|, which by the co-area formula is the perimeter averaged over all grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

QUANTITIES = ("angle", "size", "width")


@dataclass(frozen=True, eq=False)
class Shape:
    """Moments of grey images, one entry an image; lengths in pixels.

    Attributes:
        mass: Sum of the pixels A, (B,).
        centroid: (B, 2), u to the right of the image's middle and v upwards.
        covariance: (B, 2, 2) of (u, v).
        perimeter: Sum of |∇I|, (B,): the length of the outline where the image is black and white.
    """

    mass: Tensor
    centroid: Tensor
    covariance: Tensor
    perimeter: Tensor

    @property
    def angle(self) -> Tensor:
        """Angle of the long axis in degrees, (B,), from −90 to 90: 0 is upright, positive leans to the right."""
        return 0.5 * torch.rad2deg(torch.atan2(*self._doubled))

    @property
    def elongation(self) -> Tensor:
        """(λ₁ − λ₂)/(λ₁ + λ₂) of the covariance, (B,): 0 is round, where the angle means nothing, and 1 a line."""
        return torch.hypot(*self._doubled) / (self.covariance[:, 0, 0] + self.covariance[:, 1, 1])

    @property
    def size(self) -> Tensor:
        """Root of the mean squared distance from the centroid, (B,), in pixels."""
        return (self.covariance[:, 0, 0] + self.covariance[:, 1, 1]).sqrt()

    @property
    def width(self) -> Tensor:
        """Stroke width 2 A / P, (B,), in pixels: exact for a ring, w L / (L + w) for a bar of width w and length L."""
        return 2 * self.mass / self.perimeter

    @property
    def _doubled(self) -> tuple[Tensor, Tensor]:
        """Sine and cosine of twice the angle, both times λ₁ − λ₂."""
        m = self.covariance
        return 2 * m[:, 0, 1], m[:, 1, 1] - m[:, 0, 0]


def measure(images: Tensor, *, shape: tuple[int, int] | None = None) -> Shape:
    """Moments of a batch of grey images as ``Shape``.

    Args:
        images: (B, height, width), or (B, height · width) row by row from the top left; values ≥ 0.
        shape: Height and width of flat images; by default they are square.

    Raises:
        ValueError: Images of another shape, or one without any mass.

    References:
        Hu 1962, IRE Transactions on Information Theory 8, 179–187, for central moments of images; Fleming and Rishel
        1960, Archiv der Mathematik 11, 218–222, for the perimeter from the gradient.

    Example:
        >>> image = torch.zeros(1, 28, 28)
        >>> image[:, 4:24, 13:16] = 1
        >>> bar = measure(image)  # 3 wide, 20 high
        >>> assert bar.angle == 0 and abs(bar.size - ((3**2 + 20**2) / 12) ** 0.5) < 1e-5
        >>> assert abs(bar.width - 3 * 20 / 23) < 0.1
    """
    images = _grid(images, shape)
    height, width = images.shape[1:]
    mass = images.sum((1, 2))
    if (mass <= 0).any():
        raise ValueError(f"images holds {int((mass <= 0).sum())} without any mass, expected some grey in each")
    u = torch.arange(width).to(images) - (width - 1) / 2
    v = (height - 1) / 2 - torch.arange(height).to(images)
    columns, rows = images.sum(1) / mass[:, None], images.sum(2) / mass[:, None]  # the two marginal densities
    centre_u, centre_v = columns @ u, rows @ v
    du, dv = u - centre_u[:, None], v - centre_v[:, None]  # (B, width), (B, height)
    uu, vv = (columns * du.square()).sum(1) + 1 / 12, (rows * dv.square()).sum(1) + 1 / 12
    uv = torch.einsum("bvu,bu,bv->b", images, du, dv) / mass
    covariance = torch.stack([torch.stack([uu, uv], 1), torch.stack([uv, vv], 1)], 1)
    return Shape(mass, torch.stack([centre_u, centre_v], 1), covariance, _perimeter(images))


def unwrap_angles(angles: Tensor, *, dim: int = 0) -> Tensor:
    """Angles of axes along a curve without jumps, in degrees: steps are brought into ±90 by whole turns of 180.

    Args:
        angles: In degrees, in the order of the curve along ``dim``; steps of less than 90 are taken to be real.
        dim: The dimension that runs along the curve.

    Example:
        >>> unwrap_angles(torch.tensor([80.0, 89.0, -82.0, -70.0])).tolist()
        [80.0, 89.0, 98.0, 110.0]
    """
    first, steps = angles.narrow(dim, 0, 1), angles.diff(dim=dim)
    return torch.cat([first, first + _within(steps).cumsum(dim)], dim)


class ShapeOf(nn.Module):
    """What a decoder draws, as numbers: (batch, latents) -> (batch, 3) angle [°], size and stroke width [pixels].

    A model of shapes is explained as any other model: its average causal effects are the degrees of rotation, the
    pixels of size and of stroke that a latent causes, with error bars.

    Args:
        pixels: (batch, latents) -> (batch, height · width) grey values.
        shape: Height and width of the images.
        reference: In degrees; angles are given in reference ± 90, so that no curve near the reference jumps.

    Example:
        >>> class Bar(nn.Module):
        ...     def forward(self, z):  # a bar of 2 columns that is the higher the larger z is
        ...         rows = torch.sigmoid(z - (torch.arange(8.0) - 3.5).abs())
        ...         return (rows[:, :, None] * torch.tensor([0, 0, 0, 1, 1, 0, 0, 0])).flatten(1)
        >>> low, high = ShapeOf(Bar(), shape=(8, 8))(torch.tensor([[1.0], [3.0]]))
        >>> assert low[0] == high[0] == 0 and low[1] < high[1]
    """

    def __init__(self, pixels: nn.Module, *, shape: tuple[int, int] = (28, 28), reference: float = 0.0):
        super().__init__()
        self.pixels, self.shape, self.reference = pixels, shape, reference

    def forward(self, latents: Tensor) -> Tensor:
        drawn = measure(self.pixels(latents), shape=self.shape)
        angle = self.reference + _within(drawn.angle - self.reference)
        return torch.stack([angle, drawn.size, drawn.width], 1)


def _perimeter(images: Tensor) -> Tensor:
    """Sum of |∇I| over all 2 × 2 blocks of pixels: exact for edges at 0, 45 and 90°, apart from corners."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    return torch.hypot((b + d - a - c) / 2, (c + d - a - b) / 2).sum((1, 2))


def _within(angles: Tensor) -> Tensor:
    """The same axes between −90 (included) and 90 degrees."""
    return torch.remainder(angles + 90, 180) - 90


def _grid(images: Tensor, shape: tuple[int, int] | None) -> Tensor:
    if images.ndim == 3 and shape in (None, tuple(images.shape[1:])):
        return images
    side = round(images.shape[-1] ** 0.5)
    height, width = shape or (side, side)
    if images.ndim != 2 or images.shape[1] != height * width:
        expected = (
            f"(B, {height}, {width}) or (B, {height * width})" if shape else "(B, side · side) or (B, side, side)"
        )
        raise ValueError(f"images is {tuple(images.shape)}, expected {expected}; name shape=(height, width)")
    return images.reshape(-1, height, width)
