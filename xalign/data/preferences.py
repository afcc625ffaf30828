"""Preferences of people or models: a prompt, the answer that is preferred, and one that is not."""

from dataclasses import dataclass
from pathlib import Path

from xalign.base.errors import DataError
from xalign.data.readers.jsonl import records_of
from xalign.data.readers.records import Record

COLUMNS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Preference:
    """Plain texts; the answers begin where the prompt ends."""

    prompt: str
    chosen: str
    rejected: str


def preferences_of(path: Path) -> list[Preference]:
    """The records of a JSON file, lines or an array, with `prompt`, `chosen` and `rejected`: texts, or
    conversations, of which the last turn is the answer and what stands before it, where there is no `prompt`,
    the prompt (the layouts of TRL).

    Raises:
        DataError: a record lacks one of them, or answers are the same throughout.
    """
    found = []
    for place, record in records_of(path):
        chosen, rejected = (_answer(record.get(name)) for name in COLUMNS[1:])
        prompt = record.get("prompt")
        text = _prompt(prompt) or _prompt(record.get("chosen"), without_last=True)
        if chosen is None or rejected is None or not text:
            have = ", ".join(record)
            raise DataError(
                f"{place}: must have {', '.join(COLUMNS)} as texts or conversations (has: {have})"
            )
        if chosen != rejected:
            found.append(Preference(text, chosen, rejected))
    if not found:
        raise DataError(f"'{path}' holds no preference: chosen and rejected differ nowhere")
    return found


def _answer(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    turns = _turns(value)
    return turns[-1].strip() or None if turns else None


def _prompt(value: object, without_last: bool = False) -> str:
    if isinstance(value, str):
        return "" if without_last else value.strip()
    turns = _turns(value)
    return "\n\n".join(turns[:-1] if without_last else turns).strip()


def _turns(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    turns: list[Record] = [own for own in value if isinstance(own, dict)]
    return [own["content"] for own in turns if isinstance(own.get("content"), str)]  # type: ignore[misc]
