"""The eleven defects of the published reference code (design.md, section 2), a test each that fails with it.

Where the full test stands beside the code it guards, this file holds the short form, by number.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_module import loss_of
from tiny import tiny_backbone
from torch.nn.functional import cross_entropy
from training_helpers import batches_of, small_config, small_module

from xalign.base.errors import ConfigError, DataError, RunError
from xalign.config.choices import Centering, Pooling
from xalign.config.schema import BenchmarkConfig
from xalign.data.collate import Tokens, tokenize
from xalign.data.parallel import ParallelCorpus, split_corpus
from xalign.data.rows import Row
from xalign.evaluation.engine.multiple_choice import Item, Questions, question_part
from xalign.evaluation.sets.demonstrations import SEPARATOR
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models import adapters
from xalign.models.backbone import evaluating
from xalign.models.export import export
from xalign.objectives.kernels.info_nce import info_nce
from xalign.objectives.kernels.linear_cross_entropy import linear_cross_entropy


def test_1_candidates_of_an_item_differ() -> None:
    same = Item(7, ("Yes or no?",) * 2, (" yes", " yes"), 0)
    with pytest.raises(DataError, match="item 7: alike candidates"):
        question_part(Questions("b", "t", "1", "en", [same]))


def test_2_no_held_out_sentence_is_trained_on_in_any_language() -> None:
    """Two English sentences may share one German translation: the split by English alone would leak it."""
    rows = [{"en": f"sentence {i}", "de": f"Satz {i % 40}", "fr": f"phrase {i}"} for i in range(120)]
    corpus = ParallelCorpus.from_rows([Row("made", row) for row in rows], "made")
    splits = split_corpus(corpus, "en", 0.1, 0.2)
    for held_out in (splits.test, splits.validation):
        assert len(held_out) > 0
        for language in held_out.languages:
            assert not set(held_out.texts(language)) & set(splits.train.texts(language))


@pytest.mark.parametrize("pooling", Pooling)
def test_3_left_and_right_padding_give_the_same_representation(pooling: Pooling) -> None:
    backbone = tiny_backbone("bloom")
    right = tokenize(backbone.tokenizer, ["short", "a longer sentence"], 64)
    shift = int(right.attention_mask.shape[1] - right.attention_mask[0].sum())
    left = Tokens(
        *(
            torch.stack([t[0].roll(shift), t[1]])
            for t in (right.input_ids, right.attention_mask, right.content_mask)
        )
    )
    with evaluating(backbone):
        torch.testing.assert_close(
            backbone.represent(left, 2, pooling), backbone.represent(right, 2, pooling), atol=1e-5, rtol=1e-4
        )


def test_4_a_head_that_would_be_lost_on_reloading_is_refused(tmp_path: Path) -> None:
    config = small_config("adapter=full", "loss.retention_weight=0")
    backbone = tiny_backbone("llama", tie_word_embeddings=True)
    adapter = adapters.attach(backbone, config.adapter)
    backbone.model.lm_head.weight = torch.nn.Parameter(backbone.model.lm_head.weight.clone())
    with pytest.raises(RunError, match="two tensors"):
        export(adapter, tmp_path / "model")


def test_5_demonstrations_and_query_have_one_form(tmp_path: Path) -> None:
    """Each of two rows is once asked and once shown, and both times it reads the same."""
    rows = [
        {"premise": f"{who} slept.", "choice1": "Night.", "choice2": "Day.", "question": "cause", "label": k}
        for k, who in enumerate(("She", "He"))
    ]
    asked, shown = [], []
    for order in (rows, rows[::-1]):
        for split, row in zip(("test", "val"), order, strict=True):
            (tmp_path / f"{split}.et.jsonl").write_text(json.dumps(row), encoding="utf-8")
        config = BenchmarkConfig(name="b", tasks=["xcopa"], path=str(tmp_path), shots=1, split="test")
        setting = Setting(config, None, None, "en", [], aligned_layer=0, seed=0)
        [part] = tasks_of(config)["xcopa"].parts(setting)
        [questions] = part.measure.args  # type: ignore[attr-defined]
        asked.append(questions.items[0].solved)
        shown.append(questions.demonstrations[0].text.removesuffix(SEPARATOR))
    assert asked == shown[::-1]


def test_6_the_loss_of_a_batch_is_that_of_each_sample_by_itself() -> None:
    config = small_config()
    module = small_module(config)
    backbone = module.backbone
    step = batches_of(config, module)
    size = 4
    assert step.material.instructions is not None
    samples = step.material.instructions.batch(0, size, 0, 1)
    assert len(samples) == size
    expected, tokens = 0.0, 0
    for sample in samples:
        prompt = backbone.tokenizer(sample.prompt)["input_ids"]
        answer = backbone.tokenizer(sample.answer, add_special_tokens=False)["input_ids"]
        answer.append(backbone.tokenizer.eos_token_id)
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logits = backbone.model(ids).logits[0, len(prompt) - 1 : -1]
        expected += float(cross_entropy(logits, ids[0, len(prompt) :], reduction="sum"))
        tokens += len(answer)
    loss = loss_of(module, step[0].parts["instruction"], "instruction")
    assert loss == pytest.approx(expected / tokens, rel=1e-5)


def test_7_only_needed_blocks_and_positions_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    module = small_module(config, layer=1)
    backbone = module.backbone
    ran: list[int] = []
    heads: list[int] = []
    for index, block in enumerate(backbone.model.get_decoder().layers):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))

    def head(hidden: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        heads.append(len(hidden))
        return linear_cross_entropy(hidden, *rest, **options)

    monkeypatch.setattr("xalign.objectives.passes.linear_cross_entropy", head)
    batch = batches_of(config, module)[0]
    loss_of(module, batch.parts["contrastive"], "contrastive")
    assert set(ran) == {0}
    assert not heads
    part = batch.parts["instruction"]
    loss_of(module, part, "instruction")
    labelled = sum(int((b.labels[:, 1:] != -100).sum()) for b in part.texts.buckets if b.labels is not None)
    assert sum(heads) == labelled


def test_8_own_rows_against_gathered_ones_add_up() -> None:
    """In one process; with real ranks in training/test_module.py."""
    x = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(8, 4, dtype=torch.float64)
    options = {
        "groups_N": torch.zeros(8), "source_keys_N": torch.arange(8), "target_keys_N": torch.arange(8),
        "tau": 0.1, "symmetric": True, "centering": Centering.language,
    }  # fmt: skip
    whole = torch.autograd.grad(info_nce(x, y, **options)[0], x)[0]  # type: ignore[arg-type]
    parts = [
        torch.autograd.grad(info_nce(x, y, rows=slice(r, r + 4), **options)[0], x)[0]  # type: ignore[arg-type]
        for r in (0, 4)
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole)


def test_9_who_asks_for_gradient_accumulation_is_told_that_it_adds_no_negatives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from xalign.cli.command_line import check
    from xalign.config.schema import Config

    monkeypatch.setattr("sys.argv", ["run", "trainer.accumulate_grad_batches=4"])
    with pytest.raises(ConfigError, match="add no negatives to a contrastive batch"):
        check("xalign.run", "config", Config)


def test_10_the_contrastive_batch_has_its_own_size() -> None:
    config = small_config("trainer.batch_size=16", "trainer.instruction_batch_size=1")
    batch = batches_of(config, small_module(config))[0]
    assert batch.pairs == 16
    assert len(batch.parts["instruction"].texts.order) == 1
    with pytest.raises(ConfigError, match=r"trainer\.batch_size=1: "):
        small_config("trainer.batch_size=1", "trainer.languages_per_batch=1")


def test_11_duplicates_are_not_negatives() -> None:
    x = torch.eye(3)
    keys = torch.tensor([5, 5, 6])
    options = {"groups_N": torch.zeros(3), "tau": 0.5, "symmetric": False, "centering": Centering.none}
    masked, _ = info_nce(x, x, source_keys_N=keys, target_keys_N=torch.arange(3), **options)  # type: ignore[arg-type]
    plain, _ = info_nce(x, x, source_keys_N=torch.arange(3), target_keys_N=torch.arange(3), **options)  # type: ignore[arg-type]
    one = torch.log(torch.exp(torch.tensor(2.0)) + 1) - 2
    two = torch.log(torch.exp(torch.tensor(2.0)) + 2) - 2
    assert float(plain) == pytest.approx(float(3 * two), rel=1e-6)
    assert float(masked) == pytest.approx(float(2 * one + two), rel=1e-6)
