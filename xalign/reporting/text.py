"""What was found in parallel text, for people: tables on the terminal and a picture."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xalign.base.languages import english_name
from xalign.data.inspection import Inspection, LanguageFound
from xalign.data.rows import UNREADABLE

SHORTCUT = 0.3
"""Retrieval by shortcuts from which on a language is marked."""
BROKEN = 5
"""Files that could not be read that are named; the others are counted."""


def print_inspection(found: Inspection, console: Console | None = None) -> None:
    """Sources, languages, what was dropped, samples, and what to make of it."""
    console = console or Console(highlight=False)
    console.print(_sources(found))
    for path, why in list(found.passed_over.items())[:BROKEN]:
        console.print(f"  [yellow]passed over[/] {escape(path)}: {escape(why)}")
    if len(found.passed_over) > BROKEN:
        more = len(found.passed_over) - BROKEN
        console.print(f"  [yellow]passed over[/] {more} more (all are in output=FILE)")
    for source in found.sources:
        if source.problem:
            console.print(f"  [red]not read to its end[/] {escape(source.problem)}")
    for message in found.report.examples.get(UNREADABLE, []):
        console.print(f"  [red]unreadable[/] {escape(message)}")
    console.print()
    console.print(_languages(found))
    if found.report.dropped:
        console.print()
        console.print(_dropped(found))
    console.print()
    console.print(_samples(found))
    for line in notes(found):
        console.print(f"- {escape(line)}")


def notes(found: Inspection) -> list[str]:
    """What a person should know before training on it."""
    lines = [
        f"{found.rows_read:,} rows read, {found.rows_kept:,} kept with {found.report.kept:,} pairs "
        f"({sum(found.report.dropped.values()):,} dropped)"
    ]
    for code, own in found.found.items():
        if code == found.pivot:
            continue
        name = english_name(code)
        if own.shortcuts and own.shortcuts["together"] >= max(SHORTCUT, 20 * own.shortcuts["chance"]):
            lines.append(
                f"{name}: {own.shortcuts['together']:.0%} of its translations are found by equal digits, "
                "equal words and length alone; a contrastive loss may learn these"
            )
        lost = sum(own.dropped.values())
        if lost > own.rows:
            lines.append(f"{name}: more pairs are dropped ({lost:,}) than kept ({own.rows:,})")
        if own.ratio is not None and not 0.25 < own.ratio < 4:
            lines.append(f"{name}: its sentences have {own.ratio:.1f} times the characters of the pivot's")
        if own.rows < 200:
            lines.append(f"{name}: {own.rows:,} pairs are few to train on")
    return lines


def _sources(found: Inspection) -> Table:
    table = _table("Source", "Layout", "Rows read")
    for source in found.sources:
        table.add_row(escape(source.name), source.format, f"{source.rows_read:,}")
    return table


def _languages(found: Inspection) -> Table:
    found_by = ("Found by digits", "words", "length", "all")
    table = _table("Language", "Rows", "Characters 5–50–95 %", "Ratio", *found_by)
    for code, own in found.found.items():
        shares = [own.shortcuts.get(name) for name in ("digits", "words", "length", "together")]
        table.add_row(
            f"{english_name(code)} ({code})",
            f"{own.rows:,}",
            "–".join(f"{value:.0f}" for value in own.characters),
            "" if own.ratio is None else f"{own.ratio:.2f}",
            *("" if share is None else f"{share:.2f}" for share in shares),
        )
    return table


def _dropped(found: Inspection) -> Table:
    table = _table("Dropped", "Pairs", "Most in", "For example")
    for reason, count in sorted(found.report.dropped.items(), key=lambda item: -item[1]):
        by_language = {c: own[reason] for c, own in found.report.by_language.items() if reason in own}
        most = max(by_language, key=by_language.__getitem__) if by_language else ""
        example = next(iter(found.report.examples.get(reason, [])), "")
        table.add_row(reason, f"{count:,}", most, escape(_short(example, 80)))
    return table


def _samples(found: Inspection) -> Table:
    table = _table("", english_name(found.pivot), "Translation")
    for code, own in found.found.items():
        for x, y in own.samples:
            table.add_row(code, escape(_short(x, 60)), escape(_short(y, 60)))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        number = name in ("Rows", "Rows read", "Pairs", "Ratio", "words", "length", "all") or "Found" in name
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def draw_inspection(found: Inspection, path: Path) -> None:
    """Pairs, lengths against the pivot's, and what is found by shortcuts, a language a line."""
    from xalign.base.drawing import AFTER, BEFORE, applied, new_figure

    own: dict[str, LanguageFound] = {c: f for c, f in found.found.items() if c != found.pivot}
    with applied():
        figure = new_figure(9, max(2.5, 0.35 * len(own) + 1.2))
        places = np.arange(len(own))
        names = [english_name(code) for code in own]
        axes = figure.subplots(1, 3, sharey=True)
        axes[0].barh(places, [f.rows for f in own.values()], color=AFTER)
        axes[0].set_title("pairs")
        axes[1].barh(places, [f.ratio or 0 for f in own.values()], color=AFTER)
        axes[1].set_title("length ratio")
        axes[2].barh(places, [f.shortcuts.get("together", 0) for f in own.values()], color=BEFORE)
        axes[2].set_title("found by shortcuts")
        axes[2].set_xlim(0, 1)
        axes[0].set_yticks(places, names)
        axes[0].invert_yaxis()
        figure.savefig(path)
