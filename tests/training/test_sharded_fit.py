"""Sharded training through Lightning: saving, resuming on as many ranks or fewer, what is exported."""

import os
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from test_fit import fitted
from tiny import tiny_backbone
from training_helpers import power_cut, small_config, timeless

from xalign.config.schema import Config
from xalign.models import adapters
from xalign.training.checkpoints import newest, restore_chosen

CUT = 5
"""The step at which a run dies; it saves after every second."""


def config_of(adapter: str, ranks: int, strategy: str) -> Config:
    return small_config(
        f"adapter={adapter}", f"strategy={strategy}", f"trainer.devices={ranks}",
        f"trainer.batch_size={8 // ranks}", f"trainer.instruction_batch_size={4 // ranks}",
        f"trainer.retention_batch_size={4 // ranks}", f"trainer.retention_tokens={16 // ranks}",
        "optimizer.eps=1e-4", *(("loss.retention_weight=0",) if adapter == "full" else ()),
    )  # fmt: skip


def _rank(rank: int, ranks: int, port: int, path: Path, adapter: str, whole: bool, cut: bool) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    config = config_of(adapter, ranks, "fsdp")
    if whole:
        fitted(config, path / "whole")
    if cut:
        with power_cut(CUT):
            fitted(config, path / "cut")
    else:
        fitted(config, path / "cut")


def exported(path: Path, adapter: str) -> dict[str, torch.Tensor]:
    """The trained parameters as the exporting process, which is by itself, finds them."""
    backbone = tiny_backbone("llama")
    adapters.attach(backbone, small_config(f"adapter={adapter}").adapter)
    assert restore_chosen(backbone, path / "checkpoints") == 6
    return {n: p.detach().clone() for n, p in backbone.named_parameters() if p.requires_grad}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("ranks_after", [2, 1])
def test_a_sharded_run_resumes_and_exports_what_one_rank_trains(
    adapter: str, ranks_after: int, tmp_path: Path
) -> None:
    mp.spawn(_rank, (2, free_port(), tmp_path, adapter, True, True), nprocs=2)
    found = newest(tmp_path / "cut" / "checkpoints")
    assert found is not None
    assert found.step == 4
    # Adapters are whole on every rank: the file is that of any strategy.
    assert found.state.is_dir() == (adapter == "full")
    mp.spawn(_rank, (ranks_after, free_port(), tmp_path, adapter, False, False), nprocs=ranks_after)

    whole, resumed = (exported(tmp_path / run, adapter) for run in ("whole", "cut"))
    one = fitted(config_of(adapter, 1, "single"), tmp_path / "one")
    lines = {run: timeless(tmp_path / run) for run in ("whole", "cut", "one")}
    for name, value in one.items():
        if ranks_after == 2:
            assert torch.equal(resumed[name], whole[name]), name
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)
    if ranks_after == 2:
        assert lines["cut"] == lines["whole"]
    for a, b in zip(lines["cut"], lines["one"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
