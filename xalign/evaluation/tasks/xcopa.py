"""XCOPA (Ponti et al. 2020): which of two sentences is the cause or the effect of a premise?

`harness` is lm-evaluation-harness 0.4.13's wording: the premise without its last character, a connector,
and the choices with a lower-case first letter. `afp` (Li et al. 2024, after XGLM) takes the sentences as
they stand.
"""

from typing import NamedTuple

from xalign.evaluation.sets.files import Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template


class Words(NamedTuple):
    """What joins a premise with its cause, and with its effect."""

    cause: str
    effect: str


WORDS = {
    "et": Words("sest", "seetõttu"),
    "ht": Words("poukisa", "donk sa"),
    "id": Words("karena", "maka"),
    "it": Words("perché", "quindi"),
    "qu": Words("imataq", "chaymi"),
    "sw": Words("kwa sababu", "kwa hiyo"),
    "ta": Words("காரணமாக", "எனவே"),
    "th": Words("เพราะ", "ดังนั้น"),
    "tr": Words("çünkü", "bu yüzden"),
    "vi": Words("bởi vì", "vì vậy"),
    "zh": Words("因为", "所以"),
}


def fields(row: Row, language: str) -> dict[str, str]:
    """The sentences as they stand, as the harness changes them (`stem`, `first`, `second`), the connector."""
    first, second = (text[0].lower() + text[1:] for text in (row["choice1"], row["choice2"]))
    return {
        "premise": row["premise"],
        "choice1": row["choice1"],
        "choice2": row["choice2"],
        "stem": row["premise"].strip()[:-1],
        "first": first,
        "second": second,
        "connector": getattr(WORDS[language], row["question"]),
    }


QUESTIONS = QuestionSet(
    source=Source(
        name="xcopa",
        hub="cambridgeltl/xcopa",
        languages={language: language for language in WORDS},
        splits={"validation": "validation", "test": "test"},
    ),
    split="test",
    texts=(("premise",), ("choice1", "choice2")),
    label="label",
    labels=((0,), (1,)),
    styles={
        "harness": Template(("{stem} {connector}",), (" {first}", " {second}")),
        "afp": Template(("{premise} {connector}",), (" {choice1}", " {choice2}")),
    },
    fields=fields,
    allowed=(("question", ("cause", "effect")),),
)


class Xcopa(QuestionTask):
    """The set's questions."""

    label = "XCOPA"
    version = "2"
    questions = QUESTIONS


TASK = Xcopa
