"""The eleven defects of the published reference code (design.md, section 2), a test each that fails with it.

Where the full test stands beside the code it guards, this file holds the short form, by number.
"""

from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone
from training_helpers import batches_of, small_config, small_corpus, small_module

from xalign.config import Centering, Pooling
from xalign.data.collate import Tokens, tokenize
from xalign.data.datamodule import StepBatches
from xalign.data.instructions import load_instructions
from xalign.data.parallel import split_corpus
from xalign.data.sampling import PairSampler
from xalign.errors import ConfigError, DataError
from xalign.evaluation.tasks import translation_choice
from xalign.evaluation.tasks.multiple_choice import Choice, answer
from xalign.models.adapters import Adapter
from xalign.models.backbone import evaluating
from xalign.models.export import export
from xalign.objectives.contrastive import info_nce


def test_1_candidates_of_an_item_differ() -> None:
    same = Choice("en", 0, "", "Yes or no?", (" yes", " yes"), 0)
    with pytest.raises(DataError, match="alike candidates"):
        answer(tiny_backbone("llama"), [same], "b", "t", batch_tokens=64, version="1")


def test_2_no_held_out_sentence_is_trained_on_in_any_language() -> None:
    """And nothing is selected: the last checkpoint is exported, the test split is read before and after."""
    config = small_config()
    splits = split_corpus(small_corpus(120), "en", 0.1, 0.2)
    held_out = {
        text for part in (splits.validation, splits.test) for c in part.languages for text in part.texts(c)
    }
    assert held_out
    pairs = PairSampler(
        splits.train, "en", ["fr", "de"], batch_size=8, languages_per_batch=2, temperature=0.5, seed=0
    )
    instructions = load_instructions(config.instructions, config.languages, splits.train, 0)
    tokenizer = tiny_backbone("llama").tokenizer
    batches = StepBatches(config, tokenizer, pairs, instructions, 0, 1)
    for step in range(20):
        batch = batches[step]
        for part in (batch.sentences, batch.instructions, batch.retention):
            assert part is not None
            for bucket in part.buckets:
                for text in tokenizer.batch_decode(bucket.input_ids, skip_special_tokens=True):
                    assert not any(sentence in text for sentence in held_out if sentence)


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
    adapter = Adapter(backbone, config.adapter)
    backbone.model.lm_head.weight = torch.nn.Parameter(backbone.model.lm_head.weight.clone())
    with pytest.raises(AssertionError, match="two tensors"):
        export(adapter, tmp_path / "model")


def test_5_demonstrations_and_query_have_one_form() -> None:
    tested = [(f"Sentence {i}", f"Phrase {i}") for i in range(10)]
    shown = [("An example", "Un exemple"), ("Another one", "Un autre")]
    items = translation_choice.choices("fr", tested, shown, shots=2, distractors=3, limit=5, seed=0)
    for item in items:
        as_shown = item.context + item.candidates[item.gold] + "\n"
        source, target = tested[item.index]
        assert as_shown == f"{source} = {target}\n"
        assert set(item.prefix.splitlines()) == {f"{x} = {y}" for x, y in shown}


def test_6_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    config = small_config()
    module = small_module(config).eval()
    batch = batches_of(config, module)[0].instructions
    assert batch is not None
    assert sum(len(b.input_ids) for b in batch.buckets) == config.trainer.instruction_batch_size
    for bucket in batch.buckets:
        assert bucket.labels is not None
        whole, _ = module.backbone.supervised_logits(bucket)
        alone = []
        for row in range(len(bucket.input_ids)):
            length = int(bucket.attention_mask[row].sum())
            cut = [
                t[row : row + 1, :length]
                for t in (bucket.input_ids, bucket.attention_mask, bucket.content_mask, bucket.labels)
            ]
            alone.append(module.backbone.supervised_logits(Tokens(*cut))[0])
        torch.testing.assert_close(whole, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_7_only_needed_blocks_and_positions_are_computed() -> None:
    config = small_config()
    module = small_module(config, layer=1)
    backbone = module.backbone
    ran: list[int] = []
    heads: list[int] = []
    for index, block in enumerate(backbone.model.get_decoder().layers):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    backbone.model.get_output_embeddings().register_forward_hook(lambda m, i, o: heads.append(o.shape[0]))
    batch = batches_of(config, module)[0]
    module.contrastive_loss(batch)
    assert set(ran) == {0}
    assert not heads
    module.instruction_loss(batch)
    assert batch.instructions is not None
    labelled = sum(
        int((b.labels[:, 1:] != -100).sum()) for b in batch.instructions.buckets if b.labels is not None
    )
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
    from xalign.command_line import check
    from xalign.config import Config

    monkeypatch.setattr("sys.argv", ["run", "trainer.accumulate_grad_batches=4"])
    with pytest.raises(ConfigError, match="add no negatives to a contrastive batch"):
        check("config", Config)


def test_10_the_contrastive_batch_has_its_own_size() -> None:
    config = small_config("trainer.batch_size=16", "trainer.instruction_batch_size=1")
    batch = batches_of(config, small_module(config))[0]
    assert batch.pairs == 16
    assert batch.instructions is not None
    assert len(batch.instructions.order) == 1
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
