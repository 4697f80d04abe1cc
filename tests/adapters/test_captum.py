"""Effects with Captum's hand, against ``AverageCausalEffect`` itself, and under Captum's own metrics."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import acelib
from acelib import AverageCausalEffect, InputDistribution

captum = pytest.importorskip("captum")
from captum.metrics import infidelity, sensitivity_max  # noqa: E402

from acelib.adapters.captum import ACE  # noqa: E402


def case(dtype=torch.float32, shape=(3,), outputs=3):
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(150, *shape, generator=generator, dtype=dtype)
    torch.manual_seed(0)
    size = X[0].numel()
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(size, 5), torch.nn.Tanh(), torch.nn.Linear(5, outputs)
    )
    return net.to(dtype).eval(), X, InputDistribution.fit(X, domain=(0.0, 1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)], ids=["table", "image"])
@pytest.mark.parametrize(
    "target, each",
    [
        (1, [1, 1, 1, 1]),
        ([2], [2, 2, 2, 2]),
        (torch.tensor([0, 2, 1, 0]), [0, 2, 1, 0]),
        (torch.tensor(2), [2, 2, 2, 2]),
        ([0, 2, 1, 0], [0, 2, 1, 0]),
        ((1,), [1, 1, 1, 1]),
        ([(0,), (2,), (1,), (0,)], [0, 2, 1, 0]),
    ],
)
def test_maps_are_those_of_the_method(dtype, shape, target, each):
    net, X, population = case(dtype, shape)
    explainer = ACE(net, population)
    assert isinstance(explainer, captum.attr.Attribution) and not explainer.has_convergence_delta()
    maps = explainer.attribute(X[:4], target=target)
    assert maps.dtype == dtype and maps.shape == X[:4].shape
    own = AverageCausalEffect(net, population).attribute(X[:4], target=each).values
    assert torch.equal(maps, own.to(dtype))
    (alone,) = explainer.attribute((X[:4],), target=target)
    assert torch.equal(alone, maps)


@pytest.mark.parametrize("target", [1, torch.tensor([0, 2, 1, 0])], ids=["one", "each"])
def test_the_metrics_of_captum_run_on_it(target):
    """Sensitivity passes five noisy copies of each row, with expanded targets; of a linear net it has a closed form."""
    net, X, population = case()
    explainer = ACE(net, population)
    maps = explainer.attribute(X[:4], target=target)

    def noise(inputs):
        step = 0.05 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1))
        return step, inputs - step

    found = infidelity(net, noise, X[:4], maps, target=target, n_perturb_samples=5)
    assert found.shape == (4,) and bool((found >= 0).all()) and bool(found.isfinite().all())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        changes = sensitivity_max(explainer.attribute, X[:4], target=target, n_perturb_samples=5)
    assert changes.shape == (4,) and bool((changes > 0).all()) and bool((changes < 1).all())


def test_sensitivity_is_that_of_the_curves():
    """An ACE of a linear network is w (x - mid): a step of r in every input changes it by r |w|, relative to |ACE|."""
    _, X, population = case(torch.float64)
    net = torch.nn.Linear(3, 2).double()
    x = 0.25 + 0.5 * X[:3]
    changes = sensitivity_max(ACE(net, population).attribute, x, lambda rows: rows + 0.1, n_perturb_samples=2, target=1)
    by_hand = 0.1 * net.weight[1].norm() / (net.weight[1] * (x - 0.5)).norm(dim=1)
    assert torch.allclose(changes, by_hand, rtol=1e-4)


def test_a_value_beyond_the_domain_counts_as_its_end_and_pinned_inputs_as_0():
    net, X, population = case()
    maps = ACE(net, population.do({"x1": 0.5})).attribute(X[:2] + 3, target=0)
    ends = AverageCausalEffect(net, population.do({"x1": 0.5})).attribute(torch.ones(1, 3), target=0).values[0]
    assert torch.allclose(maps[:, [0, 2]], ends[[0, 2]].float()) and maps[:, 1].tolist() == [0, 0]


def test_a_single_output_needs_no_target_and_may_be_flat():
    _, X, population = case()
    flat = ACE(lambda x: (x**2).sum(1), population).attribute(X[:3])
    assert torch.allclose(flat, X[:3] ** 2 - 1 / 3, atol=1e-4)


def test_it_travels_and_keeps_its_name():
    net, X, population = case()
    explainer = ACE(net, population)
    again = pickle.loads(pickle.dumps(explainer))
    assert type(again) is ACE is sys.modules["acelib.adapters.captum"].ACE and ACE.__name__ == "ACE"
    assert torch.equal(again.attribute(X[:2], target=0), explainer.attribute(X[:2], target=0))


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(target=None), "target must be one of the 3 outputs, or one for each row, got None"),
        (dict(target=3), "target must be one of the outputs 0 to 2, or one for each row, got 3"),
        (dict(target=-1), "got -1"),
        (dict(target=[0, 1]), "one for each of the 4 rows, got 2"),
        (dict(target="a"), "got 'a'"),
        (dict(target=torch.tensor([0.5] * 4)), "got 0.5"),
        (dict(target=(0, 1)), r"got \(0, 1\)"),
        (dict(target=0, additional_forward_args=torch.zeros(4)), "additional_forward_args must be None"),
        (dict(target=0, inputs=(torch.zeros(4, 3),) * 2), "inputs must be one tensor, got a tuple of 2"),
        (dict(target=0, inputs=torch.zeros(4, 2)), r"inputs must have shape \(batch, 3,\), got \(4, 2\)"),
    ],
)
def test_wrong_calls_end_in_one_sentence(options, said):
    net, X, population = case()
    with pytest.raises(ValueError, match=said):
        ACE(net, population).attribute(**{"inputs": X[:4], **options})


def test_importing_the_package_needs_no_captum():
    program = (
        "import sys; sys.modules['captum'] = None; import acelib; from acelib.adapters import *\n"
        "try: acelib.adapters.captum.ACE\nexcept ImportError as error: print(error)"
    )
    home = Path(acelib.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == (
        "acelib.adapters.captum.ACE needs captum, which is not installed; run `pip install captum`"
    )
