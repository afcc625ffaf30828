"""In every language of every set, xalign asks letter by letter what lm-evaluation-harness 0.4.13 asks, in
plain text and in a chat."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_templates import CHATML, TEMPLATES, chat_tokenizer

from xalign.config.choices import Demonstrations
from xalign.evaluation.engine.multiple_choice import Questions
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import TASKS, tasks_of
from xalign.options.composed import benchmark_of

pytest.importorskip("lm_eval", reason="lm_eval (the extra lm-eval) is not installed")

import datasets
import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

TASKS_OF_HARNESS = Path(lm_eval.__file__).parent / "tasks"
FILES = {
    "xnli": ("xnli", "xnli_"),
    "pawsx": ("paws-x", "paws_"),
    "xcopa": ("xcopa", "default_"),
    "xstorycloze": ("xstorycloze", "default_"),
    "xwinograd": ("xwinograd", "xwinograd_"),
    "belebele": ("belebele", "belebele_"),
}
"""Task -> folder of the harness's task files, and what stands in their names before the language."""

OURS_ALONE = {"xnli": {"my"}}

TEXTS = [
    "Der Hund bellt.",
    "“Ça va ?” , (dit-il) .",
    "It 's \"quoted\" ( aside ) , isn n't it ;",
    "  Ισως, ναι…  ",
    "İstanbul'da {değil} \\n %s [1, 2]",
    "他说：「不」。",
    "ẞ\u00a0weites\u2028Ende,",
    "A",
]
"""Marks, quotes, braces, capitals and white space of all kinds, to be changed by whoever changes anything."""

SHOTS = 2


def rows(name: str) -> list[dict[str, Any]]:
    """Made-up rows in the hub's columns; the first `SHOTS` are shown."""
    count = len(TEXTS)

    def text(k: int) -> str:
        return TEXTS[k % count]

    def row(i: int) -> dict[str, Any]:
        match name:
            case "xnli":
                return {"premise": text(i), "hypothesis": text(i + 3), "label": i % 3}
            case "pawsx":
                empty = {1: {"sentence1": ""}, 5: {"sentence2": ""}}.get(i, {})
                return {"id": i, "sentence1": text(i), "sentence2": text(i + 5), "label": i % 2} | empty
            case "xcopa":
                texts = {"premise": text(i), "choice1": text(i + 1), "choice2": text(i + 4)}
                return texts | {"question": ("cause", "effect")[i // 2 % 2], "label": i % 2, "idx": i}
            case "xstorycloze":
                story = {f"input_sentence_{k}": text(i + k) for k in (1, 2, 3, 4)}
                endings = {"sentence_quiz1": text(i + 5), "sentence_quiz2": text(i + 7)}
                return story | endings | {"answer_right_ending": i % 2 + 1}
            case "xwinograd":
                sentence = (f"{text(i)} _ {text(i + 1)} _!", f"_, {text(i)}", f"{text(i)}_.  ")[i % 3]
                return {"sentence": sentence, "option1": text(i + 2), "option2": text(i + 4)} | {
                    "answer": str(i % 2 + 1)
                }
            case _:
                answers = {f"mc_answer{k}": text(i + k) for k in (1, 2, 3, 4)}
                question = {"flores_passage": text(i), "question": f" {text(i + 5)}?\n"}
                return question | answers | {"correct_answer_num": str(i % 4 + 1)}

    return [row(i) for i in range(count)]


FORMS = {
    "plain": {},
    "turns": {"chat": True},
    "one turn": {"chat": True, "fewshot_as_multiturn": False},
}
"""Options of the benchmark."""

CHATS = {name: TEMPLATES[name] for name in ("chatml", "own system", "gemma", "llama 2")}


def by_harness(
    name: str, code: str, made_up: list[dict[str, Any]], shots: int, template: str, form: str
) -> list[tuple[str, str]]:
    folder, start = FILES[name]
    # PAWS-X leaves out a row in some languages, after the demonstrations are chosen.
    sets = {"shown": made_up[: SHOTS + 1], "asked": made_up[SHOTS + 1 :]}
    task = ConfigurableTask(
        config=load_yaml(TASKS_OF_HARNESS / folder / f"{start}{code}.yaml")
        | {
            "custom_dataset": lambda **_: {k: datasets.Dataset.from_list(v) for k, v in sets.items()},
            "training_split": None,
            "validation_split": "asked",
            "test_split": None,
            "fewshot_split": "shown",
            "fewshot_config": {"sampler": "first_n"},
            "num_fewshot": shots,
        }
    )
    # What `HFLM` renders with, without a model.
    theirs = SimpleNamespace(tokenizer=chat_tokenizer(template), chat_template_args={})
    chat = {
        "apply_chat_template": True,
        "fewshot_as_multiturn": form == "turns",
        "chat_template": partial(HFLM.apply_chat_template, theirs),
    }
    task.build_all_requests(**({} if form == "plain" else chat))
    return [instance.args for instance in task.instances]


def by_xalign(
    name: str, code: str, made_up: list[dict[str, Any]], folder: Path, shots: int, template: str, form: str
) -> list[tuple[str, str]]:
    own = folder / name / code
    own.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", made_up[: SHOTS + 1]), ("validation", made_up[SHOTS + 1 :])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        (own / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    config = benchmark_of(
        name=name,
        tasks=[name],
        path=str(folder / name),
        split="validation",
        shots=shots,
        demonstrations=Demonstrations.first,
        **FORMS[form],
    )
    (part,) = tasks_of(config)[name].parts(Setting(config, None, None, "en", [], 0, seed=0))
    assert isinstance(part.measure, partial)
    (questions,) = part.measure.args
    assert isinstance(questions, Questions)
    backbone: Any = SimpleNamespace(tokenizer=chat_tokenizer(template))
    return [
        (request.prefix + request.context, request.continuation)
        for item in questions.items
        for request in questions.requests(backbone, item, questions.demonstrations)
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_same_languages(name: str) -> None:
    folder, start = FILES[name]
    codes = {path.stem.removeprefix(start) for path in (TASKS_OF_HARNESS / folder).glob(f"{start}*.yaml")}
    assert set(hub_codes(name)) - OURS_ALONE.get(name, set()) == codes


@pytest.mark.parametrize("name", FILES)
def test_the_same_letters(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    made_up = rows(name)
    codes = sorted(set(hub_codes(name)) - OURS_ALONE.get(name, set()))
    # Belebele's 122 languages have one wording.
    for code in codes[:: 12 if name == "belebele" else 1]:
        theirs = by_harness(name, code, made_up, SHOTS, CHATML, "plain")
        assert by_xalign(name, code, made_up, tmp_path / code, SHOTS, CHATML, "plain") == theirs, code
        assert len(theirs) >= 3 * 2


@pytest.mark.parametrize("form", ["turns", "one turn"])
@pytest.mark.parametrize("name", FILES)
def test_the_same_letters_in_a_chat(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    made_up = rows(name)
    codes = sorted(set(hub_codes(name)) - OURS_ALONE.get(name, set()))
    # Each of a set's languages with one of the templates, with demonstrations and without.
    for number, code in enumerate(codes[:: 24 if name == "belebele" else 1]):
        template = list(CHATS.values())[number % len(CHATS)]
        for shots in (0, SHOTS):
            theirs = by_harness(name, code, made_up, shots, template, form)
            folder = tmp_path / f"{code}{shots}"
            assert by_xalign(name, code, made_up, folder, shots, template, form) == theirs, (code, shots)
            assert all("[INST]" in context or "\n" in context for context, _ in theirs)


def hub_codes(name: str) -> list[str]:
    """The configurations of the set that xalign knows."""
    return list(TASKS.load(name).questions.source.languages.values())  # type: ignore[attr-defined]
