"""Judges of chapter 1, Attribution bias."""

from __future__ import annotations

from acelib.lab.exercises.judges import Judge, Number, Parts

ANSWERS: dict[str, Judge] = {
    "ex-ab-third": Parts(
        IG=Number(
            (3 - 2) * (50 + 2) / 2,
            traps={50.0: "Average the slope over the path; at its end alone it is 50."},
            hint="The path runs from [2, 2] to [3, 50]. What is the mean of b along it?",
        ),
        ACE=Number(
            (3 - 5) * 50.0,
            traps={3 * 50.0: "Measure from the baseline, the mean over the range of areas."},
            hint="Only the area and the population count: E[y given do(a = 3)] minus the baseline.",
        ),
    ),
}
