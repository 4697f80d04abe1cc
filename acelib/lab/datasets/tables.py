"""Two tables that ship with the book as plain text, read into data frames with their own names and units.

They are here as a reader would find them, with words, missing entries and dependent rows; nothing is scaled, coded or
left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acelib._optional import optional
from acelib.lab.home import data_file

if TYPE_CHECKING:
    import pandas as pd


def load_penguins() -> pd.DataFrame:
    """Return the Palmer penguins, ``(344, 8)``: species, island, four sizes in mm and g, sex and year.

    Two penguins have no sizes, eleven no sex.

    References:
        Gorman, Williams, Fraser, Ecological sexual dimorphism and environmental variability within a community of
        Antarctic penguins (genus Pygoscelis), PLoS ONE 9(3), e90081, 2014; Horst, Hill, Gorman, palmerpenguins, 2020.

    Example:
        >>> penguins = load_penguins()
        >>> assert penguins.shape == (344, 8) and penguins["sex"].isna().sum() == 11
    """
    return _read("penguins.csv")


def load_gapminder() -> pd.DataFrame:
    """Return an excerpt of Gapminder, ``(1704, 6)``: 142 countries every five years from 1952 to 2007.

    Columns are country, continent, year, lifeExp (years), pop (people) and gdpPercap (US dollars, adjusted for
    inflation). The twelve rows of a country are dependent.

    References:
        Gapminder, gapminder.org; Bryan, gapminder: data from Gapminder, an R package, 2017.

    Example:
        >>> table = load_gapminder()
        >>> assert table.shape == (1704, 6) and table["country"].nunique() == 142
    """
    return _read("gapminder.csv")


def _read(name: str) -> pd.DataFrame:
    pd = optional("pandas", "a data frame")
    return pd.read_csv(data_file("tables", name))
