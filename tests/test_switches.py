"""Switches of the process: off while a context is active in any thread, and afterwards as they were, each of them."""

import threading

import pytest
import torch
from sequence_networks import network
from torch import nn

from acelib import InputDistribution, half_trace, interventional_expectation, jets
from acelib._process import RandomNumbers, forward_mode, plain_kernels
from acelib.recurrent import time_lag, unfold

F64 = torch.float64
BACKENDS = torch.backends


def backend(module):
    return (lambda: module.enabled), lambda value: setattr(module, "enabled", value)


SWITCHES = {  # how a switch is read and set, and what turns it off
    "cudnn": (*backend(BACKENDS.cudnn), "cudnn"),
    "mkldnn": (*backend(BACKENDS.mkldnn), "mkldnn"),
    "mha": (BACKENDS.mha.get_fastpath_enabled, BACKENDS.mha.set_fastpath_enabled, "mha"),
    "flash": (BACKENDS.cuda.flash_sdp_enabled, BACKENDS.cuda.enable_flash_sdp, "attention"),
    "mem_efficient": (BACKENDS.cuda.mem_efficient_sdp_enabled, BACKENDS.cuda.enable_mem_efficient_sdp, "attention"),
    "cudnn_sdp": (BACKENDS.cuda.cudnn_sdp_enabled, BACKENDS.cuda.enable_cudnn_sdp, "attention"),
    "math": (BACKENDS.cuda.math_sdp_enabled, BACKENDS.cuda.enable_math_sdp, "attention"),
}


def now():
    return {name: get() for name, (get, _, _) in SWITCHES.items()}


@pytest.fixture(autouse=True)
def as_before():
    before = now()
    yield
    for name, value in before.items():
        SWITCHES[name][1](value)


@pytest.fixture(params=[(name, value) for name in SWITCHES for value in (True, False)], ids=str)
def one(request):
    """One switch on while all others are off, or off while all others are on; the state of all."""
    name, value = request.param
    for other, (_, put, _) in SWITCHES.items():
        put(value if other == name else not value)
    return name, now()


def test_a_switch_is_off_meanwhile_and_as_before_afterwards(one):
    name, before = one
    get, _, context = SWITCHES[name]
    with plain_kernels(context):
        assert get() == (name == "math")
        touched = [n for n, (_, _, c) in SWITCHES.items() if c == context]
        assert all(now()[n] == before[n] for n in SWITCHES if n not in touched)
    assert now() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_or_an_interrupt(one, error):
    _, before = one
    with pytest.raises(error), plain_kernels("cudnn", "mkldnn", "mha", "attention"):
        raise error
    with pytest.raises(KeyError), plain_kernels("cudnn", "mha", "no such switch"):
        pass
    assert now() == before


def test_contexts_may_nest_and_close_in_any_order(one):
    """The first one opened is the first one closed, as threads do it."""
    _, before = one
    every = ("cudnn", "mkldnn", "mha", "attention")
    first, second = plain_kernels(*every), plain_kernels("cudnn", "attention")
    first.__enter__()
    off = now()
    second.__enter__()
    first.__exit__(None, None, None)
    after = now()
    for name, (_, _, context) in SWITCHES.items():
        assert after[name] == (off if context in ("cudnn", "attention") else before)[name]
    second.__exit__(None, None, None)
    assert now() == before


def test_a_set_back_that_fails_half_way_leaves_nothing_open():
    """A context that cannot be opened counts no user: the next one works."""
    before = now()
    with pytest.raises(ValueError):
        with plain_kernels("mha"):
            with plain_kernels("mha", "attention"):
                raise ValueError
    assert now() == before
    with plain_kernels("mha", "attention"):
        assert not SWITCHES["mha"][0]() and not SWITCHES["flash"][0]()
    assert now() == before


USERS = {
    "taylor": lambda net, x: interventional_expectation(net, InputDistribution.fit(x), 0, [0.0], method="taylor"),
    **{
        route: lambda net, x, route=route: half_trace(net, x[:2], torch.eye(x.shape[1], 2, dtype=F64), route=route)
        for route in ("auto", "jvp_grad", "double_backward", "hessian")
    },
    "check": lambda net, x: jets.check(net, x[:1], torch.eye(x.shape[1], 2, dtype=F64)),
}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("fails", [False, True])
def test_users_leave_every_switch_as_it_was(one, user, fails):
    """Whatever the switches were, and where the model fails in the middle: Ctrl-C at its third call."""
    _, before = one
    inner, calls = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double(), []

    def model(x):
        calls.append(len(x))
        if fails and len(calls) >= 3:
            raise KeyboardInterrupt
        return inner(x)

    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    try:
        USERS[user](model, x)
    except KeyboardInterrupt:
        assert fails
    assert now() == before


@pytest.mark.parametrize("value", [True, False])
def test_recurrent_networks_leave_cudnn_as_it_was(value):
    net, seen = network("gru", 2, 1), []
    net.register_forward_pre_hook(lambda module, args: seen.append(BACKENDS.cudnn.enabled))
    BACKENDS.cudnn.enabled = value
    f, x = unfold(net, steps=3, features=2), torch.rand(5, 6, dtype=F64)
    f(x)
    assert seen == [value] and BACKENDS.cudnn.enabled == value
    f(x.requires_grad_()).sum().backward()
    assert seen[1:] == [False] and BACKENDS.cudnn.enabled == value
    time_lag(net, x.detach().reshape(5, 3, 2))
    assert not any(seen[-1:]) and BACKENDS.cudnn.enabled == value


def test_many_threads_enter_and_leave():
    before, gate, failed = now(), threading.Barrier(8), []

    def work():
        gate.wait()
        for _ in range(300):
            with plain_kernels("cudnn", "mkldnn", "mha", "attention"):
                if BACKENDS.cudnn.enabled or BACKENDS.mha.get_fastpath_enabled() or BACKENDS.cuda.flash_sdp_enabled():
                    failed.append(now())

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert now() == before and not failed


def test_forward_mode_is_for_one_thread_at_a_time():
    """Nested in one thread it is open; another thread waits for its end."""
    order = []

    def other():
        with forward_mode():
            order.append("other")

    with forward_mode(), forward_mode():
        worker = threading.Thread(target=other)
        worker.start()
        worker.join(0.05)
        order.append("mine")
    worker.join()
    assert order == ["mine", "other"]


def test_random_numbers_of_a_thread_leave_the_global_ones():
    """They are those of the seed, of in-place draws and new layers; the global ones are as if none had been drawn."""
    torch.manual_seed(7)
    expected = nn.Linear(3, 2).weight, torch.zeros(4).normal_(), torch.randn(3), torch.randint(2, 5, (3,))
    torch.manual_seed(5)
    after = torch.rand(3)
    torch.manual_seed(5)
    with RandomNumbers(7):
        drawn = nn.Linear(3, 2).weight, torch.zeros(4).normal_(), torch.randn(3), torch.randint(2, 5, (3,))
    assert all(map(torch.equal, drawn, expected))
    with pytest.raises(NotImplementedError, match="without a generator"), RandomNumbers(7):
        torch.native_dropout(torch.ones(2), 0.5, True)
    assert torch.equal(torch.rand(3), after)
