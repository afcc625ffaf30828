"""Bactrian-X's layout: records of id, instruction, input and output, one file or configuration a language."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from xalign.config import InstructionsConfig
from xalign.data.readers import hub
from xalign.data.readers.files import read_text
from xalign.data.readers.instruction_files import files_by_language
from xalign.data.rows import InstructionRow, Turn
from xalign.errors import ConfigError, DataError


def read(config: InstructionsConfig, languages: Sequence[str]) -> Iterator[InstructionRow]:
    """Rows of `instructions.path` (JSON or JSONL) or `instructions.hub`, joined by id."""
    if config.path is not None:
        files = files_by_language(config.path, ["json", "jsonl"], languages)
        records = {code: _records(path) for code, path in files.items()}
    elif config.hub is not None:
        name = config.hub
        records = {
            code: (
                (f"{name}, configuration {code}, row {number}", record)
                for number, record in enumerate(hub.load(name, code, "train", key="instructions"))
            )
            for code in languages
        }
    else:
        raise ConfigError(["instructions: instructions.path or instructions.hub must be given"])
    turns: dict[str, dict[str, Turn]] = {}
    for code, stream in records.items():
        for place, record in stream:
            identity, turn = _turn(place, record)
            turns.setdefault(identity, {})[code] = turn
    for identity, by_language in turns.items():
        yield InstructionRow(identity, by_language)


def _records(path: Path) -> Iterable[tuple[str, Mapping[str, object]]]:
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise DataError(f"'{path}' is not JSON: {error}") from None
        yield from ((f"'{path}', record {number}", record) for number, record in enumerate(content))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"'{path}', line {number}", json.loads(line)
            except ValueError as error:
                raise DataError(f"'{path}', line {number}: not a JSON object: {error}") from None


def _turn(place: str, record: Mapping[str, object]) -> tuple[str, Turn]:
    try:
        turn = Turn(str(record["instruction"]), str(record.get("input") or ""), str(record["output"]))
        return str(record["id"]), turn
    except (KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{place}: needs id, instruction, input and output (missing: {error})") from None
