"""PAWS-X (Yang et al. 2019): do two sentences mean the same?

`harness` is lm-evaluation-harness 0.4.13's wording: "{sentence1}, right? Yes, {sentence2}" in the words of
each language, no space before it. In four languages it also mends the sentences: spaces around marks go,
as do the first one's last mark and the second one's capital, and rows without a sentence are left out.
`afp` (Li et al. 2024, after XGLM) takes the sentences as they stand.
"""

import re
from typing import NamedTuple

from xalign.evaluation.sets.files import Layout, Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template


class Words(NamedTuple):
    """What asks for agreement, and the answers for different and for equal meaning."""

    right: str
    no: str
    yes: str


WORDS = {
    "de": Words("richtig", "Nein", "Ja"),
    "en": Words("right", "No", "Yes"),
    "es": Words("verdad", "No", "Sí"),
    "fr": Words("n'est-ce pas", "Non", "Oui"),
    "ja": Words("ですね", "いいえ", "はい"),
    "ko": Words("맞죠", "아니요", "예"),
    "zh": Words("对吧", "不是", "是"),
}

MENDED = {"de", "en", "es", "fr"}


def fields(row: Row, language: str) -> dict[str, str] | None:
    """The sentences as they stand, as the harness mends them (`first`, `second`), and the words."""
    first, second = row["sentence1"], row["sentence2"]
    if language in MENDED:
        if not first or not second:
            return None
        first, second = _detokenise(first), _detokenise(second)
        first = first[:-1] if first.endswith((".", ",", ";")) else first
        second = second[:1].lower() + second[1:]
    words = WORDS[language]._asdict()
    return {
        "sentence1": row["sentence1"],
        "sentence2": row["sentence2"],
        "first": first,
        "second": second,
    } | words


def _detokenise(text: str) -> str:
    for apart, joined in ((" n't", "n't"), (" )", ")"), ("( ", "("), ('" ', '"'), (' "', '"')):
        text = text.replace(apart, joined)
    return re.sub(r" (['.,])", r"\1", text).strip()


def _template(first: str, second: str) -> Template:
    return Template(
        ("",), tuple(f"{{{first}}}, {{right}}? {{{word}}}, {{{second}}}" for word in ("no", "yes"))
    )


QUESTIONS = QuestionSet(
    source=Source(
        name="pawsx",
        hub="google-research-datasets/paws-x",
        languages={language: language for language in WORDS},
        layouts=(Layout("{language}/{split}.tsv"),),
    ),
    split="test",
    texts=(("sentence1",), ("sentence2",)),
    label="label",
    labels=((0, "0"), (1, "1")),
    styles={"harness": _template("first", "second"), "afp": _template("sentence1", "sentence2")},
    fields=fields,
    parallel=False,
    empty_texts=True,
)


class PawsX(QuestionTask):
    """The set's questions."""

    label = "PAWS-X"
    questions = QUESTIONS


TASK = PawsX
