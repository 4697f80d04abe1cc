"""Fields that are computed when one of them is first read, all that wait together at once; results that have them."""

import copy
import gc
import pickle
import weakref
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest
from torch import nn

from acelib._saved import Result
from acelib._waiting import Waiting, waits


@waits("total", "product", "free")
@dataclass(frozen=True, eq=False)
class Numbers(Result):
    name: str
    total: int
    product: int
    free: int


def numbers(asked):
    together = Waiting(lambda: asked.append("together") or {"total": 5, "product": 6})
    return Numbers("a", together, together, Waiting(lambda: asked.append("free") or {"free": 1}))


def test_what_waits_together_is_computed_once_when_one_is_read():
    asked = []
    found = numbers(asked)
    assert found.name == "a" and asked == []
    assert (found.product, found.total, found.product) == (6, 5, 6) and asked == ["together"]
    assert found.free == 1 and asked == ["together", "free"]
    assert Numbers("a", 5, 6, 1) == found == numbers([])


@pytest.mark.parametrize("copied", [lambda n: pickle.loads(pickle.dumps(n)), copy.copy, copy.deepcopy, replace])
def test_pickles_and_copies_hold_the_numbers(copied):
    """A source is a function, which a pickle could not hold."""
    asked = []
    found = copied(numbers(asked))
    assert sorted(asked) == ["free", "together"]
    assert vars(found) == {"name": "a", "total": 5, "product": 6, "free": 1}


def test_the_source_is_held_until_then_and_no_longer():
    net = nn.Linear(1, 1)
    here = weakref.ref(net)
    found = Numbers("a", Waiting(lambda net=net: {"total": net.in_features}), 6, 1)
    del net
    gc.collect()
    assert here() is not None and found.total == 1
    gc.collect()
    assert here() is None


def test_a_failure_is_told_and_the_field_still_waits():
    answers = iter([{"total": 5}])

    def source():
        if not answers_ready:
            raise MemoryError("later")
        return next(answers)

    answers_ready = []
    found = Numbers("a", Waiting(source), 6, 1)
    with pytest.raises(MemoryError, match="later"):
        _ = found.total
    answers_ready.append(True)
    assert found.total == 5


def test_fields_stay_frozen_and_missing_ones_are_missing():
    found = numbers([])
    with pytest.raises(FrozenInstanceError):
        found.total = 3
    with pytest.raises(AttributeError, match="'Numbers' object has no attribute 'total'"):
        _ = object.__new__(Numbers).total
    with pytest.raises(AttributeError, match="other"):
        _ = found.other
