"""Angle, size and stroke width against closed forms: bars, rings and discs, drawn with grey edges."""

import math

import pytest
import torch

from acelib.lab.decoder import measure_shapes

DTYPE = torch.float64
BLUR = 0.5  # grey edges widen a region by 0 (edges between pixels) to 1/4 (through their middle) of variance an axis


def draw(inside, *, side: int = 48, fine: int = 16) -> torch.Tensor:
    """Share of each pixel that the region covers, (side, side), from fine² points a pixel; u to the right, v up."""
    points = (torch.arange(side * fine, dtype=DTYPE) + 0.5) / fine - side / 2
    covered = inside(points[None, :], -points[:, None]).to(DTYPE)
    return covered.reshape(side, fine, side, fine).mean((1, 3))


def bar(degrees: float, *, length: float = 24, width: float = 5, at: tuple[float, float] = (0.0, 0.0), **options):
    """A bar whose long axis leans ``degrees`` to the right of the vertical."""
    s, c = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))

    def inside(u, v):
        u, v = u - at[0], v - at[1]
        return ((u * s + v * c).abs() <= length / 2) & ((u * c - v * s).abs() <= width / 2)

    return draw(inside, **options)


@pytest.mark.parametrize("degrees", [-75.0, -45.0, -10.0, 0.0, 20.0, 45.0, 88.0])
def test_bar(degrees):
    """θ to 0.1°, size² = (length² + width²)/12 + blur, centroid, mass and elongation; width w L/(L + w) to 6 %."""
    image = bar(degrees, at=(1.3, -2.1))
    found = measure_shapes(image[None])
    assert abs(found.angle.item() - degrees) < 0.1
    assert -0.01 < found.size.item() ** 2 - (24**2 + 5**2) / 12 < BLUR
    assert (found.centroid[0] - torch.tensor([1.3, -2.1], dtype=DTYPE)).abs().max() < 0.04  # half a fine point
    assert abs(found.mass.item() - 120) < 0.5
    assert abs(found.elongation.item() - (24**2 - 5**2) / (24**2 + 5**2)) < 12 * BLUR / (24**2 + 5**2)
    assert abs(found.width.item() / (5 * 24 / 29) - 1) < 0.06


def test_whole_pixels_are_exact():
    """A block of w × h pixels: variances w²/12 and h²/12, centroid, mass, and 2 (w + h) less corners; to 1e-12."""
    image = torch.zeros(1, 20, 30, dtype=DTYPE)
    image[:, 3:17, 11:15] = 1
    found = measure_shapes(image)
    expected = torch.tensor([[4**2 / 12, 0], [0, 14**2 / 12]], dtype=DTYPE)
    assert (found.covariance[0] - expected).abs().max() < 1e-12
    assert (found.centroid[0] - torch.tensor([-2.0, 0.0], dtype=DTYPE)).abs().max() < 1e-12
    assert found.mass.item() == 14 * 4 and found.angle.item() == 0
    # a corner's 2 × 2 block has gradient (½, ½) in place of the two half pixels of outline that it holds
    assert abs(found.perimeter.item() - (2 * 18 - 4 + 4 * math.sqrt(0.5))) < 1e-12


def test_second_moments_by_definition():
    """Random grey images against a literal double loop over pixels, to 1e-10; flat, square and shaped input agree."""
    images = torch.rand(3, 6, 9, dtype=DTYPE, generator=torch.Generator().manual_seed(1))
    found = measure_shapes(images)
    for index, image in enumerate(images.tolist()):
        cells = [(image[r][c], c - 4.0, 2.5 - r) for r in range(6) for c in range(9)]
        mass = sum(weight for weight, _, _ in cells)
        u0, v0 = sum(w * u for w, u, _ in cells) / mass, sum(w * v for w, _, v in cells) / mass
        uu = sum(w * (u - u0) ** 2 for w, u, _ in cells) / mass + 1 / 12
        vv = sum(w * (v - v0) ** 2 for w, _, v in cells) / mass + 1 / 12
        uv = sum(w * (u - u0) * (v - v0) for w, u, v in cells) / mass
        matrix = torch.tensor([[uu, uv], [uv, vv]], dtype=DTYPE)
        assert (found.covariance[index] - matrix).abs().max() < 1e-10
        values, vectors = torch.linalg.eigh(matrix)
        axis = vectors[:, 1] if vectors[1, 1] > 0 else -vectors[:, 1]
        assert abs(found.angle[index].item() - math.degrees(math.atan2(axis[0], axis[1]))) < 1e-8
        assert abs(found.elongation[index].item() - ((values[1] - values[0]) / values.sum()).item()) < 1e-10
    flat = measure_shapes(images.flatten(1), shape=(6, 9))
    assert torch.equal(flat.covariance, found.covariance) and torch.equal(flat.perimeter, found.perimeter)


def test_scale():
    """A bar enlarged s times: size and width grow by s, to 2 % (the grey edge keeps its width); the angle stays."""
    small, large = (measure_shapes(bar(30, length=16 * s, width=4 * s)[None]) for s in (1.0, 1.75))
    assert abs(large.size / small.size / 1.75 - 1) < 0.01
    assert abs(large.width / small.width / 1.75 - 1) < 0.02
    assert abs(large.angle - small.angle) < 0.05


@pytest.mark.parametrize("width", [2.0, 4.0, 7.0])
def test_ring_and_disc(width):
    """A ring of middle radius 12: width w to 3 %, size² R² + w²/4; a disc: width R to 3 %, size² R²/2; both round."""
    ring = measure_shapes(draw(lambda u, v: (torch.hypot(u, v) - 12).abs() <= width / 2)[None])
    assert abs(ring.width.item() / width - 1) < 0.03
    assert 0 < ring.size.item() ** 2 - (12**2 + width**2 / 4) < BLUR
    radius = width + 3
    disc = measure_shapes(draw(lambda u, v: torch.hypot(u, v) <= radius)[None])
    assert abs(disc.width.item() / radius - 1) < 0.03
    assert 0 < disc.size.item() ** 2 - radius**2 / 2 < BLUR
    assert ring.elongation.item() < 1e-10 and disc.elongation.item() < 1e-10


def test_brightness_changes_nothing():
    """Half as bright an image has the same angle, size and width, to rounding."""
    image = bar(25)[None]
    bright, dim = measure_shapes(image), measure_shapes(image / 2)
    for name in ("angle", "size", "width", "elongation"):
        assert (getattr(bright, name) - getattr(dim, name)).abs().max() < 1e-10


def test_bad_images():
    """One sentence with the shape that was given and the one expected; an image without mass has no moments."""
    with pytest.raises(ValueError, match=r"images must be \(B, side · side\) or \(B, side, side\), got \(2, 10\)"):
        measure_shapes(torch.ones(2, 10))
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 5\) or \(B, 15\), got \(2, 12\)"):
        measure_shapes(torch.ones(2, 12), shape=(3, 5))
    with pytest.raises(ValueError, match="images must have mass each, got 1 without any"):
        measure_shapes(torch.stack([torch.zeros(5, 5), torch.ones(5, 5)]))
