"""Does the gate see harm, and does it accuse the harmless?

    python experiments/harmless/gate.py planted     a run without retention at a high rate
    python experiments/harmless/gate.py harmless    twenty seeds of a run at a rate of 1e-8

Every run is an ordinary one; finished ones are not repeated.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from xalign.evaluation.use import harms_of
from xalign.reporting.run_folder import load_run
from xalign.reporting.verdict import opening_of

OUTPUT = Path(__file__).parents[2] / "outputs" / "harmless" / "gate"
SEEDS = 20
PLANTED = [
    *("loss=contrastive", "loss.retention_weight=0", "trainer.steps=30"),
    *("optimizer.lr=4e-3", "optimizer.warmup_fraction=1"),  # a rate that rises until it harms
    *("benchmark@validation=use", "trainer.evaluate_every=5", "trainer.select=harmless"),
    *("validation.likelihood_limit=12", "validation.continuation_limit=12", "validation.limit=24"),
]
STILL = ["optimizer.lr=1e-8", "trainer.steps=2", "trainer.retention_own_fraction=0"]


def run(name: str, *overrides: str) -> tuple[int, str, bool]:
    """The exit code and the first sentence of a run, and whether it is accused of harm."""
    folder = OUTPUT / name
    command = [sys.executable, "-m", "xalign.run", f"run.dir={folder}", *overrides]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    found = load_run(folder)
    opening = opening_of(found)
    return code, opening.sentence if opening else "", bool(harms_of(found.comparison, found.metric))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("planted", "harmless"))
    if parser.parse_args().what == "planted":
        for name, further in (
            ("planted", []),
            ("planted_last", ["trainer.select=null", "trainer.evaluate_every=30"]),
        ):
            code, sentence, _ = run(name, *PLANTED, *further)
            print(f"{name}: exit code {code}; {sentence}")
        lines = [json.loads(line) for line in (OUTPUT / "planted" / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            if (value := line.get("eval/use/harmless/mean")) is not None:
                retrieval = line["eval/use/retrieval@1/mean"]
                print(f"  step {line['step']}: harmless {value:.3f}, retrieval {retrieval:.3f}")
        return
    accused = 0
    for seed in range(SEEDS):
        code, sentence, harmful = run(f"still-{seed}", *STILL, f"seed={seed}")
        accused += harmful
        print(f"seed {seed}: exit code {code}; {sentence}", flush=True)
    print(f"accused: {accused} of {SEEDS}")


if __name__ == "__main__":
    main()
