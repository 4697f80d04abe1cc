"""Judges against the written rule: right, nearly with a reason, wrong, open; no reply holds the answer itself."""

import numpy as np
import pytest
import torch

from acelib.lab.exercises import answers, check
from acelib.lab.exercises.judges import Choice, Function, Members, Number, Parts, is_open, reply_to
from acelib.lab.exercises.replies import NEARLY, OPEN, RIGHT, WRONG


@pytest.mark.parametrize("answer", [26, 26.0, np.float64(26), torch.tensor([26.0]), torch.tensor(26.0)])
def test_a_number_may_come_in_any_dress(answer):
    assert Number(26)(answer).verdict == RIGHT


@pytest.mark.parametrize("answer", ["26", True, [26, 26], float("nan"), float("inf"), {}])
def test_what_is_no_number_is_said(answer):
    assert Number(26)(answer).verdict == WRONG
    assert "number" in Number(26)(answer).hint


def test_a_number_is_nearly_right_by_sign_slip_or_distance():
    judge = Number(-100, tol=0.5, near=2, traps={150: "From zero."})
    said = {value: judge(value) for value in (-100.4, 100, 150.2, -101.5, 3)}
    assert [reply.verdict for reply in said.values()] == [RIGHT, NEARLY, NEARLY, NEARLY, WRONG]
    assert "sign" in said[100].hint and said[150.2].hint == "From zero."


def test_a_choice_tells_true_from_one():
    judge = Choice(True, {False: "Look again."})
    assert judge(True) and not judge(1) and judge(False).hint == "Look again." and judge(np.bool_(True))


def test_members_ignore_order_and_count_what_is_missing():
    judge = Members({"a", "b", "c"})
    assert judge(("c", "b", "a"))
    assert judge(["a", "d"]).hint == "2 missing and 1 too many."
    assert judge("abc").verdict == WRONG and judge([]).verdict == WRONG


def test_a_function_is_compared_by_its_values_and_never_throws():
    judge = Function(lambda x: x**2, [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0, 0.0]),)])
    assert judge(lambda x: (x * x).requires_grad_())
    assert judge(lambda x: x**2 if x[0] < 2 else x).hint == "Right for 1 of 2 inputs tried."
    assert "ZeroDivisionError" in judge(lambda x: 1 / 0).hint
    assert "shape" in judge(lambda x: 1.0).hint
    assert judge(4).verdict == WRONG
    for unwritten in (lambda x: ..., lambda x: None, lambda x: (x, ...)):
        assert judge(unwritten).verdict == "open" and "returns nothing yet" in str(judge(unwritten))


def test_parts_say_which_one_is_wrong():
    judge = Parts(first_slope=Number(2), height=Number(1))
    reply = judge({"first slope": 2, "height": 50})
    assert reply.verdict == NEARLY and "first slope: right" in reply.hint and "height: not yet" in reply.hint
    assert judge({"first slope": 7, "height": 50}).verdict == WRONG
    assert "keys" in judge({"slope": 2}).hint and "keys" in judge(2).hint


@pytest.mark.parametrize("answer", [..., None, {"a": ...}, [1, ...], {"a": [None]}, {}])
def test_nothing_answered_is_open(answer):
    assert is_open(answer) and reply_to(Number(1), answer).verdict == OPEN


def test_only_right_is_true_and_no_other_reply_shows_the_number():
    judge = Number(3.4985, hint="Think of the path.")
    for answer in (..., -3.4985, 3.49851, 7, "x"):
        reply = reply_to(judge, answer)
        assert not reply and "3.4985" not in str(reply) and "3.4985" not in reply._repr_html_()


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="exercise must be one of"):
        check("ex-none", 1)


def test_every_exercise_starts_open_and_refuses_nonsense():
    for name in answers():
        assert check(name, ...).verdict == OPEN
        assert check(name, object()).verdict == WRONG, name
