"""What readers yield: rows of parallel text and of parallel instructions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One meaning in several languages."""

    source: str
    """Where it comes from: a package or file name."""
    texts: dict[str, str]
    """Canonical language code -> text."""
    fault: str | None = None
    """Why the source itself marks the row as unusable ('fuzzy', 'obsolete'); such rows are only counted."""
    corpus: str | None = None
    """Which of several corpora it is of."""
    message: str = ""
    """Of a row that could not be read: where, and why."""


UNREADABLE = "unreadable"
"""The fault of what could not be read and is passed over (`data.on_error=skip`)."""


@dataclass(frozen=True)
class Turn:
    """An instruction, what it is about (may be empty), and the answer, all in one language."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class InstructionRow:
    """One instruction in several languages."""

    source: str
    """Where it comes from: the record's id."""
    turns: dict[str, Turn]
    """Canonical language code -> the instruction in that language."""
