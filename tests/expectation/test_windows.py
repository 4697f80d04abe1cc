"""Layers on a window give what the whole grid gives there, and nothing changes outside of it."""

import random

import pytest
import torch
from torch import nn

from acelib.expectation.windows import Window, crop, reaches

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def chain(rng, dims):
    """One to four layers of any kind, strides, paddings and dilations."""
    layers, channels = [], 2
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(["convolution", "convolution", "pool", "mean", "norm", "gelu"])
        if kind == "convolution":
            stride = rng.choice([1, 1, 2])
            padding = rng.choice([0, 1, 2, "same", "valid"]) if stride == 1 else rng.choice([0, 1])
            sizes = dict(kernel_size=rng.choice([1, 3, 4]), stride=stride, padding=padding, dilation=rng.choice([1, 2]))
            layers.append(CONVOLUTION[dims](channels, 3, **sizes))
            channels = 3
        elif kind in ("pool", "mean"):
            make = POOL if kind == "pool" else MEAN
            layers.append(make[dims](2, stride=rng.choice([None, 1, 2]), padding=rng.choice([0, 1])))
        else:
            layers.append(NORM[dims](channels) if kind == "norm" else nn.GELU())
    return nn.Sequential(*layers).double().eval()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_window_is_that_part_of_the_whole(dims):
    """Generated: 80 chains of layers for each number of dimensions, and a block of positions that is set."""
    rng, compared, nothing = random.Random(dims), 0, 0
    torch.manual_seed(0)
    for _ in range(80):
        size, layers = rng.randint(6, 8 if dims == 3 else 14), chain(rng, dims)
        x = torch.randn(2, 2, *[size] * dims, dtype=torch.float64)
        try:
            before = layers(x)
        except RuntimeError:  # too few positions for these kernels
            continue
        first = [rng.randrange(size) for _ in range(dims)]
        spans = [(a, min(size - 1, a + rng.choice([0, 0, 1, 2]))) for a in first]
        y = x.clone()
        crop(y, spans).fill_(3.3)
        after, window = layers(y), Window.of(list(layers), [size] * dims, spans)
        if window is None:
            assert torch.equal(before, after), (layers, spans)
            nothing += 1
            continue
        whole = before.clone()
        crop(whole, window.last).copy_(window(crop(y, window.first)))
        assert torch.allclose(whole, after, rtol=0, atol=1e-12), (layers, spans)
        compared += 1
    assert compared > 60


def test_a_pixel_that_no_kernel_reads_reaches_nothing():
    assert Window.of([nn.Conv2d(1, 1, 2, stride=3)], [9, 9], [(2, 2), (0, 0)]) is None


def test_reaches_by_hand():
    """Kernel 3, stride 2, padding 1 on 7 positions: results 0..3 read -1..1, 1..3, 3..5, 5..7."""
    (one,) = reaches(nn.MaxPool1d(3, stride=2, padding=1), [7])
    assert one.results == 4 and [one.read((o, o)) for o in range(4)] == [(-1, 1), (1, 3), (3, 5), (5, 7)]
    assert one.reached((3, 3)) == (1, 2) and one.reached((4, 4)) == (2, 2)


def test_reaches_with_more_padding_behind_than_before():
    """Kernel 4 with "same" padding has 1 before and 2 behind, so o reads o - 1 .. o + 2, and 4 reaches 2 .. 5."""
    (one,) = reaches(nn.Conv1d(1, 1, 4, padding="same"), [10])
    assert (one.before, one.after, one.results) == (1, 2, 10)
    assert one.read((3, 3)) == (2, 5) and one.reached((4, 4)) == (2, 5)
