"""The embedded model on two sharded ranks: losses of one process; killed, resumed, loaded by transformers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from test_run import catalogues
from transformers import AutoModelForCausalLM, AutoTokenizer

from xalign.base.cache import cache_dir

ROOT = Path(__file__).parents[2]
"""Whose code the runs are to execute, whatever is installed."""

STEPS = 4
COMMON = (
    "data.path=corpus", "languages.targets=[fr,de]", "languages.unseen=[]", "trainer.languages_per_batch=2",
    f"trainer.steps={STEPS}", "trainer.checkpoint_every=2", "trainer.precision=fp32", "loss.layer=4",
    "trainer.micro_batch=512", "benchmark.tasks=[retrieval]", "benchmark.limit=4", "logger=none",
    "trainer.retention_own_fraction=0", "trainer.threads=1",
)  # fmt: skip
METHODS = {
    "lora": [],
    "full": ["adapter=full", "loss.retention_weight=0", "optimizer.lr=1e-5"],
}


def batches(ranks: int) -> list[str]:
    """As many texts of all ranks together, however many there are."""
    return [
        f"trainer.batch_size={8 // ranks}", f"trainer.instruction_batch_size={4 // ranks}",
        f"trainer.retention_batch_size={4 // ranks}", f"trainer.retention_tokens={32 // ranks}",
    ]  # fmt: skip


def start(place: Path, folder: str, *overrides: str) -> subprocess.Popen[bytes]:
    # Imported in the test's own environment: the cache with the model is the user's.
    with (place / f"{folder}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "xalign.run", f"run.dir={folder}", *COMMON, *overrides],
            cwd=place, stdout=log, stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


def finish(place: Path, folder: str, *overrides: str) -> list[dict[str, float]]:
    assert start(place, folder, *overrides).wait(timeout=600) == 0, (place / f"{folder}.log").read_text()
    lines = (place / folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def kill_after_a_checkpoint(place: Path, folder: str, *overrides: str) -> None:
    process = start(place, folder, *overrides)
    checkpoints = place / folder / "checkpoints"
    while not list(checkpoints.glob("step-*[0-9]")):
        assert process.poll() is None, (place / f"{folder}.log").read_text()
        time.sleep(0.1)
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    process.wait()
    assert _steps(place / folder) < STEPS


def _steps(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_gemma_on_two_sharded_ranks(method: str, tmp_path: Path) -> None:
    if not list(cache_dir().glob("models/gemma3_270m-*")):
        pytest.skip("the embedded model is not in the cache")
    catalogues(tmp_path / "corpus")
    one = finish(tmp_path, "one", *METHODS[method], *batches(1))
    sharded = [*METHODS[method], *batches(2), "strategy=fsdp", "trainer.devices=2"]
    kill_after_a_checkpoint(tmp_path, "two", *sharded)
    two = finish(tmp_path, "two", *sharded)

    assert [line["step"] for line in two] == list(range(1, STEPS + 1))
    for a, b in zip(two, one, strict=True):
        for key in [key for key in b if key.startswith("loss")]:
            print(b["step"], key, b[key], a[key])
            assert a[key] == pytest.approx(b[key], rel=1e-4, abs=1e-5), (b["step"], key)
    logits = []
    for run in ("one", "two"):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / run / "model")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / run / "model", dtype=torch.float32)
        with torch.no_grad():
            logits.append(model(**tokenizer("Please open the file", return_tensors="pt")).logits)
        del model
    assert float((logits[0] - logits[1]).norm() / logits[0].norm()) < 1e-3
