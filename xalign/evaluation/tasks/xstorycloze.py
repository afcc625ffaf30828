"""XStoryCloze (Lin et al. 2022): which of two sentences ends a story of four?

The wording is lm-evaluation-harness 0.4.13's, the sentences and no words of its own; `afp` is the same.
"""

from xalign.evaluation.sets.files import Layout, Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template

LANGUAGES = ("ar", "en", "es", "eu", "hi", "id", "my", "ru", "sw", "te", "zh")

STORY = tuple(f"input_sentence_{k}" for k in (1, 2, 3, 4))
ENDINGS = ("sentence_quiz1", "sentence_quiz2")

TEMPLATE = Template(
    (" ".join(f"{{{column}}}" for column in STORY),), tuple(f" {{{column}}}" for column in ENDINGS)
)


def _published(row: Row, code: str) -> Row:
    """The authors' tables have the hub's columns, but for the English one, which is StoryCloze's own."""
    if "InputSentence1" not in row:
        return row
    story = {column: row[f"InputSentence{k}"] for k, column in enumerate(STORY, 1)}
    endings = {column: row[f"RandomFifthSentenceQuiz{k}"] for k, column in enumerate(ENDINGS, 1)}
    return {**story, **endings, "answer_right_ending": row["AnswerRightEnding"]}


QUESTIONS = QuestionSet(
    source=Source(
        name="xstorycloze",
        hub="juletxara/xstory_cloze",
        languages={language: language for language in LANGUAGES},
        splits={"train": "train", "validation": "eval"},
        layouts=(Layout("spring2016.val.{language}.tsv.split_20_80_{split}.tsv", adapt=_published),),
    ),
    split="validation",
    texts=(*((column,) for column in STORY), ENDINGS),
    label="answer_right_ending",
    labels=((1, "1"), (2, "2")),
    styles={"harness": TEMPLATE, "afp": TEMPLATE},
)


class XStoryCloze(QuestionTask):
    """The set's questions."""

    label = "XStoryCloze"
    questions = QUESTIONS


TASK = XStoryCloze
