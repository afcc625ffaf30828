"""Ranks that shard a model leave its weights in the file until they take their parts, and compute alike."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from rank_cases import process_group, whole
from tiny import tiny_backbone
from training_helpers import small_config

from xalign.config.schema import ModelConfig
from xalign.data.collate import tokenize
from xalign.models import adapters
from xalign.models.backbone import Backbone, evaluating
from xalign.runs.measurement import load_backbone, load_to_shard
from xalign.training.sharding import gathered, mesh_of, shard

CPU = torch.device("cpu")
TEXTS = ["One sentence", "Another one, which is longer"]


def saved(folder: Path, dtype: torch.dtype) -> ModelConfig:
    backbone = tiny_backbone("llama")
    backbone.model.to(dtype).save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return ModelConfig(name="stored", path=str(folder))


def logits_of(backbone: Backbone) -> torch.Tensor:
    tokens = tokenize(backbone.tokenizer, TEXTS, 40)
    with evaluating(backbone):
        return backbone.logits_at(tokens, tokens.content_mask.bool())


def _rank(rank: int, ranks: int, path: Path, model: ModelConfig, adapter: str, replicate: int) -> None:
    torch.set_num_threads(1)
    config = small_config(
        f"adapter={adapter}", "strategy=fsdp", f"trainer.devices={ranks}", f"strategy.replicate={replicate}"
    )
    with process_group(rank, ranks, path / "meeting"):
        backbone = load_to_shard(model, CPU, 0)
        made = adapters.attach(backbone, config.adapter, config.seed, layer=2)
        shard(backbone, mesh_of("cpu", replicate), config.strategy, made.whole())
        with gathered(backbone, config.strategy):
            logits = logits_of(backbone)
        values = {n: whole(p.detach()) for n, p in backbone.named_parameters()}
        if rank == ranks - 1:
            torch.save({"logits": logits, "values": values}, path / "found.pt")


@pytest.mark.parametrize(
    ("adapter", "dtype", "replicate"),
    [("lora", torch.bfloat16, 1), ("full", torch.float32, 1), ("full", torch.bfloat16, 2)],
)
def test_shards_of_stored_weights_are_those_of_the_whole_model(
    adapter: str, dtype: torch.dtype, replicate: int, tmp_path: Path
) -> None:
    model = saved(tmp_path / "model", dtype)
    mp.spawn(_rank, (2, tmp_path, model, adapter, replicate), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)

    backbone = load_backbone(model, CPU, 0)
    config = small_config(f"adapter={adapter}")
    adapters.attach(backbone, config.adapter, config.seed, layer=2)
    torch.testing.assert_close(found["logits"], logits_of(backbone), rtol=1e-5, atol=1e-6)
    values = dict(backbone.named_parameters())
    assert set(values) == set(found["values"])
    for name, value in found["values"].items():
        assert value.dtype == torch.float32
        assert torch.equal(value, values[name]), name


def test_weights_stay_in_their_file(tmp_path: Path) -> None:
    for dtype in (torch.bfloat16, torch.float32):
        backbone = load_to_shard(saved(tmp_path / str(dtype), dtype), CPU, 0)
        assert {p.dtype for p in backbone.parameters()} == {dtype}
    backbone = load_to_shard(saved(tmp_path / "meta", torch.float32), torch.device("meta"), 0)
    assert backbone.device.type == "meta"  # where it will run
