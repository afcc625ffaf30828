"""Parallel question answering in SQuAD's layout (`xquad.<language>.json`) as instructions.

Question = instruction, context = input, first answer = output; joined by the question's id.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.base.errors import DataError
from xalign.data.instructions.base import RowSource
from xalign.data.rows import InstructionRow, Turn

if TYPE_CHECKING:
    from xalign.config.text import InstructionsConfig


def read(config: "InstructionsConfig", languages: Sequence[str]) -> Iterator[InstructionRow]:
    """Rows of `instructions.path` in the given languages; a question may lack some of them."""
    from xalign.data.instructions.files import in_folder

    assert config.path is not None  # as `RowSource.problems` sees to
    turns: dict[str, dict[str, Turn]] = {}
    for code, path in in_folder(config.path, ["json"], languages).items():
        for question, turn in _questions(path):
            turns.setdefault(question, {})[code] = turn
    for question, by_language in turns.items():
        yield InstructionRow(question, by_language)


def _questions(path: Path) -> Iterator[tuple[str, Turn]]:
    from xalign.data.readers.files import read_text

    try:
        content = json.loads(read_text(path))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answer = asked["answers"][0]["text"]
                    yield asked["id"], Turn(asked["question"], paragraph["context"], answer)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"'{path}' is not in SQuAD's layout: {error!r}") from None


SOURCE = RowSource(read)
