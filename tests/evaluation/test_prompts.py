"""A chat of every task that prompts: what is asked, what is scored, and what caches know of it."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from chat_templates import CHATML, GEMMA, LLAMA2, chat_tokenizer
from tiny import tiny_backbone

from xalign.base.errors import ConfigError
from xalign.config.schema import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine.generation import _encode, continue_greedily
from xalign.evaluation.engine.scoring import Request, score
from xalign.evaluation.evaluate import evaluate, session_of
from xalign.evaluation.prompts import PLAIN, PromptForm, Shown, template_key
from xalign.evaluation.rules import _benchmark_rules
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models.backbone import Backbone
from xalign.models.instruct import require_template
from xalign.options.composed import benchmark_of

TURNS, ONE_TURN = PromptForm(chat=True), PromptForm(chat=True, turns=False)
SHOWN = [Shown("a =", "b", end="\n")]
PAIRS = [(f"The dog {i} sleeps", f"Der Hund {i} schläft") for i in range(5)]


def chat_backbone(template: str = CHATML) -> Backbone:
    backbone = tiny_backbone("llama", max_position_embeddings=1024)
    backbone.tokenizer.chat_template = template
    return backbone


def setting_of(task: str, **options: object) -> Setting:
    benchmark = benchmark_of(name="made", tasks=[task], **options)
    corpus, shown = (
        ParallelCorpus.from_rows([Row("made", {"en": x, "de": y}) for x, y in pairs], "made")
        for pairs in (PAIRS, [("A cat", "Eine Katze"), ("A cow", "Eine Kuh")])
    )
    return Setting(benchmark, corpus, shown, "en", ["de"], aligned_layer=1, seed=0)


def test_forms() -> None:
    tokenizer = chat_tokenizer()
    assert PLAIN.prompt(tokenizer, SHOWN, "c =") == "a = b\nc ="
    asked = "<bos><|user>a =<eos>\n<|assistant>b<eos>\n<|user>c =<eos>\n<|assistant>"
    assert TURNS.prompt(tokenizer, SHOWN, "c =") == asked
    assert ONE_TURN.prompt(tokenizer, SHOWN, "c =") == "<bos><|user>a = b\nc =<eos>\n<|assistant>"
    assert [form.answer("d") for form in (PLAIN, TURNS, ONE_TURN)] == [" d", "d", "d"]
    assert [form.ended(tokenizer, "d") for form in (PLAIN, TURNS)] == [" d\n", "d<eos>"]
    assert len({str(form.key) for form in (PLAIN, TURNS, ONE_TURN)}) == 3
    assert len({template_key(chat_tokenizer(t)) for t in (CHATML, GEMMA, LLAMA2)}) == 3


def test_the_likelihood_of_a_reference_includes_the_end_of_its_turn() -> None:
    backbone = chat_backbone()
    setting = setting_of("translation_likelihood", likelihood_shots=2, chat=True)
    measured = evaluate(backbone, setting, model="tiny", dtype=torch.float32).evaluation
    (row,) = (own for own in measured.results if own.metric == "reference_nats_into")
    (part, _) = tasks_of(setting.benchmark)["translation_likelihood"].parts(setting)
    english = {"Eine Katze": "A cat", "Eine Kuh": "A cow"}
    shown = [Shown(f"{english[text]} =", text) for text in part.shown]
    requests = [Request("", TURNS.prompt(backbone.tokenizer, shown, f"{x} ="), f"{y}<eos>") for x, y in PAIRS]
    scores = score(backbone, requests, batch_tokens=512)
    assert len(shown) == 2
    assert row.value == pytest.approx(-sum(own.log_likelihood for own in scores) / len(PAIRS), rel=1e-4)
    plain = evaluate(
        backbone, setting_of("translation_likelihood", likelihood_shots=2), model="tiny", dtype=torch.float32
    )
    assert row.value not in [own.value for own in plain.evaluation.results]


@pytest.mark.parametrize("task", ["translation", "answer_language"])
def test_what_is_generated_from(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answered(backbone: object, prompts: list[str], limits: list[int], **options: Any) -> list[str]:
        asked.extend(prompts)
        return ["ja"] * len(prompts)

    monkeypatch.setattr("xalign.evaluation.engine.generation.continue_greedily", answered)
    setting = setting_of(task, chat=True, fewshot_as_multiturn=False, **SHOTS[task])
    part = tasks_of(setting.benchmark)[task].parts(setting)[0]
    part.check(chat_backbone())
    part.measure(session_of(chat_backbone(), setting.benchmark), lambda count: None)
    assert len(asked) == len(PAIRS)
    assert asked[0].startswith("<bos><|user>A c")
    assert asked[0].endswith("The dog 0 sleeps =<eos>\n<|assistant>")


SHOTS: dict[str, dict[str, Any]] = {"translation": {"shots": 1}, "answer_language": {"answer_shots": 1}}


def test_generation_begins_a_chat_once() -> None:
    """The template's `<bos>` is the only one."""
    backbone = chat_backbone()
    prompts = [TURNS.prompt(backbone.tokenizer, [], "x"), "x"]
    assert [row[:2].count(1) for row in _encode(backbone, prompts)] == [1, 1]
    (answer,) = continue_greedily(backbone, prompts[:1], [6], batch_tokens=99)
    ids = backbone.tokenizer(prompts[0], add_special_tokens=False)["input_ids"]
    wanted: list[int] = []
    while len(wanted) < 6 and "\n" not in backbone.tokenizer.decode(wanted):
        with torch.no_grad():
            wanted.append(int(backbone.model(torch.tensor([ids + wanted])).logits[0, -1].argmax()))
    assert answer == str(backbone.tokenizer.decode(wanted, skip_special_tokens=True)).split("\n")[0].strip()


def test_choices_in_a_chat() -> None:
    setting = setting_of("translation_choice", chat=True, choice_shots=1)
    (part,) = tasks_of(setting.benchmark)["translation_choice"].parts(setting)
    assert isinstance(part.measure, partial)
    (questions,) = part.measure.args
    backbone: Any = SimpleNamespace(tokenizer=chat_tokenizer())
    requests = questions.requests(backbone, questions.items[0], questions.demonstrations)
    assert {request.context.count("<|assistant>") for request in requests} == {2}
    assert [request.continuation for request in requests] == questions.items[0].answers
    (plain,) = tasks_of(setting_of("translation_choice").benchmark)["translation_choice"].parts(
        setting_of("translation_choice", choice_shots=1)
    )
    assert dict(part.key) != dict(plain.key)


def test_mistakes_are_one_message() -> None:
    benchmark = BenchmarkConfig(name="b", tasks=["xcopa"], chat=True)
    with pytest.raises(ConfigError, match=r"benchmark.chat=true: the tokenizer has no chat template"):
        require_template(benchmark, tiny_backbone("llama"))
    require_template(benchmark, chat_backbone())
    without = BenchmarkConfig(name="b", tasks=["xcopa"], fewshot_as_multiturn=False)
    assert list(_benchmark_rules(without, "validation")) == [
        "validation.fewshot_as_multiturn=false: needs validation.chat=true"
    ]
