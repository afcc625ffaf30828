"""Benchmarks in their published files as rows with the hub's columns, and as tasks of lm-evaluation-harness.

The readers share nothing with xalign's, on purpose: what is compared is computed twice.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

Row = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """`template` is the harness's own task file of a language, below lm_eval/tasks."""

    languages: tuple[str, ...]
    template: str
    read: Callable[[Path, str], list[Row]]


def xcopa(data: Path, language: str) -> list[Row]:
    with (data / "xcopa" / f"val.{language}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def xnli(data: Path, language: str) -> list[Row]:
    # The Burmese file holds the English side too.
    names = ["entailment", "neutral", "contradiction"]
    rows = _table(data / "xnli" / f"{'my' if language == 'en' else language}.genre.dev.tsv")
    return [
        {
            "premise": row[f"sentence1_{language}"],
            "hypothesis": row[f"sentence2_{language}"],
            "label": names.index(row["label"]),
        }
        for row in rows
    ]


def pawsx(data: Path, language: str) -> list[Row]:
    rows = _table(data / "pawsx" / language / "dev_2k.tsv")
    return [row | {"id": int(row["id"]), "label": int(row["label"])} for row in rows]


def xwinograd(data: Path, language: str) -> list[Row]:
    rows = []
    with (data / "xwinograd" / "dataset.tsv").open(encoding="utf-8", newline="") as file:
        for code, _, _, sentence, tokens, pronoun, candidates in csv.reader(
            file, delimiter="\t", quoting=csv.QUOTE_NONE
        ):
            if code == language:
                first, last = json.loads(pronoun)[1]
                begin, end = _characters(sentence, json.loads(tokens), first, last)
                (one, _, _, right), (two, _, _, _) = json.loads(candidates)
                rows.append(
                    {
                        "sentence": f"{sentence[:begin]}_{sentence[end:]}",
                        "option1": one,
                        "option2": two,
                        "answer": "1" if right else "2",
                    }
                )
    return rows


SETS = {
    "xcopa": Set(
        ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"), "xcopa/default_{}.yaml", xcopa
    ),
    "xnli": Set(("sw", "ur", "en"), "xnli/xnli_{}.yaml", xnli),
    "pawsx": Set(("en", "de", "zh"), "paws-x/paws_{}.yaml", pawsx),
    "xwinograd": Set(("fr", "pt", "zh"), "xwinograd/xwinograd_{}.yaml", xwinograd),
}
"""XNLI is without Burmese, for which the harness has no template."""


def write(rows: list[Row], shots: int, folder: Path) -> None:
    """The first `shots` rows as `train.jsonl`, the others as `validation.jsonl`: none is asked and shown."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, own in (("train", rows[:shots]), ("validation", rows[shots:])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in own)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


def harness_task(name: str, language: str, shots: int, folder: Path) -> ConfigurableTask:
    """The harness's task, its templates untouched, on the files of `folder`; `train.jsonl` is shown."""
    path = Path(lm_eval.__file__).parent / "tasks" / SETS[name].template.format(language)
    splits = ["validation", *(["train"] if shots else [])]
    return ConfigurableTask(
        config=load_yaml(path)
        | {
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {split: str(folder / f"{split}.jsonl") for split in splits}},
            "training_split": None,
            "validation_split": "validation",
            "test_split": None,
            "fewshot_split": "train" if shots else None,
            "fewshot_config": {"sampler": "first_n"},
            "num_fewshot": shots,
        }
    )


def _table(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _characters(sentence: str, tokens: list[str], first: int, last: int) -> tuple[int, int]:
    """Where tokens [first, last) begin and end in their sentence."""
    end, spans = 0, []
    for token in tokens[:last]:
        word = token.strip()
        # Quotation marks are written otherwise among the tokens.
        begin = sentence.find(word, end)
        if begin >= 0:
            end = begin + len(word)
        spans.append((begin, end))
    return spans[first][0], spans[-1][1]
