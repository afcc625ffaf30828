"""XCOPA (Ponti et al. 2020): which of two sentences is the cause or the effect of a premise; zero-shot.

Prompts are those of lm-evaluation-harness 0.4.13, `xcopa_<language>`: the premise without its last
character, a connector, and the choices with a lower-case first letter.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xalign.errors import DataError, did_you_mean
from xalign.evaluation.tasks.multiple_choice import Choice
from xalign.languages import canonical

VERSION = "1"

CONNECTORS = {
    "et": ("sest", "seetõttu"),
    "ht": ("poukisa", "donk sa"),
    "id": ("karena", "maka"),
    "it": ("perché", "quindi"),
    "qu": ("imataq", "chaymi"),
    "sw": ("kwa sababu", "kwa hiyo"),
    "ta": ("காரணமாக", "எனவே"),
    "th": ("เพราะ", "ดังนั้น"),
    "tr": ("çünkü", "bu yüzden"),
    "vi": ("bởi vì", "vì vậy"),
    "zh": ("因为", "所以"),
}
"""Language -> what joins a premise with its cause, and with its effect."""

FIELDS = {"premise": str, "choice1": str, "choice2": str, "question": str, "label": int}


def choices(folder: Path, split: str, languages: Sequence[str], limit: int | None) -> list[Choice]:
    """Items of `<split>.<language>.jsonl` in `folder`; no languages: all eleven.

    Raises:
        DataError: a language that XCOPA lacks, a file that is missing or not in XCOPA's layout.
    """
    wanted = list(dict.fromkeys(canonical(code) for code in languages)) or list(CONNECTORS)
    for language in wanted:
        if language not in CONNECTORS:
            raise DataError(
                f"benchmark.languages: XCOPA has no '{language}'; it has {', '.join(CONNECTORS)}"
                f"{did_you_mean(language, CONNECTORS)}"
            )
    return [choice for language in wanted for choice in _read(folder, split, language, limit)]


def _read(folder: Path, split: str, language: str, limit: int | None) -> list[Choice]:
    path = folder / f"{split}.{language}.jsonl"
    if not path.is_file():
        raise DataError(_missing(folder, path, split, language))
    items: list[Choice] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if line.strip() and (limit is None or len(items) < limit):
                    items.append(_item(_parse(line, f"{path}, line {number + 1}"), language, number))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}") from error
    if not items:
        raise DataError(f"{path} has no items")
    return items


def _missing(folder: Path, path: Path, split: str, language: str) -> str:
    if not folder.is_dir():
        return f"benchmark.path: no folder {folder}"
    names = sorted(p.name for p in folder.glob("*.jsonl"))
    splits = sorted({name.split(".")[0] for name in names if name.endswith(f".{language}.jsonl")})
    if splits:
        return f"benchmark.split={split}: no file {path}; splits there: {', '.join(splits)}"
    return (
        f"no file {path}: benchmark.path must be a folder of XCOPA's files <split>.<language>.jsonl; "
        f"it has {', '.join(names[:12]) or 'none'}"
    )


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        doc = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(doc, dict):
        raise DataError(f"{where}: an object is wanted, not {line.strip()[:40]}")
    for key, kind in FIELDS.items():
        if key not in doc:
            raise DataError(f"{where}: no '{key}'; it has {', '.join(doc)}")
        if not isinstance(doc[key], kind) or doc[key] == "":
            raise DataError(f"{where}: '{key}' is {doc[key]!r}, wanted is a non-empty {kind.__name__}")
    if doc["question"] not in ("cause", "effect"):
        raise DataError(f"{where}: 'question' is '{doc['question']}', allowed are 'cause' and 'effect'")
    if doc["label"] not in (0, 1):
        raise DataError(f"{where}: 'label' is {doc['label']}, allowed are 0 and 1")
    return doc


def _item(doc: dict[str, Any], language: str, index: int) -> Choice:
    cause, effect = CONNECTORS[language]
    context = f"{doc['premise'].strip()[:-1]} {cause if doc['question'] == 'cause' else effect}"
    candidates = tuple(f" {text[0].lower()}{text[1:]}" for text in (doc["choice1"], doc["choice2"]))
    return Choice(language, index, "", context, candidates, doc["label"])
