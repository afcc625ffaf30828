import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_templates import CHATML, TEMPLATES
from tiny import tiny_backbone

from xalign.base.errors import ConfigError, DataError
from xalign.config.choices import TaskProvider
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.engine.scoring import Request, score
from xalign.evaluation.engine.session import Session
from xalign.evaluation.harness import tasks as harness
from xalign.evaluation.prompts import PLAIN, PromptForm, Shown
from xalign.evaluation.results import Record, Result
from xalign.evaluation.task import Setting
from xalign.models.backbone import Backbone

CHOICES = ["yes", "no, never", "perhaps\nnot"]
QUESTIONS = ["Is it so", "Öffnen", "เปิด", "a b c", "x", "y z", "Datei speichern", "no"]

ANSWERS = """
doc_to_text: "{{question}}?"
doc_to_target: label
doc_to_choice: choices
"""
NOTHING_BEFORE = """
doc_to_text: ""
doc_to_target: label
doc_to_choice: choices
target_delimiter: ""
"""
CONTEXTS = """
doc_to_text: label
doc_to_target: question
doc_to_choice: choices
"""
METRICS = "metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}]"


@pytest.fixture
def lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip("lm_eval", reason="lm_eval (the extra lm-eval) is not installed")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    # The harness asks the installed packages, git and the processor about themselves: 5 s.
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda found: None)
    return module


def write_task(folder: Path, rest: str, name: str = "toy_sw") -> str:
    """A task file with its items and two demonstrations; its configuration is called `sw`."""
    rows = [{"question": q, "choices": CHOICES, "label": i % 3} for i, q in enumerate(QUESTIONS)]
    for split, own in (("shown", rows[:2]), ("asked", rows[2:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    files = {split: str(folder / f"{split}.jsonl") for split in ("shown", "asked")}
    path = folder / f"{name}.yaml"
    path.write_text(
        f"task: {name}\ndataset_path: json\ndataset_name: sw\ntest_split: asked\nfewshot_split: shown\n"
        f"fewshot_config: {{sampler: first_n}}\ndataset_kwargs: {{data_files: {json.dumps(files)}}}\n"
        f"metadata: {{version: 3.0}}\noutput_type: multiple_choice\n{METRICS}\n{rest}"
    )
    return str(path)


def ask_harness(
    lm_eval: Any, backbone: Any, task: str, shots: int, form: PromptForm = PLAIN
) -> dict[str, Any]:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=2),
        tasks=[task],
        num_fewshot=shots,
        apply_chat_template=form.chat,
        fewshot_as_multiturn=form.chat and form.turns,
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    return found


def chat_backbone() -> Backbone:
    backbone = tiny_backbone("llama", max_position_embeddings=1024)
    backbone.tokenizer.chat_template = CHATML
    return backbone


def run_task(
    task: str, shots: int | None = None, backbone: Backbone | None = None, form: PromptForm = PLAIN
) -> tuple[list[Result], list[Record]]:
    backbone = backbone or tiny_backbone("llama")
    rows, items = harness.run(backbone, [task], shots=shots, limit=None, batch_tokens=256, form=form)
    ((_, records),) = items.items()
    return rows, records


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize(
    "template", [ANSWERS, NOTHING_BEFORE, CONTEXTS], ids=["answers", "empty", "contexts"]
)
def test_figures_are_the_harness_s(template: str, shots: int, lm_eval: Any, tmp_path: Path) -> None:
    task = write_task(tmp_path, template)
    found = ask_harness(lm_eval, tiny_backbone("llama"), task, shots)
    rows, records = run_task(task, shots)
    ((name, samples),) = found["samples"].items()
    assert name == "toy_sw"
    for sample, record in zip(samples, records, strict=True):
        wanted = [value for value, _ in sample["filtered_resps"]]
        assert record["log_likelihoods"] == pytest.approx(wanted, abs=1e-4)
        assert record["index"] == sample["doc_id"]
        assert record["gold"] == (sample["doc_id"] + 2) % 3
        for own, theirs in (("", "acc"), ("_norm", "acc_norm"), ("_bytes", "acc_bytes")):
            assert (record[f"prediction{own}"] == record["gold"]) == sample[theirs]
    assert {(r.benchmark, r.language, r.n, r.shots) for r in rows} == {("toy", "sw", 6, shots)}
    assert {r.version for r in rows} == {f"3.0, lm-eval {lm_eval.__version__}"}
    figures = found["results"]["toy_sw"]
    assert [r.metric for r in rows] == ["accuracy", "accuracy_norm", "accuracy_bytes"]
    for row in rows:
        metric = row.metric.replace("accuracy", "acc")
        assert row.value == figures[f"{metric},none"]


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("template", [ANSWERS, CONTEXTS], ids=["answers", "contexts"])
def test_a_chat_is_the_harness_s(template: str, turns: bool, lm_eval: Any, tmp_path: Path) -> None:
    task, form = write_task(tmp_path, template), PromptForm(chat=True, turns=turns)
    found = ask_harness(lm_eval, chat_backbone(), task, 2, form)
    _, records = run_task(task, 2, chat_backbone(), form)
    _, plain = run_task(task, 2, chat_backbone())
    ((_, samples),) = found["samples"].items()
    for sample, record, other in zip(samples, records, plain, strict=True):
        wanted = [value for value, _ in sample["filtered_resps"]]
        assert record["log_likelihoods"] == pytest.approx(wanted, abs=1e-3)
        assert other["log_likelihoods"] != pytest.approx(wanted, abs=0.1)


def test_our_engine_gives_the_harness_s_log_likelihoods_of_a_chat(lm_eval: Any) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    backbone = chat_backbone()
    theirs = HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=2, logits_cache=False)
    requests = []
    for template in TEMPLATES.values():
        backbone.tokenizer.chat_template = template
        prompt = PromptForm(chat=True).prompt(backbone.tokenizer, [Shown("a", "b")], "Is it so?")
        requests += [Request("", prompt, answer) for answer in ("yes", "no, never", "ญb")]
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=(r.context, r.continuation), idx=i)
        for i, r in enumerate(requests)
    ]
    found = score(backbone, requests, batch_tokens=512)
    for own, wanted in zip(found, theirs.loglikelihood(asked, disable_tqdm=True), strict=True):
        assert own.log_likelihood == pytest.approx(wanted[0], abs=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text"])
def test_long_requests_and_rolling_windows(
    family: str, lm_eval: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from xalign.evaluation.harness.model import HarnessModel

    def instances(kind: str, arguments: list[tuple[str, ...]]) -> list[Any]:
        return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]

    backbone = tiny_backbone(family)
    # With its cache, 0.4.13 takes the wrong logits where equal texts are split at different places.
    theirs = HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=1, logits_cache=False)
    ours = HarnessModel(backbone, batch_tokens=512)
    text = "".join(chr(97 + i * i % 26) for i in range(300))
    # The context has 128 places: <bos>, 118 and 10 letters fit, as the last is only predicted.
    pairs = [(text[:size], text[size : size + 10]) for size in (1, 117, 118, 119, 200)]
    pairs += [(" \n", "ab"), ("", "ab"), ("", text[:128]), ("a \n", "b")]
    asked = instances("loglikelihood", pairs)
    with caplog.at_level("WARNING", logger="xalign"):
        found = ours.loglikelihood(asked)
    assert "2 of 9 requests lose their beginning" in caplog.text
    for own, wanted in zip(found, theirs.loglikelihood(asked, disable_tqdm=True), strict=True):
        assert own[0] == pytest.approx(wanted[0], abs=1e-3)
        assert own[1] == wanted[1]
    whole = instances("loglikelihood_rolling", [(text,), ("ab",)])
    assert ours.loglikelihood_rolling(whole) == pytest.approx(theirs.loglikelihood_rolling(whole), abs=1e-3)
    context = backbone.tokenizer("ab")["input_ids"]
    likeliest = int(backbone.model(torch.tensor([context])).logits[0, -1].argmax())
    assert [g for _, g in ours._loglikelihood_tokens([(None, context, [t]) for t in (likeliest, 5)])] == [
        True,
        likeliest == 5,
    ]
    with pytest.raises(DataError, match="129 tokens, allowed are 1 to 128: 'aber"):
        ours.loglikelihood(instances("loglikelihood", [("", "aber" * 32 + "x")]))


def test_other_tasks_have_their_figures_as_records(lm_eval: Any, tmp_path: Path) -> None:
    task = write_task(
        tmp_path,
        "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[label]}}'\n"
        "metric_list: [{metric: exact_match}]\ngeneration_kwargs: {until: ['x'], max_gen_toks: 2}\n",
        name="toy",
    )
    rows, records = run_task(task)
    assert [(r.benchmark, r.language, r.metric, r.value) for r in rows] == [
        ("toy", "und", "exact_match", 0.0)
    ]
    assert records[0] == {"language": "und", "index": 0, "metrics": {"exact_match": 0.0}}


def test_figures_of_several_filters_and_no_averages_of_what_is_not_averaged(
    lm_eval: Any, tmp_path: Path
) -> None:
    take = "filter: [{function: take_first}]"
    task = write_task(
        tmp_path,
        "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{choices[label]}}'\n"
        "metric_list: [{metric: exact_match}, {metric: bleu}]\n"
        "generation_kwargs: {until: ['x'], max_gen_toks: 2}\n"
        f"filter_list: [{{name: strict, {take}}}, {{name: loose, {take}}}]\n",
        name="toy",
    )
    rows, records = run_task(task)
    assert {r.metric for r in rows} == {
        f"{m}_{f}" for m in ("exact_match", "bleu") for f in ("strict", "loose")
    }
    assert len(records) == 6
    assert records[0]["metrics"] == {"exact_match_strict": 0.0, "exact_match_loose": 0.0}


@pytest.mark.parametrize(
    ("own", "asked", "shown"), [(1, None, 1), (1, 2, 2), (1, 0, 0), (None, None, 0), (None, 2, 2), (0, 2, 0)]
)
def test_the_task_s_own_shots_hold_unless_others_are_asked_for(
    own: int | None,
    asked: int | None,
    shown: int,
    lm_eval: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = write_task(tmp_path, ANSWERS + (f"num_fewshot: {own}\n" if own is not None else ""))
    options = {"shots": asked} if asked is not None else {}
    benchmark = BenchmarkConfig(name="guests", tasks=[task], provider=TaskProvider.lm_eval, **options)
    (part,) = harness.GuestTask(task).parts(Setting(benchmark, None, None, "en", [], 1, 0))
    with caplog.at_level("WARNING", logger="xalign"):
        rows = part.measure(Session(tiny_backbone("llama"), "guests", 2048), lambda count: None).results
    assert {row.shots for row in rows} == {shown}
    # A task whose own number is 0 keeps to it, as in the harness.
    assert ("benchmark.shots=2: toy_sw keeps to 0" in caplog.text) == (asked not in (None, shown))


CODE = """
from helper import ending
def ask(doc):
    return doc["question"] + ending()
"""
CHANGES = {
    "an item": ("asked.jsonl", "Datei speichern", "Datei löschen"),
    "a demonstration": ("shown.jsonl", "Is it so", "Is it not so"),
    "an included setting": ("base.yaml", "target_delimiter: ' '", "target_delimiter: ': '"),
    "a function": ("asking.py", "ending()", "ending() + '!'"),
    "what a function calls": ("helper.py", "'?'", "'.'"),
}


@pytest.mark.parametrize("shots", [None, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_the_key_in_the_cache_is_the_task_s_content(
    change: str, shots: int | None, lm_eval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked changes it, also what the task file only names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "asking.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("def ending():\n    return '?'\n")
    (tmp_path / "base.yaml").write_text(
        "doc_to_target: label\ndoc_to_choice: choices\ntarget_delimiter: ' '\n"
    )
    task = write_task(tmp_path, "include: base.yaml\ndoc_to_text: !function asking.ask\n")

    def key() -> object:
        benchmark = BenchmarkConfig(name="g", tasks=[task], provider=TaskProvider.lm_eval, shots=shots)
        (part,) = harness.GuestTask(task).parts(Setting(benchmark, None, None, "en", [], 1, 0))
        return json.dumps(part.key)

    before = key()
    assert key() == before
    file, old, new = CHANGES[change]
    text = (tmp_path / file).read_text()
    changed = json.dumps(old)[1:-1] if file.endswith("jsonl") else old
    assert changed in text
    (tmp_path / file).write_text(text.replace(changed, new))
    assert (key() == before) == (change == "a demonstration" and shots is None)


def test_mistakes_are_one_message(lm_eval: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no task 'xnli_sv'.*did you mean 'xnli_sw'"):
        harness._require_known(["xcopa_et", "xnli_sv"], ["xcopa_et", "xnli_sw"])
    task = write_task(tmp_path, ANSWERS)
    (tmp_path / "asked.jsonl").unlink()
    with pytest.raises(DataError, match=r"toy_sw.yaml' could not be loaded: .*asked.jsonl"):
        run_task(task)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match=r"pip install 'xalign\[lm-eval\]'"):
        run_task("xnli_sw")
