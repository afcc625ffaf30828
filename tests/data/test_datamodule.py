import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from chat_templates import chat_tokenizer
from tiny import tiny_backbone
from training_helpers import small_config, small_corpus
from transformers import PreTrainedTokenizerBase

from xalign.config.schema import Config
from xalign.data.collate import IGNORED, Buckets
from xalign.data.datamodule import AlignmentData, StepBatches
from xalign.data.instructions import load_instructions
from xalign.data.prefetch import Prefetched
from xalign.data.sampling import sampler_of
from xalign.data.step import StepBatch
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.training.prepare import make_objectives

OWN_TEXTS = [f"own text {i}" for i in range(9)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


def data(*overrides: str) -> AlignmentData:
    return made(small_config(*overrides), byte_tokenizer())


def made(config: Config, tokenizer: PreTrainedTokenizerBase) -> AlignmentData:
    corpus, samplers = small_corpus(), make_objectives(config, tiny_backbone("llama"), 2)
    return AlignmentData(
        config,
        tokenizer,
        sampler_of(config, corpus),
        samplers,
        instructions=load_instructions(config.instructions, config.languages, corpus, config.seed),
        own_texts=OWN_TEXTS,
        cached_sentences=any(sampler.needs.pairs for sampler in samplers.values()),
    )


def rows(part: Buckets) -> list[tuple[list[int], list[int] | None]]:
    """Ids and labels of each text, in the batch's order."""
    found = []
    for bucket in part.buckets:
        for i, length in enumerate(bucket.attention_mask.sum(1).tolist()):
            labels = None if bucket.labels is None else bucket.labels[i, :length].tolist()
            found.append((bucket.input_ids[i, :length].tolist(), labels))
    return [found[i] for i in part.order.tolist()]


def digest(batches: StepBatches) -> str:
    hashed = hashlib.sha256()
    for step in range(6):
        parts = batches[step].parts
        keys = [parts["contrastive"].numbers[name].tolist() for name in ("language", "source", "target")]
        texts = [rows(parts[name].texts) for name in ("contrastive", "instruction", "retention")]
        text = repr([step, *texts, *keys])
        hashed.update(text.encode())
    return hashed.hexdigest()[:16]


def test_a_chat_model_s_instructions_are_conversations_and_sentences_are_not() -> None:
    overrides = ("instructions=few_shot", "instructions.template=chat", "instructions.system=Hi")
    config = small_config(
        *overrides, "trainer.retention_few_shot_fraction=1", "trainer.retention_own_fraction=0"
    )
    parts = made(config, chat_tokenizer()).batches(0, 1)[0].parts
    tokenizer = chat_tokenizer()
    opening = tokenizer("<bos><|system>Hi<eos>\n<|user>", add_special_tokens=False)["input_ids"]
    for ids, labels in rows(parts["instruction"].texts):
        assert ids[: len(opening)] == opening
        assert labels is not None
        own = tokenizer.decode([label for label in labels if label != IGNORED])
        # Every answer with its mark, and nothing of a question.
        assert own.endswith("<eos>")
        assert own.count("<eos>") == tokenizer.decode(ids).count("<|assistant>")
        assert "<|" not in own
    assert all(ids[: len(opening)] == opening for ids, _ in rows(parts["retention"].texts))
    assert not any(ids[: len(opening)] == opening for ids, _ in rows(parts["contrastive"].texts))


@pytest.mark.parametrize(
    ("rank", "ranks", "expected"),
    [(0, 1, "99ece09c9466a7a2"), (0, 2, "1fbcc7934a5f5a05"), (1, 2, "bd183b4bf16afee2")],
)
@pytest.mark.parametrize("cached", [True, False])
def test_the_batches_of_a_seed_stay_what_they_are(rank: int, ranks: int, expected: str, cached: bool) -> None:
    """Whether ids come from the cache or are made on the fly."""
    batches = data().batches(rank, ranks)
    if not cached:
        batches.material = replace(batches.material, tokens=None)
    assert digest(batches) == expected


class Probe(pl.LightningModule):
    """Notes the steps it is given; may stop in one of them."""

    def __init__(self, next_step: int = 0, stop_at: int | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.next_step, self.stop_at = next_step, stop_at
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[int] = []
        self.waited: list[float] = []
        self.threads: set[str] = set()

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        self.seen.append(batch.step)
        self.threads |= {thread.name for thread in threading.enumerate()}
        self.waited.append(self.trainer.datamodule.waited)  # type: ignore[attr-defined]
        if batch.step == self.stop_at:
            raise KeyboardInterrupt

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([self.weight], 0.1)


def trainer(path: Path) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=path,
        max_epochs=1,
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def makers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("start", [0, 3, 6])
def test_training_takes_every_step_from_the_next_one_on(start: int, tmp_path: Path) -> None:
    probe = Probe(next_step=start)
    runner = trainer(tmp_path)
    runner.fit(probe, data())
    assert probe.seen == list(range(start, 6))
    assert start == 6 or any(name.startswith("batches") for name in probe.threads)
    assert all(0 <= seconds < 5 for seconds in probe.waited)
    assert not makers()


def test_an_interrupted_run_leaves_no_thread(tmp_path: Path) -> None:
    probe = Probe(stop_at=1)
    with pytest.raises(SystemExit):
        trainer(tmp_path).fit(probe, data())
    assert probe.seen == [0, 1]
    assert not makers()


def test_a_batch_that_cannot_be_made_stops_the_run_with_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = StepBatches.__getitem__

    def broken(self: StepBatches, step: int) -> StepBatch:
        if step == 3:
            raise ValueError("no such row")
        return whole(self, step)

    monkeypatch.setattr(StepBatches, "__getitem__", broken)
    probe = Probe()
    with pytest.raises(ValueError, match="no such row"):
        trainer(tmp_path).fit(probe, data())
    assert probe.seen == [0, 1]  # Lightning asks for one batch more than it gives
    assert not makers()


def test_no_tokens_are_kept_that_no_loss_needs() -> None:
    assert data("loss.contrastive_weight=0").material.tokens is None


def test_where_something_measures_meanwhile_batches_have_a_tokenizer_of_their_own() -> None:
    """Padding and truncation are kept in the tokenizer: set by one thread, they cut the other's texts."""
    shared = byte_tokenizer()
    beside = made(small_config("benchmark@validation=heldout", "trainer.evaluate_every=3"), shared)
    assert beside.material.tokenizer.backend_tokenizer is not shared.backend_tokenizer  # type: ignore[attr-defined]
    alone = made(small_config(), shared)
    assert alone.material.tokenizer is shared
    assert digest(beside.batches(0, 1)) == digest(alone.batches(0, 1))


def test_after_an_error_the_thread_ends_though_a_traceback_holds_the_iterator() -> None:
    found = data()
    found.loader = Prefetched(found.batches(0, 1).__getitem__, range(6))
    held = iter(found.loader)
    assert next(held).step == 0
    assert makers()
    found.on_exception(RuntimeError())
    assert not makers()
