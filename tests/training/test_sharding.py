"""Empty passes, which ranks make to stay in step, count for nothing."""

from dataclasses import replace

import pytest
import torch
from test_exactness import assert_same, module_of, of_objective
from training_helpers import PACKED, PADDED, batches_of, small_config

from xalign.data.collate import Arrangement, Buckets
from xalign.training.sharding import _empty, in_step


def with_empty_passes(batch: Buckets) -> Buckets:
    return replace(batch, buckets=batch.buckets + 2 * (_empty(batch.buckets[0]),))


@pytest.mark.parametrize("arrangement", [PADDED, PACKED], ids=["padded", "packed"])
def test_empty_passes_count_for_nothing(arrangement: Arrangement, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config("trainer.retention_tokens=20", "loss.queue=0")
    module = module_of(config, "llama", torch.float32)
    batch = batches_of(config, module, arrangement=replace(arrangement, micro_batch=128))[0]
    wanted = {name: of_objective(module, batch, name) for name in module.objectives}
    monkeypatch.setattr("xalign.training.accumulate.in_step", with_empty_passes)
    monkeypatch.setattr("xalign.training.accumulate.is_sharded", lambda backbone: True)
    for name, value in wanted.items():
        assert_same(of_objective(module, batch, name), value, 1e-6)


def test_a_rank_by_itself_is_in_step() -> None:
    config = small_config()
    module = module_of(config, "llama", torch.float32)
    sentences = (
        batches_of(config, module, arrangement=replace(PACKED, micro_batch=128))[0].parts["contrastive"].texts
    )
    same = in_step(sentences)
    assert same.buckets == sentences.buckets
    assert [len(chunk) for chunk in same.chunks()] == [len(chunk) for chunk in sentences.chunks()]


def test_micro_batches_end_where_they_do_on_the_longest_rank() -> None:
    config = small_config()
    module = module_of(config, "llama", torch.float32)
    sentences = (
        batches_of(config, module, arrangement=replace(PACKED, micro_batch=64))[0].parts["contrastive"].texts
    )
    count = len(sentences.buckets)
    assert count > 2
    wide = replace(sentences, micro_batch=128, sizes=(64,) * (count - 1) + (128,))
    sizes = [len(chunk) for chunk in wide.chunks()]
    assert sum(sizes) == count
    assert sizes[-1] == 1
    assert max(sizes) == 2
