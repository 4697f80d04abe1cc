"""The judge of functions with slips, against the written rule: right first, then the slip, then what Function says."""

from acelib.lab.exercises.judges import Function
from acelib.lab.exercises.slips import Slips

JUDGE = Slips(
    Function(lambda x: x**2, [(0.0,), (2.0,), (3.0,)], hint="Look at the square."),
    {lambda x: 2 * x: "That is twice the number.", lambda x: 4.0 * (x == 2): "That is one place alone."},
)


def test_right_comes_first_and_a_slip_has_its_own_words():
    assert JUDGE(lambda x: x * x)
    for slip, says in ((lambda x: x + x, "twice"), (lambda x: 4 if x == 2 else 0, "one place")):
        reply = JUDGE(slip)
        assert reply.verdict == "nearly" and says in reply.hint


def test_what_is_no_slip_gets_the_reply_of_the_function():
    assert JUDGE(lambda x: x).hint == "Right for 1 of 3 inputs tried."
    assert JUDGE(lambda x: x + 9).hint == "Look at the square."
    assert "ZeroDivisionError" in JUDGE(lambda x: 1 / 0).hint
    assert JUDGE(5).verdict == "wrong"
