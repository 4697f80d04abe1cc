"""Judges of chapter 5, Axioms."""

from __future__ import annotations

from typing import Any

import torch

from acelib.lab.exercises.judges import Choice, Function, Judge, Members, Number, Parts
from acelib.lab.exercises.replies import NEARLY, RIGHT, WRONG, Reply
from acelib.lab.exercises.slips import Slips


def tell_apart(answer: Any) -> Reply:
    """Judge a function of two inputs: do Shapley values and integrated gradients differ at [1, 1], from zero?

    The Shapley value is the mean over both orders; the integral along the path is a sum over 400 midpoints.

    Example:
        >>> assert tell_apart(lambda x: x[:, 0] ** 2 * x[:, 1])
        >>> assert tell_apart(lambda x: x[:, 0] * x[:, 1]).verdict == "nearly"
    """
    if not callable(answer):
        return Reply(WRONG, "A function of rows is asked for: its name, without calling it.")
    dtype = next(iter(answer.parameters()), torch.zeros(())).dtype if hasattr(answer, "parameters") else torch.float64
    corners = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=dtype)
    middles = ((torch.arange(400, dtype=dtype) + 0.5) / 400)[:, None].repeat(1, 2).requires_grad_()
    try:
        none, first, second, whole = answer(corners).detach().flatten().tolist()
        (slopes,) = torch.autograd.grad(answer(middles).sum(), middles)
    except Exception as error:  # whatever the reader's code raises is told, not thrown
        return Reply(WRONG, f"On rows of the shape (n, 2) it stops with {type(error).__name__}: {error}")
    by_orders = torch.tensor([first - none + whole - second, second - none + whole - first]) / 2
    by_path = slopes.mean(0)
    apart = (by_orders - by_path).abs().max().item()
    if apart > 0.01:
        return Reply(RIGHT)
    if by_orders.abs().max() < 0.01:
        return Reply(NEARLY, "Both methods give nothing here: let the function change on the way to [1, 1].")
    return Reply(NEARLY, "On this one they agree. The orders see the ends only; let it bend on the way between them.")


SHIFT_HINT = "Shift the inputs and take the shift off in the first bias. What does a slope notice of it?"
MEAN_A, MEAN_B, BOTH = 2.0, 4.0, 3.0  # of the exercise on the repair: the means, and the value that both inputs have

ANSWERS: dict[str, Judge] = {
    "ex-axiom-yours": Members(
        {"dummy", "input invariance"}, hint=f"A mean of gradients is silent where all of them are zero. {SHIFT_HINT}"
    ),
    "ex-axiom-repair": Parts(
        changed=Choice(
            "symmetry",
            {
                "completeness": "What interacts is counted twice, from either baseline.",
                "sensitivity": "One input alone moves from the baseline: that is seen, wherever the baseline is.",
                "dummy": "An input that the function does not read changes nothing, whatever replaces it.",
                "implementation": "It asks for outputs alone, from either baseline.",
                "implementation invariance": "It asks for outputs alone, from either baseline.",
                "input invariance": "That is the one which the repair is for. Which other?",
            },
        ),
        a=Number(
            BOTH * BOTH - MEAN_A * BOTH,
            traps={
                BOTH * BOTH: "That is occlusion by zero; put a at its mean.",
                (BOTH - MEAN_A) * MEAN_B: "Occlusion leaves the other input at its own value, not at its mean.",
            },
            hint="What is the function at [3, 3], and what is left when a alone is put at its mean?",
        ),
        b=Number(
            BOTH * BOTH - BOTH * MEAN_B,
            traps={
                BOTH * BOTH: "That is occlusion by zero; put b at its mean.",
                (BOTH - MEAN_B) * MEAN_A: "Occlusion leaves the other input at its own value, not at its mean.",
            },
            hint="What is the function at [3, 3], and what is left when b alone is put at its mean?",
        ),
    ),
    "ex-axiom-units": Parts(
        **{
            "gradient": Choice("changes", {"stays": "A slope is an output per unit. Which unit?"}),
            "gradient × input": Choice(
                "stays", {"changes": "The slope goes one way by the factor. Which way does the input go?"}
            ),
            "ACE": Choice("stays", {"changes": "Rows, domain and value all get the factor. Which output changes?"}),
            "per inch": Number(
                5 * 2.54,
                tol=0.01,
                traps={5 / 2.54: "An inch is the longer step. Does the output change more or less along it?"},
                hint="How much does the output change over one centimetre, and over 2.54 of them?",
            ),
        }
    ),
    "ex-axiom-cancel": Parts(
        largest=Slips(
            Function(
                lambda p: abs(p * 1 + (1 - p) * -1),
                [(0.5,), (0.75,), (1.0,), (0.1,)],
                hint="Write the function for b = 1 and for b = −1, weigh them by p and 1 − p, subtract the baseline.",
            ),
            {
                lambda p: p * 1 + (1 - p) * -1: "A size is asked for. What does yours give for small p?",
                lambda p: (
                    2 * abs(2 * p - 1)
                ): "That is the largest expectation; an effect is measured from the baseline.",
                lambda p: (
                    2 * (2 * p - 1)
                ): "That is the expectation at the upper end; subtract the baseline, take the size.",
                lambda p: p: "That is for the rows with b = 1 alone; the others pull the other way.",
            },
        ),
        zero_at=Number(
            1 / 2,
            traps={
                0.0: "Then b = −1 in all rows, and nothing cancels.",
                1.0: "Then b = 1 in all rows, and nothing cancels.",
            },
            hint="Gains and losses cancel where there are as many of the one as of the other.",
        ),
    ),
    "ex-axiom-half": Parts(
        a_gets=Number(
            ((3 - 1) * 2 + (3 - 1) * 6) / 2,
            tol=0.01,
            traps={
                (3 - 1) * 2.0: "That is the order in which a moves first. There is another.",
                (3 - 1) * 6.0: "That is the order in which a moves last. There is another.",
                3 * 6 - 1 * 2.0: "That is the whole change of f; b has its part in it.",
                3 * 6 / 2: "That is from the baseline zero.",
            },
            hint="Let a move before b, then after b, and take the mean of what it changes.",
        ),
        function=tell_apart,
    ),
}
