"""Global random numbers: who draws from them, and that they are put back for nobody else."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from acelib._draws import GlobalDraws
from acelib._entrance import admit

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
A = nn.Linear(4, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "call"),
    [("torch", lambda: torch.rand(3)), ("numpy", lambda: np.random.rand(3)), ("Python", random.random)],
)
def test_draws_are_seen_and_put_back(name, call):
    draws = GlobalDraws(torch.device("cpu"))
    with draws.watched():
        torch.rand(3, generator=torch.Generator().manual_seed(0))
        np.random.default_rng(0).random()
    assert not draws.names and not draws.moved()
    with draws.watched():
        first = call()
    assert draws.names == {name} and draws.moved()
    draws.put_back()
    assert not draws.moved() and np.array_equal(first, call())


def test_what_another_thread_draws_meanwhile_is_not_blamed_on_the_call():
    draws = GlobalDraws(torch.device("cpu"))
    with draws.watched():
        other = threading.Thread(target=torch.rand, args=(1,))
        other.start()
        other.join()
    assert draws.moved() and not draws.names


def test_the_random_numbers_of_other_threads_stay_theirs():
    """A thread that draws while networks are looked at draws each number once, and no network is blamed for it."""
    stop, drawn = threading.Event(), []

    def draw_on():
        while not stop.is_set():
            drawn.append(torch.rand(64, dtype=torch.float64))

    other = threading.Thread(target=draw_on)
    other.start()
    try:
        for _ in range(100):
            admit(A, X[:2], (4,))
    finally:
        stop.set()
        other.join()
    numbers = torch.cat(drawn)
    assert len(numbers.unique()) == len(numbers)


def test_numpys_generator_of_another_kind():
    """The usual one is read in place; another is asked for its state."""
    usual = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(3))
        draws = GlobalDraws(torch.device("cpu"))
        with draws.watched():
            first = np.random.rand(700)
        draws.put_back()
        assert draws.names == {"numpy"} and np.array_equal(np.random.rand(700), first)
    finally:
        np.random.set_bit_generator(usual)
    draws = GlobalDraws(torch.device("cpu"))
    for count in (1, 623, 624, 1300):  # beyond the words of one state
        with draws.watched():
            first = np.random.rand(count)
        draws.put_back()
        assert np.array_equal(np.random.rand(count), first)
        draws.put_back()
