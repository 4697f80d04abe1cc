"""The ResNet-18 architecture at any width: the smallest network of the paper on ImageNet.

Four stages of two basic blocks (He, Zhang, Ren and Sun, 2016, table 1): 3x3 convolutions with batch norm, a sum with
the shortcut, ReLU. ``width`` is the number of channels of the first stage; it doubles from stage to stage. For small
images the stem is a 3x3 convolution without pool, as is usual on CIFAR.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut.

    Args:
        inside: channels that come in.
        outside: channels that go out.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, outside, H', W')``."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    """The ResNet-18 architecture ``(batch, channels, H, W) -> (batch, classes)``, before the softmax.

    Args:
        width: channels of the first stage; 64 in the paper.
        classes: number of outputs.
        channels: channels of the images.
        small: 3x3 stem without pool, for images of about 32x32; else 7x7 with stride 2 and a pool.
        seed: seed of the initial weights (He initialisation); None means 0.

    References:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.

    Example:
        >>> net = ResNet18(width=4, classes=3, seed=0).eval()
        >>> assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    """

    def __init__(
        self, *, width: int = 64, classes: int = 10, channels: int = 3, small: bool = True, seed: int | None = None
    ) -> None:
        super().__init__()
        stem = (
            nn.Conv2d(channels, width, 3, 1, 1, bias=False)
            if small
            else nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        )
        pool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU(), pool)
        stages, inside = [], width
        for stage in range(4):
            outside = width * 2**stage
            first = BasicBlock(inside, outside, 1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, BasicBlock(outside, outside, 1)))
            inside = outside
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(inside, classes)
        self._start(torch.Generator().manual_seed(0 if seed is None else seed))

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores ``(batch, classes)``."""
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))

    @torch.no_grad()
    def _start(self, generator: torch.Generator) -> None:
        """Draw the initial weights."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.out_channels * math.prod(module.kernel_size)
                module.weight.normal_(0, (2 / fan) ** 0.5, generator=generator)
            elif isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)
