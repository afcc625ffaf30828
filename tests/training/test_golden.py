"""Golden loss curves: a change that computes nothing new must not change a loss.

Twenty steps of every preset on a tiny model, recorded in `golden/`. Where a change is meant to change them,
write them anew (`PYTHONPATH=tests:tests/training python tests/training/test_golden.py`) and say why.
"""

import json
import sys
from pathlib import Path

import pytest
from training_helpers import fitted_curve

FOLDER = Path(__file__).parent / "golden"

PRESETS = {
    "afp": [],
    "afp_paper": ["loss=afp_paper", "adapter=full", "optimizer=adamw_full", "optimizer.lr=1e-3"],
    "contrastive": ["loss=contrastive"],
    "instruction": ["loss=instruction"],
    "translation": ["loss=translation"],
    "afp_total_clip": ["trainer.clip=total"],
    "afp_full_without_retention": ["adapter=full", "loss.retention_weight=0", "loss.layer=3"],
    "afp_adafactor": ["optimizer=adafactor", "optimizer.lr=1e-3", "loss.pooling=last"],
    "afp_one_direction": ["loss.symmetric=false", "loss.tau=0.5"],
    "afp_one_language": ["languages.targets=[de]", "trainer.languages_per_batch=1", "loss.queue=5"],
}


@pytest.mark.parametrize("preset", PRESETS)
def test_losses_are_those_recorded(preset: str, tmp_path: Path) -> None:
    wanted = json.loads((FOLDER / f"{preset}.json").read_text())
    found = fitted_curve(PRESETS[preset], tmp_path)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        # Other processors round otherwise.
        assert found[name] == pytest.approx(values, rel=2e-4, abs=1e-7), name


def record(folder: Path) -> None:
    """Write the curves as they are now."""
    for preset, overrides in PRESETS.items():
        curve = fitted_curve(overrides, folder)
        text = ",\n ".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in curve.items())
        (FOLDER / f"{preset}.json").write_text(f"{{{text}}}\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        record(Path(temporary))
    sys.exit()
