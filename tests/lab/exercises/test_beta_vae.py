"""Chapter 9's judges: answers by hand are right, and each known slip gets the hint that names it."""

from math import cos, radians, sqrt

import pytest
import torch

from acelib import LatentPrior, interventional_expectation
from acelib.lab.exercises import check
from acelib.lab.exercises.chapters.beta_vae import rotated_height
from acelib.lab.exercises.replies import NEARLY, RIGHT, WRONG

BASELINE = {"effect of c2": 0.26, "factor of c1": 0.7}
SLANT = {"rotated": 19.75, "slanted": 25, "nearer": "slant"}
DIAGONAL = {"sd of the lever": 1.0, "turns": True, "broadens": True}


def test_answers_worked_out_by_hand_are_right():
    assert check("ex-vae-baseline", BASELINE)
    assert check("ex-vae-pairs", lambda r: (1 - r) ** -0.5)
    assert check("ex-vae-slant", SLANT)
    assert check("ex-vae-diagonal", DIAGONAL)


def test_the_baseline_is_that_of_the_library_in_the_one_pixel_machine():
    """Against ``LatentPrior``, where the class is not set and z is 0 on average."""
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    ink = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    prior = LatentPrior(1, 3, p, draws=64, seed=0, dtype=torch.float64)
    off, on = interventional_expectation(lambda x: (x[:, 1:] @ ink)[:, None], prior, "c1", [0.0, 1.0]).values[:, 0]
    effect = float(on - p @ ink)
    assert effect / float(on - off) == pytest.approx(BASELINE["factor of c1"], abs=1e-12)


@pytest.mark.parametrize(
    ("part", "slip", "said"),
    [
        ("effect of c2", 0.52, "against do(c2 = 0)"),
        ("effect of c2", 0.54, "new baseline"),
        ("effect of c2", 0.8 - 1.3 / 3, "frequency"),
        ("effect of c2", -0.26, "sign"),
        ("factor of c1", 0.3, "What is left"),
        ("factor of c1", 1 / 0.7, "other way round"),
        ("factor of c1", 0.5, "another class"),
    ],
)
def test_slips_with_the_baseline(part, slip, said):
    reply = check("ex-vae-baseline", BASELINE | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint


@pytest.mark.parametrize("slip", [lambda r: 1 / (1 - r), lambda r: (1 - r) ** 0.5, lambda r: 2**0.5, lambda r: 1 + r])
def test_slips_with_pairs(slip):
    reply = check("ex-vae-pairs", slip)
    assert reply.verdict == WRONG and "root of a variance" in reply.hint


def test_a_rotation_is_the_conjugation_by_its_matrix():
    """Against R M Rᵀ, written out."""
    c, s = cos(radians(30)), 0.5
    R = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    M = torch.diag(torch.tensor([4.0, 25.0], dtype=torch.float64))
    assert rotated_height(4, 25, radians(30)) == pytest.approx(float((R @ M @ R.T)[1, 1]), abs=1e-12)


@pytest.mark.parametrize(
    ("part", "slip", "said"),
    [
        ("rotated", 4 * 0.75 + 25 * 0.25, "changed places"),
        ("rotated", 25 * 0.75, "stands up"),
        ("rotated", 25 * sqrt(0.75), "square of the cosine"),
        ("rotated", rotated_height(4, 25, 30), "radians"),
        ("slanted", 19.75, "rotation"),
        ("nearer", "rotation", "three heights"),
        ("nearer", "neither", "Choose one of"),
    ],
)
def test_slips_with_the_slant(part, slip, said):
    reply = check("ex-vae-slant", SLANT | {part: slip})
    assert reply.verdict == NEARLY and said.lower() in reply.hint.lower()


@pytest.mark.parametrize(
    ("part", "slip", "said"),
    [
        ("sd of the lever", 2**0.5, "the sum alone"),
        ("sd of the lever", 0.7071, "one latent's part"),
        ("turns", False, "angle"),
        ("broadens", False, "breadth"),
    ],
)
def test_slips_with_a_lever_of_ones_own(part, slip, said):
    reply = check("ex-vae-diagonal", DIAGONAL | {part: slip})
    assert reply.verdict == NEARLY and said in reply.hint


def test_the_verdict_right_is_the_only_true_one():
    assert check("ex-vae-slant", SLANT).verdict == RIGHT
