"""One's own instructions, of any language each: the layout of Alpaca, ShareGPT, messages or aya, or columns
that are named.

In a file of JSON (lines or an array), each record an instruction with its answer. Records with the same id in
several languages are one instruction; most files have one language, and so no cross-lingual samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.base.languages import canonical, is_language
from xalign.data.instructions.base import (
    STREAM,
    InstructionSample,
    InstructionSampler,
    asked_sample,
    part_of_rank,
)
from xalign.data.rows import InstructionRow, Turn

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.parallel import ParallelCorpus

NAMES: Mapping[str, tuple[str, ...]] = {
    "instruction": ("instruction", "inputs", "question", "prompt", "query"),
    "input": ("input", "context"),
    "output": ("output", "targets", "response", "answer", "completion"),
    "language": ("language", "lang", "language_code", "locale"),
    "id": ("id",),
}
"""What a record's columns are called, the first that is there; `instructions.columns` names others."""
TURNS = ("messages", "conversations")
USERS, ASSISTANTS = ("user", "human"), ("assistant", "gpt", "bot", "model")


def read(path: Path, columns: Mapping[str, str], default: str) -> list[InstructionRow]:
    """The instructions of a file, in order; records without a language are in the `default` one.

    Raises:
        DataError: a record has no instruction or no answer, or its language is none.
    """
    from xalign.data.readers.jsonl import records_of

    turns: dict[str, dict[str, Turn]] = {}
    for place, record in records_of(path):
        language = _text(record, "language", columns) or default
        if not is_language(language):
            raise DataError(f"{place}: '{language}' is no language")
        turn = _turn(place, record, columns)
        own = _text(record, "id", columns) or place
        if canonical(language) in turns.get(own, {}):
            own = place  # ids that are not unique say nothing
        turns.setdefault(own, {})[canonical(language)] = turn
    return [InstructionRow(own, by_language) for own, by_language in turns.items()]


def _turn(place: str, record: Mapping[str, object], columns: Mapping[str, str]) -> Turn:
    for name in TURNS:
        conversation = record.get(name)
        if isinstance(conversation, list):
            return _first_exchange(place, conversation)
    instruction, output = (_text(record, part, columns) for part in ("instruction", "output"))
    if not instruction or not output:
        lacking = "output" if instruction else "instruction"
        raise DataError(
            f"{place}: no {lacking} (it has: {', '.join(record)}); name its column, as in "
            f"instructions.columns={{{lacking}: NAME}}"
        )
    return Turn(instruction, _text(record, "input", columns) or "", output)


def _first_exchange(place: str, conversation: Sequence[object]) -> Turn:
    """What a user says first, and the answer to it."""
    said: str | None = None
    for turn in conversation:
        if not isinstance(turn, Mapping):
            continue
        who, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if who in USERS and isinstance(text, str):
            said = text
        elif who in ASSISTANTS and isinstance(text, str) and said:
            return Turn(said, "", text)
    raise DataError(f"{place}: a conversation without a user's turn and an answer to it")


def _text(record: Mapping[str, object], part: str, columns: Mapping[str, str]) -> str | None:
    names = (columns[part],) if part in columns else NAMES[part]
    value = next((record[name] for name in names if record.get(name) is not None), None)
    return None if value is None else str(value).strip()


class OwnInstructions:
    """`{instruction} {input} Answer in {language}: {output}`; where a row has several languages, with
    probability `p_cross` asked in another than it is answered in, one of both the pivot where it has it."""

    def __init__(
        self,
        rows: Sequence[InstructionRow],
        languages: "LanguagesConfig",
        config: "InstructionsConfig",
        seed: int,
    ) -> None:
        from xalign.data.sampling import language_probabilities

        self.pivot, self.config, self.seed = languages.pivot, config, seed
        wanted = (languages.pivot, *languages.targets)
        self.rows = {code: [row for row in rows if code in row.turns] for code in wanted}
        self.rows = {code: own for code, own in self.rows.items() if own}
        if not self.rows:
            have = ", ".join(sorted({code for row in rows for code in row.turns})) or "none"
            raise ConfigError(
                [f"instructions.path={config.path}: no instruction in {', '.join(wanted)} (it has: {have})"]
            )
        self.languages = list(self.rows)
        counts = [len(own) for own in self.rows.values()]
        self.probabilities = language_probabilities(counts, languages.temperature)

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        return part_of_rank(self._draw, [self.seed, step, STREAM], size, rank, ranks)

    def texts(self, language: str) -> Iterator[str]:
        for row in self.rows.get(language, ()):
            turn = row.turns[language]
            yield from filter(None, (turn.instruction, turn.input, turn.output))

    def _draw(self, rng: "np.random.Generator") -> InstructionSample:
        source = answer = str(rng.choice(self.languages, p=self.probabilities))
        rows = self.rows[answer]
        turns = rows[int(rng.integers(len(rows)))].turns
        others = sorted(code for code in turns if code in self.rows and code != answer)
        cross, swap = rng.random() < self.config.p_cross, rng.random() < self.config.p_swap
        if others and cross:
            other = self.pivot if self.pivot in others else others[int(rng.integers(len(others)))]
            source, answer = (answer, other) if swap else (other, answer)
        return asked_sample(turns[source], turns[answer], source, answer)


class _Records:
    """A file of records."""

    def problems(self, config: "InstructionsConfig") -> Iterator[str]:
        if config.hub:
            yield f"instructions.hub={config.hub}: instructions.source=records is read from a file"
        elif not config.path:
            yield "instructions.path: required, but not given (the file of instructions.source=records)"
        for part in config.columns:
            if part not in NAMES:
                hint = did_you_mean(part, NAMES)
                yield f"instructions.columns.{part}: must be one of {', '.join(NAMES)}{hint}"

    def load(
        self,
        config: "InstructionsConfig",
        languages: "LanguagesConfig",
        corpus: "ParallelCorpus",
        seed: int,
    ) -> InstructionSampler:
        assert config.path is not None
        rows = read(Path(config.path).expanduser(), config.columns, languages.pivot)
        return OwnInstructions(rows, languages, config, seed)


SOURCE = _Records()
