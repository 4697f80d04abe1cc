"""The teaching guide's generated parts: two courses, minutes section by section, and what to expect in each chapter.

The words stand in ``book/course.toml``; titles, sections, minutes and exercises are read from the chapters.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.marks import between
from tools.minutes import RULE, Section, Task, sections

COURSE_MARKS = {
    name: (f"<!-- {name}: written by the press -->", f"<!-- end of {name} -->")
    for name in ("courses", "minutes", "expectations")
}
CONTENT = Sequence[tuple[str, str, Any]]


class Chapters:
    """What a course takes from the chapters: titles, sections with their minutes, exercises, figures.

    Args:
        content: (file stem, title, notebook) of each chapter, in the book's order.
    """

    def __init__(self, content: CONTENT) -> None:
        self.titles = {stem: name for stem, name, _ in content}
        self.sections = {stem: sections(notebook) for stem, _, notebook in content}
        every = [task for parts in self.sections.values() for part in parts for task in part.exercises]
        self.exercises: dict[str, Task] = {task.label: task for task in every}
        self.figures = {
            stem: {cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") for cell in notebook["cells"]}
            for stem, _, notebook in content
        }

    def chapter_link(self, stem: str) -> str:
        """Return a link to a chapter by its title."""
        return f"[{self.titles[self.known(stem, self.titles, 'a chapter')]}]({stem}.ipynb)"

    def section_link(self, stem: str, name: str) -> str:
        """Return a link to a section; to the top of its chapter for the chapter's own title."""
        from docutils.nodes import make_id

        self.read(stem, [name])
        said = "the opening" if name == self.titles[stem] else name
        return f'<a href="{stem}.html#{make_id(name)}">{said}</a>'

    def read(self, stem: str, names: Sequence[str] = ()) -> list[Section]:
        """Return the named sections of a chapter; without names all but those of exercises and verdict cards.

        Raises:
            ValueError: for a section that the chapter does not have.
        """
        parts = {part.title: part for part in self.sections[self.known(stem, self.sections, "a chapter")]}
        chosen = names or [name for name in parts if name not in ("Exercises", "Paper against ours")]
        return [parts[self.known(name, parts, f"a section of {stem}")] for name in chosen]

    def reading(self, sources: Iterable[Sequence[str]]) -> int:
        """Return the minutes of a session's reading: each source is a chapter and some of its sections, or none."""
        return round(sum(part.minutes for stem, *names in sources for part in self.read(stem, names)))

    def doing(self, labels: Iterable[str]) -> int:
        """Return the minutes of some exercises."""
        return sum(self.exercises[self.known(label, self.exercises, "an exercise")].minutes for label in labels)

    @staticmethod
    def known(name: str, among: Iterable[str], what: str) -> str:
        """Return the name.

        Raises:
            ValueError: if it is not among these.
        """
        if name not in among:
            raise ValueError(f"book/course.toml must name {what} that exists, got {name!r}; correct the name")
        return name


def teaching_page(text: str, root: Path, content: CONTENT) -> str:
    """Return the teaching guide with its generated parts; a page without their marks comes back as it is."""
    if not all(mark in text for marks in COURSE_MARKS.values() for mark in marks):
        return text
    table = tomllib.loads((root / "book/course.toml").read_text(encoding="utf-8"))
    chapters = Chapters(content)
    parts = {
        "courses": [line for plan in table["plans"].values() for line in plan_lines(plan, chapters)],
        "minutes": minute_lines(chapters),
        "expectations": expectation_lines(table["chapters"], chapters),
    }
    for name, lines in parts.items():
        text = between(COURSE_MARKS[name], lines, text, "book/teaching.md")
    return text


def plan_lines(plan: Mapping[str, Any], chapters: Chapters) -> list[str]:
    """Return a course as Markdown: a table of its sessions with their minutes, then each session."""
    lines = [f"## {plan['title']}", "", plan["about"], ""]
    lines += ["| Session | Reading | In the session | At home |", "|---|---:|---:|---:|"]
    told, sums = [], [0, 0, 0]
    for number, session in enumerate(plan["sessions"], 1):
        times = [
            chapters.reading(session["read"]),
            *map(chapters.doing, (session["exercises"], homework(session, chapters))),
        ]
        sums = [a + b for a, b in zip(sums, times, strict=True)]
        lines.append(f"| {number}. {session['title']} | " + " | ".join(f"{time} min" for time in times) + " |")
        told += _session(number, session, chapters)
    hours = " | ".join(f"{time / 60:.1f} h" for time in sums)
    return [*lines, f"| together | {hours} |", "", *told]


def _session(number: int, session: Mapping[str, Any], chapters: Chapters) -> list[str]:
    lines = [f"**{number}. {session['title'].rstrip('?')}{'?' if session['title'].endswith('?') else '.'}**", ""]
    needs = ", ".join(map(chapters.chapter_link, session["needs"])) or "nothing but the front page"
    for stem, *names in session["read"]:
        links = [
            f"{chapters.section_link(stem, part.title)} ({part.minutes:.0f})" for part in chapters.read(stem, names)
        ]
        said = f": {', '.join(links)}." if names else ", the whole chapter."
        lines.append(f"- Read {chapters.chapter_link(stem)}{said}")
    lines.append(f"- It needs {needs}.")
    lines.append(f"- In the session: {_tasks(session['exercises'])}. At home: {_tasks(homework(session, chapters))}.")
    return [*lines, ""]


def homework(session: Mapping[str, Any], chapters: Chapters) -> list[str]:
    """Return the exercises that a session leaves for home; ``"rest"`` stands for all others of its chapters."""
    if session["homework"] != "rest":
        return list(session["homework"])
    every = [task.label for stem, *_ in session["read"] for part in chapters.sections[stem] for task in part.exercises]
    return [label for label in every if label not in session["exercises"]]


def _tasks(labels: Sequence[str]) -> str:
    return ", ".join(f"{{ref}}`{label}`" for label in labels) or "none"


def minute_lines(chapters: Chapters) -> list[str]:
    """Return the minutes of every section of every chapter, and the rule by which they were counted."""
    lines = [f"The rule: {RULE}. Hidden code, solutions and figures are not counted.", ""]
    for stem, parts in chapters.sections.items():
        whole, tasks = sum(part.minutes for part in parts), [t for part in parts for t in part.exercises]
        name = f"{list(chapters.titles).index(stem) + 1}. {chapters.titles[stem]}"
        lines += [f":::{{dropdown}} {name}: {whole:.0f} minutes of reading, {_sum(tasks)} of exercises", ""]
        lines += ["| Section | Words | Lines | Minutes |", "|---|---:|---:|---:|"]
        lines += [
            f"| {chapters.section_link(stem, part.title)} | {part.words} | {part.lines} | {part.minutes:.1f} |"
            for part in parts
        ]
        lines += [f"| {{ref}}`{task.label}` | | | {task.minutes} |" for task in tasks]
        lines += [":::", ""]
    return lines


def _sum(tasks: Iterable[Task]) -> int:
    return sum(task.minutes for task in tasks)


def expectation_lines(table: Mapping[str, Mapping[str, Any]], chapters: Chapters) -> list[str]:
    """Return for every chapter what a student can do after it, a misconception with its answer, and a question."""
    lines = []
    for stem in chapters.titles:
        entry, place = table[stem], table[stem]["place"]
        if place.startswith("fig-"):
            where = f"{{numref}}`{chapters.known(place, chapters.figures[stem], f'a figure of {stem}')}`"
        else:
            where = chapters.section_link(stem, place)
        lines += [f"### {chapters.titles[stem]}", "", f"After {chapters.chapter_link(stem)} a student can", ""]
        lines += [f"- {item}{';' if item != entry['able'][-1] else '.'}" for item in entry["able"]]
        lines += ["", f"*Often thought:* {entry['wrong']} *Look at* {where}: {entry['right']}", ""]
        lines += [f"*To discuss:* {entry['ask']}", ""]
    return lines
