"""Whole runs: on a model in few bits, and on with the adapter that it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from xalign.workspace.folder import RunFolder

SMALL = (
    "experiment=quick", "languages.targets=[fr]", "languages.unseen=[]", "data.path=pairs.tsv",
    "trainer.steps=2", "trainer.batch_size=4", "trainer.precision=fp32", "benchmark.precision=fp32",
    "benchmark.tasks=[retrieval]", "benchmark.limit=8", "loss.layer=1", "adapter.r=2",
)  # fmt: skip


def run(place: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "xalign.run", *SMALL, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "XALIGN_CACHE": str(place / "cache")},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def results(folder: Path, when: str) -> object:
    return json.loads((folder / f"evaluation/{when}.json").read_text())["results"]


def test_a_run_in_few_bits_and_one_that_goes_on_with_its_adapter(tmp_path: Path) -> None:
    rows = [f"Please open the file number {i} now\touvrez le fichier {i * 7} maintenant" for i in range(150)]
    (tmp_path / "pairs.tsv").write_text("en\tfr\n" + "\n".join(rows))
    first = tmp_path / "first"
    said = run(tmp_path, "model.quantization=int8", "run.dir=first")
    assert "matrices in int8" in said
    before = json.loads((first / "evaluation/before.json").read_text())
    after = json.loads((first / "evaluation/after.json").read_text())
    assert before["model"].endswith(" in int8")
    assert after["model"].endswith(" in int8")
    model = AutoModelForCausalLM.from_pretrained(first / "model")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    # Exported, but not yet measured: measured as it was trained, in few bits.
    RunFolder(first).done.unlink()
    for path in (first / "evaluation").glob("after*"):
        path.unlink()
    run(tmp_path, "model.quantization=int8", "run.dir=first")
    assert results(first, "after") == after["results"]
    # The adapter alone is what a second run begins with.
    run(tmp_path, "model.quantization=int8", "run.dir=second", "adapter.path=first/model/adapter")
    assert results(tmp_path / "second", "before") == after["results"]
    assert results(tmp_path / "second", "after") != after["results"]
