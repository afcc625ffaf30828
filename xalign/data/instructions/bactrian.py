"""Bactrian-X's layout (Li et al. 2023): records of id, instruction, input and output in each language.

In a folder or a repository of the hub, one file a language (`zh.json`, `data/zh.json.gz`; a JSON array, or
JSON lines); or one configuration a language of a set on the hub. Records are joined by their id.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.base.errors import DataError
from xalign.data.instructions.base import RowSource
from xalign.data.instructions.files import ENDINGS
from xalign.data.rows import InstructionRow, Turn

if TYPE_CHECKING:
    from xalign.config.text import InstructionsConfig

Placed = tuple[str, Mapping[str, object]]
"""Where a record stands, for messages, and the record."""


def read(config: "InstructionsConfig", languages: Sequence[str]) -> Iterator[InstructionRow]:
    """Rows of `instructions.path`, or else of `instructions.hub`, in the given languages."""
    from xalign.data.instructions.files import in_folder

    records: Iterable[tuple[str, Iterable[Placed]]]
    if config.path is not None:
        files = in_folder(config.path, ENDINGS, languages)
        records = ((code, _records(path, f"'{path}'")) for code, path in files.items())
    else:
        assert config.hub is not None  # as `RowSource.problems` sees to
        records = _on_hub(config.hub, config.hub_revision, languages)
    turns: dict[str, dict[str, Turn]] = {}
    for code, own in records:
        for place, record in own:
            identity, turn = _turn(place, record)
            turns.setdefault(identity, {})[code] = turn
    for identity, by_language in turns.items():
        yield InstructionRow(identity, by_language)


def _on_hub(
    name: str, revision: str | None, languages: Sequence[str]
) -> Iterator[tuple[str, Iterable[Placed]]]:
    from xalign.data import on_hub as hub
    from xalign.data.instructions.files import files_by_language, require_languages

    repository = hub.Repository(name, "instructions", revision)
    files = files_by_language(repository.files, ENDINGS)
    if files:
        require_languages(files, languages, repository.place, ENDINGS)
        for code in languages:
            yield code, _records(repository.fetch(files[code]), f"'{files[code]}' of '{name}'")
        return
    for code in languages:
        rows = hub.load(name, code, "train", "instructions", revision)
        place = f"{name}, configuration {code}"
        yield code, ((f"{place}, row {number}", row) for number, row in enumerate(rows))


def _records(path: Path, name: str) -> Iterator[Placed]:
    from xalign.data.readers.files import read_text

    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise DataError(f"{name} is not JSON: {error}") from None
        yield from ((f"{name}, record {number}", record) for number, record in enumerate(content))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"{name}, line {number}", json.loads(line)
            except ValueError as error:
                raise DataError(f"{name}, line {number}: not a JSON object: {error}") from None


def _turn(place: str, record: Mapping[str, object]) -> tuple[str, Turn]:
    try:
        turn = Turn(str(record["instruction"]), str(record.get("input") or ""), str(record["output"]))
        return str(record["id"]), turn
    except (KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{place}: needs id, instruction, input and output (missing: {error})") from None


SOURCE = RowSource(read, hub=True)
