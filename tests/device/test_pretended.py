"""The pretended device refuses what torch refuses on a real one, and nothing else."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from device.pretended import CUDA, MPS, PretendedTensor, pretend, without_mps_kernel
from torch import nn

KINDS = pytest.mark.parametrize("accelerator", [CUDA, MPS], ids=["cuda", "mps"])
X = torch.arange(12.0).reshape(3, 4)


def filled_from(x, value):
    out = x.clone()
    out[torch.tensor([0, 1])] = value
    return out


MIXED = {
    "sum": lambda x: x + X,
    "product": lambda x: x @ X.T,
    "row of a linear layer": lambda x: nn.functional.linear(x, X),
    "joined": lambda x: torch.cat([x, X]),
    "mask": lambda x: x.masked_fill(X > 1, 0.0),
    "gather": lambda x: x.gather(0, torch.zeros(1, 4, dtype=torch.long)),
    "added at": lambda x: x.index_add(0, torch.tensor([0]), X[:1]),
    "written": lambda x: filled_from(x, X[:2]),
    "two numbers multiplied as vectors": lambda x: torch.dot(x[0], X[0]),
    "network": lambda x: nn.Linear(4, 2)(x),
}
ALLOWED = {
    "number": lambda x: x + torch.tensor(2.0),
    "index of the CPU": lambda x: x[torch.tensor([0, 2])],
    "number written": lambda x: filled_from(x, torch.tensor(5.0)),
    "copied": lambda x: x.clone().copy_(X),
    "row written by a copy": lambda x: filled_from(x, 0.0),
    "made there": lambda x: x + torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device),
    "like it": lambda x: torch.zeros_like(x) + x.new_ones(4) + torch.arange(4, device=x.device),
    "clamped by a number": lambda x: x.clamp(min=torch.tensor(1.0)),
}


@KINDS
@pytest.mark.parametrize("name", MIXED)
def test_two_devices_do_not_mix(accelerator, name):
    with pretend(accelerator) as device, pytest.raises(RuntimeError, match="same device"):
        MIXED[name](X.to(device))


@KINDS
@pytest.mark.parametrize("name", ALLOWED)
def test_what_torch_allows_gives_the_numbers_of_the_cpu(accelerator, name):
    with pretend(accelerator) as device:
        there = ALLOWED[name](X.to(device))
        assert there.device == device
        assert torch.equal(there.cpu(), ALLOWED[name](X))


@KINDS
def test_an_index_of_the_accelerator_serves_only_there(accelerator):
    with pretend(accelerator) as device:
        index = torch.tensor([0], device=device)
        assert torch.equal(X.to(device)[index].cpu(), X[:1])
        with pytest.raises(RuntimeError, match="indices should be either on cpu"):
            X[index]


@KINDS
@pytest.mark.parametrize(
    "read", [lambda x: x.numpy(), np.asarray, lambda x: np.sqrt(x)], ids=["numpy", "asarray", "ufunc"]
)
def test_numpy_has_to_wait_for_the_cpu(accelerator, read):
    with pretend(accelerator) as device, pytest.raises(TypeError, match="to numpy"):
        read(X.to(device))


@KINDS
def test_a_cpu_generator_draws_on_the_cpu(accelerator):
    generator = torch.Generator().manual_seed(0)
    with pretend(accelerator) as device:
        for draw in (torch.rand, torch.randn, lambda n, **o: torch.randperm(n, **o)):
            with pytest.raises(RuntimeError, match="generator"):
                draw(3, generator=generator, device=device)
            assert draw(3, generator=generator).to(device).device == device


@KINDS
def test_numbers_come_back_by_name(accelerator):
    with pretend(accelerator) as device:
        x = X.to(device)
        assert float(x.sum()) == 66.0 and x.tolist() == X.tolist() and int(x.argmax()) == 11
        assert f"{x.max():.1f}" == "11.0" and bool((x >= 0).all()) and str(device) in repr(x)


@KINDS
def test_networks_move_train_and_come_back(accelerator):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 1))
    other = copy.deepcopy(net)
    with pretend(accelerator) as device:
        there = copy.deepcopy(net).to(device)
        assert all(isinstance(p, nn.Parameter) and p.device == device for p in there.parameters())
        for model, x in ((there, X.to(device)), (other, X)):
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
        again = pickle.loads(pickle.dumps(there.state_dict()))
        assert all(torch.equal(again[name].cpu(), value) for name, value in other.state_dict().items())


@KINDS
@pytest.mark.parametrize("transform", ["jvp", "vjp", "jacfwd", "hessian", "vmap"])
def test_function_transforms_give_the_numbers_of_the_cpu(accelerator, transform):
    weight = X[:, :3] / 10

    def numbers(x, w):
        call = lambda z: torch.tanh(w @ z)  # noqa: E731
        if transform == "jvp":
            return torch.func.jvp(call, (x,), (x,))[1]
        if transform == "vjp":
            return torch.func.vjp(call, x)[1](torch.ones_like(x))[0]
        if transform == "vmap":
            return torch.func.vmap(call)(w)
        return getattr(torch.func, transform)(call)(x)

    x = torch.tensor([0.1, -0.2, 0.3])
    with pretend(accelerator) as device:
        assert torch.equal(numbers(x.to(device), weight.to(device)).cpu(), numbers(x, weight))


@KINDS
def test_memory_is_shared_as_on_the_cpu(accelerator):
    """Views, ``.data`` and gradients in place, on which the laboratory's optimisers rest."""
    with pretend(accelerator) as device:
        whole = torch.zeros(6, device=device)
        parameter = nn.Parameter(torch.ones(2, 3, device=device))
        parameter.data, parameter.grad = whole[:6].view(2, 3), torch.zeros(6, device=device).view(2, 3)
        whole += 2
        assert parameter.tolist() == [[2.0] * 3] * 2
        parameter.square().sum().backward()
        assert parameter.grad.tolist() == [[4.0] * 3] * 2
        parameter.data = parameter.data.clone()
        whole += 1
        assert parameter.tolist() == [[2.0] * 3] * 2


BROAD = {
    "made": lambda x: torch.zeros(2, dtype=torch.float64, device=x.device),
    "converted": lambda x: x.double(),
    "moved and converted at once": lambda x: x.to("cpu", torch.float64),
    "copied and converted": lambda x: torch.zeros(3, 4, dtype=torch.float64).copy_(x),
    "moved": lambda x: X.double().to(x.device),
    "complex": lambda x: torch.zeros(2, dtype=torch.complex128, device=x.device),
    "from numpy": lambda x: torch.as_tensor(np.ones(2), device=x.device),
}


@pytest.mark.parametrize("name", BROAD)
def test_mps_has_no_float64_and_cuda_has(name):
    with pretend(MPS) as device, pytest.raises(TypeError, match="float64"):
        BROAD[name](X.to(device))
    with pretend(CUDA) as device:
        BROAD[name](X.to(device))


def test_mps_lacks_operations_that_cuda_has():
    with pretend(MPS) as device:
        square = (X @ X.T).to(device)
        assert torch.linalg.svd(square).S.device == device  # torch itself goes to the CPU
        with pytest.raises(NotImplementedError, match="_linalg_eigh"):
            torch.linalg.eigh(square)
        assert X.to(device).cpu().double().dtype == torch.float64
    with pretend(CUDA) as device:
        assert torch.linalg.eigh((X @ X.T).to(device)).eigenvalues.device == device
    assert "_linalg_eigh" in without_mps_kernel() and "mm" not in without_mps_kernel()


@KINDS
def test_nothing_stays_behind(accelerator):
    lifts = torch._C._only_lift_cpu_tensors()
    with pytest.raises(ZeroDivisionError), pretend(accelerator) as device:
        assert isinstance(torch.zeros(2, device=device), PretendedTensor)
        1 / 0  # noqa: B018
    assert torch._C._only_lift_cpu_tensors() == lifts
    assert type(torch.zeros(2)) is torch.Tensor and torch.zeros(2, device="meta").device.type == "meta"
