"""Models with positions for few tokens: lengths are lowered to them before anything is run."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_run import catalogues
from tiny import tiny_backbone
from training_helpers import small_config

from xalign.base.decisions import Decisions
from xalign.base.errors import DataError, ModelError
from xalign.config.parts import TaskConfig
from xalign.config.schema import BenchmarkConfig, Config
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks.retrieval import Retrieval
from xalign.evaluation.tasks.translation_choice import TranslationChoice
from xalign.models.backbone import Backbone
from xalign.models.context import within_context
from xalign.models.packing import packs_exactly
from xalign.runs.planner import make_plan


def few_positions(limit: int) -> Backbone:
    return tiny_backbone("gpt2", n_positions=limit)


def lengths(config: Config) -> dict[str, int]:
    assert config.validation is not None
    own = {
        "loss.objectives": config.loss.objectives,
        "benchmark.options": config.benchmark.options,
        "validation.options": config.validation.options,
    }
    found = {f"{k}.{n}": getattr(o, "max_length", 0) for k, parts in own.items() for n, o in parts.items()}
    return {"trainer": config.trainer.max_length} | {key: length for key, length in found.items() if length}


@pytest.fixture
def config() -> Config:
    return small_config("benchmark@validation=heldout", "trainer.evaluate_every=2", "benchmark.max_length=70")


def test_every_length_is_lowered_and_each_is_a_decision(config: Config) -> None:
    decisions = Decisions()
    before = lengths(config)
    assert len(before) == 7
    found = lengths(within_context(config, few_positions(48), decisions))
    assert found == dict.fromkeys(before, 48)
    assert {line["what"]: line["reason"] for line in decisions.made} == {
        "loss.objectives.instruction.max_length": "lowered from 256: the model has positions for 48 tokens",
        "loss.objectives.retention.max_length": "lowered from 96: the model has positions for 48 tokens",
        "trainer.max_length": "lowered from 64: the model has positions for 48 tokens",
        **{
            f"{key}.options.{task}.max_length": f"lowered from {was}: the model has positions for 48 tokens"
            for key, was in (("benchmark", 70), ("validation", 64))
            for task in ("retrieval", "mexa")
        },
    }


@pytest.mark.parametrize(("family", "changes"), [("gpt2", {"n_positions": 300}), ("bloom", {})])
def test_lengths_within_the_context_stay(family: str, changes: dict[str, int], config: Config) -> None:
    decisions = Decisions()
    assert within_context(config, tiny_backbone(family, **changes), decisions) == config
    assert decisions.made == []


def test_a_model_for_a_few_tokens_is_refused(config: Config) -> None:
    with pytest.raises(ModelError, match="positions for 8 tokens only; at least 16 are needed"):
        within_context(config, few_positions(8), Decisions())


@pytest.mark.parametrize("limit", [20, 64, 100])
def test_a_run_is_prepared_and_stepped(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, packing, batches and the steps themselves stay within the model's positions."""
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    backbone = few_positions(limit)
    backbone.model.save_pretrained(tmp_path / "gpt2")
    backbone.tokenizer.save_pretrained(tmp_path / "gpt2")
    catalogues(tmp_path / "corpus")
    config = small_config(f"model.path={tmp_path / 'gpt2'}", "data=files", f"data.path={tmp_path / 'corpus'}")
    plan = make_plan(replace(config, validation=None))
    assert plan.seconds is not None
    assert plan.tokens["instruction"] <= limit * 4


def test_packing_is_tried_within_the_context() -> None:
    assert packs_exactly(few_positions(20))


def words(limit: int, tasks: list[str]) -> tuple[Backbone, Setting]:
    texts = ["save the changes", "open a file", "close every page", "the group is new", "a user came in"]
    rows = [Row("made", {"en": f"{text} now", "de": f"{text} jetzt"}) for text in texts]
    corpus = ParallelCorpus.from_rows(rows, "made")
    own: dict[str, TaskConfig] = {
        "retrieval": Retrieval.Config(max_length=limit),
        "translation_choice": TranslationChoice.Config(shots=0),
    }
    config = BenchmarkConfig(name="made", tasks=tasks, options=own, shots=0)
    return few_positions(limit), Setting(config, corpus, corpus, "en", ["de"], aligned_layer=1, seed=0)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("translation_choice", r"translation_choice, de, item 0: a candidate alone .* as 5 of 5 items' do"),
        ("translation", "leave no room in the model's context of 20"),
    ],
)
def test_items_that_do_not_fit_are_found_before_anything_is_run(
    task: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    backbone, setting = words(20, ["retrieval", task])
    monkeypatch.setattr(Backbone, "represent_all_layers", lambda *_: pytest.fail("something was run"))
    with pytest.raises(DataError, match=message):
        evaluate(backbone, setting, model="m", dtype=torch.float32)


def test_long_texts_are_cut_or_run_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    backbone, setting = words(16, ["retrieval", "bits_per_byte"])
    with caplog.at_level(logging.WARNING):
        found = evaluate(backbone, setting, model="m", dtype=torch.float32).evaluation.results
    assert {row.metric for row in found} >= {"retrieval@1", "bits_per_byte"}
