"""XNLI (Conneau et al. 2018): does a premise entail a hypothesis, contradict it, or neither?

`harness` is lm-evaluation-harness 0.4.13's wording, "{premise}, right? Yes, {hypothesis}" in the words of
each language, its oddities included (Arabic "number" for "no"). It is XGLM's, and `afp` is the same: the
published code left the choice out, which made all candidates equal. Burmese, which the harness lacks, is
ours.
"""

from typing import NamedTuple

from xalign.evaluation.sets.files import Layout, Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template


class Words(NamedTuple):
    """What asks for agreement, and what entailment, neither and contradiction answer."""

    right: str
    yes: str
    also: str
    no: str


WORDS = {
    "ar": Words("صحيح", "نعم", "لذا", "رقم"),
    "bg": Words("правилно", "да", "така", "не"),
    "de": Words("richtig", "Ja", "Auch", "Nein"),
    "el": Words("σωστός", "Ναί", "Έτσι", "όχι"),
    "en": Words("right", "Yes", "Also", "No"),
    "es": Words("correcto", "Sí", "Asi que", "No"),
    "fr": Words("correct", "Oui", "Aussi", "Non"),
    "hi": Words("सही", "हाँ", "इसलिए", "नहीं"),
    "my": Words("မှန်သလား", "ဟုတ်ကဲ့", "ဒါ့အပြင်", "မဟုတ်ပါ"),
    "ru": Words("правильно", "Да", "Так", "Нет"),
    "sw": Words("sahihi", "Ndiyo", "Hivyo", "Hapana"),
    "th": Words("ถูกต้อง", "ใช่", "ดังนั้น", "ไม่"),
    "tr": Words("doğru", "Evet", "Böylece", "Hayır"),
    "ur": Words("صحیح", "جی ہاں", "اس لئے", "نہیں"),
    "vi": Words("đúng", "Vâng", "Vì vậy", "Không"),
    "zh": Words("正确", "是的", "所以", "不是的"),
}

TEMPLATE = Template(
    ("",), tuple(f" {{premise}}, {{right}}? {{{word}}}, {{hypothesis}}" for word in ("yes", "also", "no"))
)


def fields(row: Row, language: str) -> dict[str, str]:
    """The texts and the language's words."""
    return {"premise": row["premise"], "hypothesis": row["hypothesis"], **WORDS[language]._asdict()}


def _codes(row: Row) -> list[str]:
    return [column.removeprefix("sentence1_") for column in row if column.startswith("sentence1_")]


def _one_of_several(row: Row, code: str) -> Row:
    texts = {"premise": row[f"sentence1_{code}"], "hypothesis": row[f"sentence2_{code}"]}
    return {**texts, "label": row["label"]}


def _original(row: Row, code: str) -> Row | None:
    texts = {"premise": row["sentence1"], "hypothesis": row["sentence2"]}
    return {**texts, "label": row["gold_label"]} if row["language"] == code else None


QUESTIONS = QuestionSet(
    source=Source(
        name="xnli",
        hub="facebook/xnli",
        languages={language: language for language in WORDS},
        layouts=(
            Layout("{language}.genre.{split}.tsv", languages=_codes, adapt=_one_of_several),
            Layout("xnli.{split}.tsv", languages=lambda row: [row["language"]], adapt=_original),
        ),
    ),
    split="validation",
    texts=(("premise",), ("hypothesis",)),
    label="label",
    labels=((0, "entailment"), (1, "neutral"), (2, "contradiction")),
    styles={"harness": TEMPLATE, "afp": TEMPLATE},
    fields=fields,
)


class Xnli(QuestionTask):
    """The set's questions."""

    label = "XNLI"
    questions = QUESTIONS


TASK = Xnli
