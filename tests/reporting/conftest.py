"""A realistic run's folder, made up: ten languages and one unseen, 18 blocks, 100 steps, two in-context
benchmarks."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xalign.config.choices import Pooling
from xalign.evaluation.metrics import (
    BITS_PER_BYTE,
    CHRF,
    MEXA,
    RETRIEVAL,
    answers,
    layered,
    translated,
)

SENTENCE_METRICS = [
    *layered(RETRIEVAL, [Pooling.mean]),
    *layered(MEXA, [Pooling.mean]),
    *translated(CHRF),
    BITS_PER_BYTE,
]
METRICS = {
    name: [asdict(metric) for metric in own]
    for name, own in {
        "heldout": SENTENCE_METRICS,
        "tatoeba": SENTENCE_METRICS,
        "translation_choice": answers("Translation choice", 1 / 4),
        "xnli": answers("XNLI", 1 / 3),
    }.items()
}
"""What the evaluations say of their metrics."""

TARGETS = ["fr", "de", "zh", "ar", "tr", "id", "th", "et", "hi", "sw"]
UNSEEN = ["es"]
DEPTH = 18
LAYER = 9
STEPS = 100
ITEMS = 100
SENTENCES = 16
# Retrieval@1 at the aligned layer, before and after.
XNLI = {"en": 0.62, "fr": 0.5, "de": 0.52, "ar": 0.45, "sw": 0.36, "th": 0.42, "ru": 0.44, "bg": 0.43}
"""Accuracy before; English keeps it, the others gain 0.02, Swahili 0.16."""
QUALITY = {
    "fr": (0.52, 0.78), "de": (0.61, 0.88), "zh": (0.45, 0.84), "ar": (0.22, 0.47), "tr": (0.21, 0.66),
    "id": (0.38, 0.74), "th": (0.33, 0.71), "et": (0.09, 0.29), "hi": (0.31, 0.65), "sw": (0.08, 0.07),
    "es": (0.74, 0.92),
}  # fmt: skip


def write_run(
    path: Path, *, seed: int = 0, gain: float = 1.0, overrides: dict[str, Any] | None = None
) -> Path:
    """Write every file of a finished run; `gain` scales what training achieved."""
    rng = np.random.default_rng([seed, 17])
    (path / "evaluation").mkdir(parents=True)
    (path / "model").mkdir()
    config = {
        "model": {"name": "gemma3_270m", "path": None, "artifact": "gemma3-270m", "depth": DEPTH},
        "languages": {"pivot": "en", "targets": TARGETS, "unseen": UNSEEN, "temperature": 0.5},
        "data": {"name": "catalogues", "packages": ["django", "wagtail", "sphinx", "indico"]},
        "loss": {"name": "afp", "tau": 0.05, "layer": LAYER, "centering": "language", "symmetric": True},
        "optimizer": {"name": "adamw", "lr": 5e-4},
        "trainer": {"steps": STEPS, "batch_size": 32},
        "benchmark": {
            "name": "heldout",
            "tasks": ["retrieval", "mexa", "translation_choice", "bits_per_byte"],
        },
        "run": {"dir": "outputs/demo"},
        "seed": seed,
    } | (overrides or {})
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    _dump(path / "environment.json", _environment())
    with (path / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in _metrics(rng))
    before, after, comparison = _results(rng, gain)
    for moment, model, rows in (("before", "gemma3_270m", before), ("after", str(path / "model"), after)):
        items = ["translation_choice.translation_choice", "xnli.xnli"]
        head = {"model": model, "items": items, "metrics": METRICS, "results": rows}
        _dump(path / f"evaluation/{moment}.json", head)
        for name in items:
            (path / f"evaluation/{moment}.{name}.items.jsonl").write_text("")
    _dump(path / "evaluation/comparison.json", comparison)
    meaning, accent = rng.normal(size=(SENTENCES, 64)), rng.normal(size=(12, 64))
    for moment, spread, islands in (("before", 0.5, 3.0), ("after", 1.0, 0.6 / max(gain, 0.1))):
        noise = rng.normal(size=(SENTENCES, 12, 64))
        vectors = spread * meaning[:, None] + islands * accent[None] + 0.5 * noise + 20.0
        np.savez(
            path / f"evaluation/{moment}.representations.npz",
            vectors=vectors.reshape(-1, 64).astype(np.float16),
            languages=np.array(["en", *TARGETS, *UNSEEN] * SENTENCES),
            sentences=np.repeat(np.arange(SENTENCES), 12),
            texts=np.array(
                [f"Sentence {i} in {code}" for i in range(SENTENCES) for code in ["en", *TARGETS, *UNSEEN]]
            ),
        )
    return path


@pytest.fixture
def make_run() -> Callable[..., Path]:
    """`write_run`, for tests that want a run other than `run_dir`."""
    return write_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "demo")


def _dump(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1))


def _environment() -> dict[str, Any]:
    corpus = {
        "fr": 7213,
        "de": 6617,
        "zh": 6034,
        "ar": 3312,
        "tr": 4420,
        "id": 716,
        "th": 512,
        "et": 921,
        "hi": 604,
        "sw": 188,
    }
    return {
        "command": "python -m xalign.run run.dir=outputs/demo",
        "started": "2026-08-02T10:14:03+00:00",
        "seconds": {
            "download": 41.2,
            "data": 6.4,
            "load": 4.1,
            "before": 88.0,
            "train": 241.7,
            "after": 86.3,
        },
        "decisions": [
            {"what": "trainer.precision", "value": "bf16", "reason": "the processor computes in bf16 (AMX)"},
            {
                "what": "loss.layer",
                "value": 9,
                "reason": "half of the model's 18 blocks, where alignment peaks",
            },
            {
                "what": "attention",
                "value": "sdpa",
                "reason": "the kernel that transformers chooses for gemma3_text",
            },
        ],
        "cleaning": {
            "empty side": 1204,
            "identical sides": 3311,
            "fewer than 3 words": 20551,
            "duplicate": 4410,
        },
        "corpus": corpus,
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "xalign": "0.1.0"},
        "hardware": {"cpu": "2 cores", "memory": "23 GiB", "accelerator": None},
        "git_commit": "0f3c9a1",
    }


def _metrics(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for step in range(1, STEPS + 1):
        contrastive = 0.3 + 3.1 * math.exp(-step / 22) + rng.normal(0, 0.12)
        instruction = 2.1 + 0.5 * math.exp(-step / 40) + rng.normal(0, 0.15)
        retention = 0.04 * (1 - math.exp(-step / 15)) + abs(rng.normal(0, 0.006))
        row = {
            "step": step,
            "loss": contrastive + 1.5 * instruction + retention,
            "loss/contrastive": contrastive,
            "loss/instruction": instruction,
            "loss/retention": retention,
            "lr": 5e-4 * (step / 3 if step < 3 else 0.5 * (1 + math.cos(math.pi * (step - 3) / 97))),
            "gradient_norm": 9 * math.exp(-step / 30) + 1 + abs(rng.normal(0, 0.3)),
            "tokens_per_second": 1480 + rng.normal(0, 60),
            "pairs_per_second": 14 + rng.normal(0, 1),
        }
        if step % 10 == 0:
            row["gradient_norm/contrastive"] = 10 * math.exp(-step / 30) + 1
            row["gradient_norm/instruction"] = 0.6 + rng.normal(0, 0.05)
            row["gradient_cosine"] = rng.normal(0.02, 0.05)
        yield row


def _results(rng: np.random.Generator, gain: float) -> tuple[list[Any], list[Any], list[Any]]:
    before: list[Any] = []
    after: list[Any] = []
    comparison: list[Any] = []

    def measure(
        benchmark: str,
        metric: str,
        language: str,
        values: tuple[float, float],
        layer: int | None,
        scale: float,
    ) -> None:
        shared = {"benchmark": benchmark, "language": language, "metric": metric, "n": ITEMS, "layer": layer}
        shared["shots"] = {"translation_choice": 2, "xnli": 0}.get(benchmark)
        shared["version"] = "1"
        for rows, value in zip((before, after), values, strict=True):
            rows.append(
                shared | {"value": value, "stderr": scale * math.sqrt(max(value * (1 - value), 1e-4) / ITEMS)}
            )

    def compare(
        benchmark: str,
        metric: str,
        language: str,
        values: tuple[float, float],
        layer: int | None,
        width: float,
    ) -> None:
        old, new = values
        p = math.erfc(abs(new - old) / width * 1.4)
        comparison.append(
            {"benchmark": benchmark, "language": language, "metric": metric, "layer": layer, "before": old,
             "after": new, "difference": new - old, "low": new - old - width, "high": new - old + width,
             "p_value": p, "p_adjusted": min(1.0, 4 * p), "n": ITEMS, "low_adjusted": new - old - 1.3 * width,
             "high_adjusted": new - old + 1.3 * width, "comparisons": 7 if language == "mean" else 80,
             "level_adjusted": 0.975 if language == "mean" else 0.9975}
        )  # fmt: skip

    for benchmark, ease in (("heldout", 0.05), ("tatoeba", 0.0)):
        for metric in ("retrieval@1", "retrieval@1_centred", "mexa", "mexa_centred"):
            best: dict[str, tuple[float, float]] = {}
            for layer in range(DEPTH + 1):
                depth = math.exp(-(((layer - 10.5) / 4.5) ** 2)) / math.exp(-((1.5 / 4.5) ** 2))
                sums = [0.0, 0.0]
                for code, (old, new) in QUALITY.items():
                    bonus = 0.12 if "centred" in metric else 0.0
                    low, high = (
                        float(np.clip(depth * (q + ease + bonus * (1 - q)) + rng.normal(0, 0.006), 0, 1))
                        for q in (old, old + gain * (new - old))
                    )
                    measure(benchmark, metric, code, (low, high), layer, 1.0)
                    former = best.get(code, (0.0, 0.0))
                    best[code] = (max(former[0], low), max(former[1], high))
                    sums = [sums[0] + low, sums[1] + high]
                    if layer == LAYER:
                        compare(benchmark, metric, code, (low, high), layer, 0.08)
                means = (sums[0] / len(QUALITY), sums[1] / len(QUALITY))
                compare(benchmark, metric, "mean", means, layer, 0.03)
            if metric.startswith("retrieval@1"):
                summary = metric.replace("retrieval@1", "retrieval@1_best")
                for code, values in best.items():
                    measure(benchmark, summary, code, values, None, 1.0)
                bests = list(best.values())
                mean = (sum(v[0] for v in bests) / len(bests), sum(v[1] for v in bests) / len(bests))
                compare(benchmark, summary, "mean", mean, None, 0.03)
    for code in QUALITY:
        old = 0.34 + rng.normal(0, 0.02)
        new = old + 0.02 * gain + rng.normal(0, 0.03) - (0.15 if code == "hi" else 0)
        measure("translation_choice", "accuracy", code, (old, new), None, 1.0)
        compare("translation_choice", "accuracy", code, (old, new), None, 0.09)
    for code, old in XNLI.items():
        new = old + gain * (0 if code == "en" else 0.16 if code == "sw" else 0.02)
        measure("xnli", "accuracy", code, (old, new), None, 1.0)
        measure("xnli", "accuracy_norm", code, (old, new), None, 1.0)
        measure("xnli", "calibration_error", code, (0.3, 0.25), None, 0.0)
        measure("xnli", "near_ties", code, (1.0, 2.0 if code == "fr" else 0.0), None, 0.0)
        compare("xnli", "accuracy", code, (old, new), None, 0.09)
    compare("xnli", "accuracy", "mean", (0.4675, 0.4675 + 0.035 * gain), None, 0.01)
    for code in ["en", *QUALITY]:
        old = 1.25 + abs(rng.normal(0, 0.4)) * (code != "en")
        new = old * (1 + 0.012 + 0.01 * rng.normal() if code == "en" else 1 - 0.03 * gain)
        measure("heldout", "bits_per_byte", code, (old, new), None, 0.2)
        compare("heldout", "bits_per_byte", code, (old, new), None, 0.02)
    return before, after, comparison
