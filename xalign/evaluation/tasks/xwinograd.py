"""XWinograd (Tikhonov & Ryabinin 2021): whom does a pronoun mean? The sentence's rest decides.

Both candidates end alike and differ in what stands in the pronoun's place. `harness` is
lm-evaluation-harness 0.4.13's wording, which puts a space before the rest even where it begins with a
comma or the language has no spaces; `afp` (Li et al. 2024) leaves the sentence as it is written.
"""

import json

from xalign.evaluation.sets.files import Layout, Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template

LANGUAGES = {"en": "en", "fr": "fr", "ja": "jp", "pt": "pt", "ru": "ru", "zh": "zh"}

COLUMNS = ("language", "origin", "english", "text", "tokens", "pronoun", "candidates")
"""Of the authors' table, which has no header; the last three are JSON."""

CONTEXTS = ("{before}{option1}", "{before}{option2}")


def fields(row: Row, language: str) -> dict[str, str]:
    """What stands before and after the blank, the rest without white space around, and the options."""
    before, _, after = row["sentence"].partition("_")
    options = {"option1": row["option1"], "option2": row["option2"]}
    return {"before": before, "after": after, "rest": after.strip(), **options}


def _published(row: Row, code: str) -> Row | None:
    """A row of the authors' table: the pronoun, given by its place among the tokens, becomes a blank."""
    if row["language"] != code:
        return None
    pronoun, (begin, _), _ = json.loads(row["pronoun"])
    text, start = row["text"], 0
    for token in json.loads(row["tokens"])[:begin]:
        found = text.find(token, start)  # quotation marks are written otherwise among the tokens
        start = found + len(token) if found >= 0 else start
    start = text.index(pronoun, start)
    (first, *_, right), (second, *_, wrong) = json.loads(row["candidates"])
    if right == wrong:
        raise ValueError("of two candidates, one is right")
    return {
        "sentence": f"{text[:start]}_{text[start + len(pronoun) :]}",
        "option1": first,
        "option2": second,
        "answer": "1" if right else "2",
    }


QUESTIONS = QuestionSet(
    source=Source(
        name="xwinograd",
        hub="Muennighoff/xwinograd",
        languages=LANGUAGES,
        splits={"test": "test"},
        layouts=(
            Layout("dataset.tsv", "test", COLUMNS, lambda row: [row["language"]], _published),
            Layout("{language}.jsonl", "test"),
            Layout("test/{language}.jsonl", "test"),
        ),
    ),
    split="test",
    texts=(("sentence",), ("option1", "option2")),
    label="answer",
    labels=(("1", 1), ("2", 2)),
    styles={"harness": Template(CONTEXTS, (" {rest}",)), "afp": Template(CONTEXTS, ("{after}",))},
    fields=fields,
    parallel=False,
)


class XWinograd(QuestionTask):
    """The set's questions."""

    label = "XWinograd"
    questions = QUESTIONS


TASK = XWinograd
