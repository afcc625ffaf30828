"""Kill whole runs at random moments, resume them, and compare each with an uninterrupted one, bit by bit.

    python experiments/kill_test/run.py --kills 50 --ranks 1 2

Prints a line an attempt and a table; exit code 1 if anything differed.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from killing import Moment, Outcome, attempt, campaign, random_moments

PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'

QUICK = (
    "experiment=quick",
    "trainer.precision=fp32",
    "benchmark.precision=fp32",
    "trainer.threads=1",
    "trainer.steps=12",
    "trainer.checkpoint_every=3",
    "benchmark@validation=heldout",
    "validation.tasks=[bits_per_byte]",
    "trainer.evaluate_every=4",
    "trainer.select=eval/heldout/bits_per_byte/mean",
    "adapter.dropout=0.1",
    "loss.queue=16",
)
"""A tiny model, everything that has a state: dropout, a queue of negatives, a step that is chosen."""


def catalogues(folder: Path, rows: int = 150) -> Path:
    """A small made-up corpus as gettext catalogues."""
    for language in ("fr", "de", "zh_Hans"):
        opens = "打开" if language == "zh_Hans" else "ouvrez"  # a text has letters of its script
        path = folder / language / "LC_MESSAGES" / "django.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = (
            f'msgid "Please open the {i % 8} number {i} now"\nmsgstr "{language}: {opens} {i * 7} donc"\n'
            for i in range(rows)
        )
        path.write_text(PO + "\n".join(entries), encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="kills for each number of ranks")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder without")
    arguments = parser.parse_args()
    place = arguments.folder or Path(mkdtemp(prefix="kill-test-"))
    corpus = catalogues(place / "corpus")
    wrong = 0
    for ranks in arguments.ranks:
        overrides = [*QUICK, f"data.path={corpus}"]
        if ranks > 1:
            overrides += ["strategy=ddp", f"trainer.devices={ranks}", "trainer.batch_size=4"]
        reference = place / f"reference-{ranks}"
        started = time.monotonic()
        if attempt(overrides, reference, None).exit_code != 0:
            sys.exit(f"the uninterrupted run failed: see {reference / 'output.log'}")
        seconds = time.monotonic() - started
        struck: Counter[str] = Counter()
        bad: list[list[str]] = []

        def tell(
            moment: Moment, hit: bool, outcome: Outcome, problems: list[str] | None,
            struck: Counter[str] = struck, bad: list[list[str]] = bad, ranks: int = ranks,
        ) -> None:  # fmt: skip
            struck[moment.stage] += hit
            end = "" if problems is None else f"; got through: {', '.join(problems) or 'the same to the bit'}"
            left = f"; left {outcome.found}" if outcome.found else ""
            print(
                f"{ranks} | {moment} | exit {outcome.exit_code}, step {outcome.step}{left}{end}", flush=True
            )
            bad.extend([problems] if problems else [])

        moments = random_moments(Random(arguments.seed), ranks, 0.8 * seconds)
        runs = campaign(overrides, place / f"run-{ranks}", reference / "run", moments, arguments.kills, tell)
        print(
            f"\n{ranks} rank(s): {runs} runs got through, {len(bad)} differed; the run alone: {seconds:.0f} s"
        )
        print("\n| killed in | times |\n| --- | --- |")
        print("\n".join(f"| {stage} | {count} |" for stage, count in sorted(struck.items()) if count) + "\n")
        wrong += len(bad)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
