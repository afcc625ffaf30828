"""Triplets of natural language inference: a premise, what follows from it, what contradicts it."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from xalign.base.errors import DataError

COLUMNS = (("premise", "hypothesis", "label"), ("sentence1", "sentence2", "gold_label"))
LABELS = {"entailment": 0, "0": 0, "contradiction": 1, "contradictory": 1, "2": 1}


def triplets_of(path: Path) -> list[tuple[str, str, str]]:
    """(premise, entailment, contradiction) of every premise that has both, as many as the rarer of them.

    Raises:
        DataError: no file, a column that is missing, or no triplet at all.
    """
    files = (
        sorted(f for f in path.rglob("*") if f.suffix in (".tsv", ".csv", ".jsonl"))
        if path.is_dir()
        else [path]
    )
    if not files:
        raise DataError(f"{path}: no .tsv, .csv or .jsonl file")
    found: dict[str, tuple[list[str], list[str]]] = {}
    for file in files:
        for premise, hypothesis, label in _rows(file):
            side = LABELS.get(label)
            if side is not None and premise.strip() and hypothesis.strip():
                found.setdefault(premise.strip(), ([], []))[side].append(hypothesis.strip())
    triplets = [
        (premise, entailed, contradicting)
        for premise, (entailments, contradictions) in found.items()
        for entailed, contradicting in zip(entailments, contradictions, strict=False)
    ]
    if len(triplets) < 2:
        raise DataError(
            f"{path}: {len(triplets)} premises with an entailment and a contradiction; two are needed"
        )
    return triplets


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix == ".jsonl":
                rows: Iterator[dict[str, object]] = (json.loads(line) for line in lines if line.strip())
                first = next(rows, {})
            else:
                if file.suffix == ".tsv":
                    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
                else:
                    rows = csv.DictReader(lines)
                first = next(rows, {})
            names = next((own for own in COLUMNS if all(name in first for name in own)), None)
            if names is None:
                wanted = " or ".join(", ".join(own) for own in COLUMNS)
                raise DataError(
                    f"{file}: no columns {wanted}; there are {', '.join(map(str, first)) or 'none'}"
                )
            for number, row in enumerate((first, *rows), 1):
                if not isinstance(row, dict) or any(row.get(name) is None for name in names):
                    raise DataError(f"{file}, record {number}: must have {', '.join(names)}")
                premise, hypothesis, label = (str(row[name]) for name in names)
                yield premise, hypothesis, label.strip().lower()
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataError(f"{file}: damaged ({error})") from None
