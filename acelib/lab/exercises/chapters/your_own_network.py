"""Judges of chapter 12, Your own network."""

from __future__ import annotations

from acelib.lab.exercises.judges import Choice, Judge, Members, Number, Parts

ON_LAND, WEIGHT = 1 / 3, 3.0  # share of the houses on land, and what the network adds for land and for sea alike
LEFT_OUT, PENGUINS = 5, 100
AT_35, AT_50, OVER_DOMAIN, OVER_DATA = 0.9, 0.1, 0.5, 0.6  # probabilities of Adelie

ANSWERS: dict[str, Judge] = {
    "ex-own-houses": Parts(
        category=Number(
            WEIGHT - WEIGHT,
            traps={
                WEIGHT: "This compares with a house that lies nowhere. As a category a house comes from the land.",
                WEIGHT
                * (1 - ON_LAND): "Move all houses to the sea, then all to the land; not only those that have to move.",
            },
            hint="Every house to the sea, minus every house to the land.",
        ),
        column=Number(
            WEIGHT,
            traps={
                0.0: "The column of the land does not follow: set the sea to 0, and who gets the weight of the land?",
                WEIGHT + WEIGHT * ON_LAND: "The house on land has its own weight at either value; it drops out.",
                5.0: "In this network the sea has another weight than in the text.",
            },
            hint="Write both averages over the three houses, with the column of the land left as it is.",
        ),
    ),
    "ex-own-missing": Parts(
        moves_by=Choice(
            "less", {"more": "Compare the largest move of the curves with their standard error, value by value."}
        ),
        at_most=Number(
            LEFT_OUT / PENGUINS,
            tol=1e-3,
            near=0.002,
            traps={
                LEFT_OUT / (PENGUINS - LEFT_OUT): "Close. The average of all rows has all rows in its denominator.",
                float(LEFT_OUT): "Is this in percent? A probability is asked for.",
                1.0: "One probability can move so far, but not an average in which most rows stay.",
                1 - LEFT_OUT / PENGUINS: "This is the weight of those who stay.",
            },
            hint="Write the average of all as a mixture of those who stay and those who go, and take the worst case.",
        ),
    ),
    "ex-own-additive": Parts(
        of_a_sum=Number(
            0.0,
            tol=0.01,
            traps={1.0: "Are the centred curves of a sum different from each other?"},
            hint="How do two countries' curves of income differ, if the network is a sum?",
        ),
        with_a_factor=Number(
            1.0,
            tol=0.01,
            traps={0.0: "Now income has two slopes.", 0.5: "Within either region, how different are the curves still?"},
            hint="Within the best two regions, how different are the curves still?",
        ),
        split_by=Choice(
            "continent",
            {
                "log income": "A split is by another input than the one whose effect is asked for.",
                "year": "What decides which slope a row has?",
                "log population": "What decides which slope a row has?",
            },
        ),
    ),
    "ex-own-baseline": Parts(
        changes=Choice(
            "level",
            {
                "shape": "The baseline is one number, subtracted everywhere.",
                "both": "Take the difference of the two curves. Does it depend on the bill length?",
            },
        ),
        effect_of_35=Number(
            AT_35 - OVER_DATA,
            traps={
                AT_35 - OVER_DOMAIN: "This is the effect from the average over the domain.",
                AT_35: "This is the expectation. An effect is measured from a baseline.",
                OVER_DATA - OVER_DOMAIN: "This is how far the two baselines are apart.",
            },
            hint="The expectation at 35 mm minus the average over the data.",
        ),
        difference=Number(
            AT_35 - AT_50,
            traps={
                AT_35 + AT_50 - 2 * OVER_DATA: "A difference is asked for, not a sum.",
                AT_35 - AT_50 - OVER_DATA: "The baseline is in both effects.",
                AT_35 - AT_50 - OVER_DOMAIN: "The baseline is in both effects.",
            },
            hint="Subtract the second effect from the first; what happens to the baseline?",
        ),
    ),
    "ex-own-future": Members(
        {"warning", "support"},
        hint="None of these tells. Which of them know the domain, or the table?",
    ),
}
