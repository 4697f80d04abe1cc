"""The judges of chapter 4 against sums over the rows and integrals by a fine grid; each slip gets its own hint."""

import numpy as np
import pytest

from acelib.lab.exercises import check

ROWS = np.array([[0.0, 1.0], [1.0, 3.0]])
FINE = np.linspace(0, 2, 20_001)


def curve(alpha):
    """The mean of α² + αb over three rows, b = 0, 1, 2."""
    return np.mean([alpha**2 + alpha * b for b in (0, 1, 2)], axis=0)


def product(alpha):
    return np.mean([alpha * b for b in ROWS[:, 1]])


def test_the_right_answers_pass():
    baseline = np.trapezoid([product(a) for a in np.linspace(0, 1, 101)], dx=0.01)
    assert check("ex-reg-hand", {"regressor": product, "baseline": baseline, "ACE at 1": product(1) - baseline})
    data = curve(2) - curve(np.array([0, 1, 2])).mean()
    assert check("ex-reg-baselines", {"data": data, "mean row": curve(2) - curve(1), "difference": curve(2) - curve(0)})
    assert check("ex-reg-floor", -sum(np.log(0.1) for _ in range(19)))
    assert check("ex-reg-band", {"Bayesian": "shrinks", "sampling": "stays", "other flowers": "sampling"})
    assert check("ex-reg-joint", {"third": "moderate", "share": 0.975})


def hand(**parts):
    return {"regressor": product, "baseline": 1, "ACE at 1": 1} | {k.replace("_", " "): v for k, v in parts.items()}


def measured(**parts):
    right = {"data": 10 / 3, "mean row": 4, "difference": 6}
    return right | {k.replace("_", " "): v for k, v in parts.items()}


UNIFORM = curve(2) - np.trapezoid(curve(FINE), FINE) / 2


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("ex-reg-hand", hand(regressor=lambda a: a + 4 * a), "average the two products"),
        ("ex-reg-hand", hand(regressor=lambda a: 1 * a + 3 * a), "the sum over the rows"),
        ("ex-reg-hand", hand(regressor=lambda a: 2 * a - 1), "That is the effect"),
        ("ex-reg-hand", hand(regressor=lambda a: 3 * a), "the second row alone"),
        ("ex-reg-hand", hand(baseline=0), "not its value at the lower end"),
        ("ex-reg-hand", hand(baseline=2), "at the upper end"),
        ("ex-reg-hand", hand(ACE_at_1=2), "measured from the baseline"),
        ("ex-reg-baselines", measured(data=UNIFORM), "data: nearly. That is from the uniform baseline"),
        ("ex-reg-baselines", measured(data=4), "not the values before the curve"),
        ("ex-reg-baselines", measured(mean_row=UNIFORM), "mean row: nearly. That is from the uniform baseline"),
        ("ex-reg-baselines", measured(mean_row=10 / 3), "ask the curve once"),
        ("ex-reg-baselines", measured(difference=11 / 3), "What becomes of the baseline"),
        ("ex-reg-floor", 21 * np.log(10), "Not all of them are noise"),
        ("ex-reg-floor", 20 * np.log(10), "the signal is no noise either"),
        ("ex-reg-floor", 19, "The count is right"),
        ("ex-reg-floor", 20, "And is every number noise?"),
        ("ex-reg-band", {"Bayesian": "shrinks", "sampling": "shrinks", "other flowers": "sampling"}, "How many are"),
        ("ex-reg-band", {"Bayesian": "stays", "sampling": "stays", "other flowers": "sampling"}, "between the values"),
        ("ex-reg-band", {"Bayesian": "shrinks", "sampling": "stays", "other flowers": "Bayesian"}, "for given"),
        ("ex-reg-joint", {"third": "small", "share": 1}, "another species"),
        ("ex-reg-joint", {"third": "moderate", "share": 0}, "petal length alone"),
    ],
)
def test_a_slip_is_named(name, answer, says):
    reply = check(name, answer)
    assert reply.verdict == "nearly" and says in reply.hint


def test_far_off_is_wrong_and_no_hint_holds_the_answer():
    for answer in (3.0, 100.0):
        reply = check("ex-reg-floor", answer)
        assert reply.verdict == "wrong" and "43" not in reply.hint and "19" not in reply.hint
