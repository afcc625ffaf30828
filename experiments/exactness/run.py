"""Every item's log-likelihoods: lm-evaluation-harness 0.4.13 and xalign, on the same weights in float32.

    python experiments/exactness/run.py [--model NAME] [--form plain turns one_turn] [--data DIR] [--limit N]
        [--shots 0 5] [SET or SET:LANGUAGE ...]

The harness asks with its own templates. xalign answers twice: the very same requests, which compares the
engines alone, and as its own task on the same rows, which compares readers, wordings and demonstrations too.
Demonstrations are the first items of the split, the others are asked. With the form `turns` both ask by the
tokenizer's chat template (`--apply_chat_template` of the harness), with `one_turn` without turns of their own
for demonstrations (`--fewshot_as_multiturn false`). A line a set, language, number of shots and form, as a
markdown table, goes to standard output. Needs `pip install 'xalign[lm-eval]'`.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import numpy as np
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from sets import SETS, harness_task, write

from xalign.config.schema import ModelConfig
from xalign.evaluation.engine.scoring import Request, score
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.results import Record
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models.backbone import Backbone
from xalign.models.gguf import MODELS
from xalign.models.loading import load_model_and_tokenizer
from xalign.options.composed import benchmark_of
from xalign.workspace.environment import keep_freed_memory, quiet_libraries

NEAR_TIE = 1e-3
"""Nats between the best two candidates below which rounding may decide."""

FORMS: dict[str, dict[str, bool]] = {
    "plain": {},
    "turns": {"chat": True, "fewshot_as_multiturn": True},
    "one_turn": {"chat": True, "fewshot_as_multiturn": False},
}
"""Name -> options of the benchmark."""

COLUMNS = (
    *("set", "language", "shots", "form", "items", "largest difference in nats: same requests", "own task"),
    *("other predictions", "of them near-ties", "accuracy: harness", "xalign"),
)


def main() -> None:
    names = [f"{name}:{language}" for name, s in SETS.items() for language in s.languages]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chosen", nargs="*", metavar="SET[:LANGUAGE]", help=f"of: {', '.join(names)}")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--limit", type=int, help="items a language (default: all)")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument(
        "--model",
        default="gemma3_270m",
        help=f"{', '.join(MODELS)} from the package index, a folder or hub id",
    )
    parser.add_argument("--form", nargs="+", choices=FORMS, default=["plain"])
    parser.add_argument("--batch-size", type=int, default=4, help="of the harness, in requests")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="of xalign")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"no folder {arguments.data}; give --data DIR")
    if unknown := [c for c in arguments.chosen if c not in {*names, *SETS}]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    quiet_libraries()
    keep_freed_memory()
    place = "artifact" if arguments.model in MODELS else "path"
    config = ModelConfig(**{"name": "exactness", place: arguments.model})
    backbone = Backbone(*load_model_and_tokenizer(config)).eval()
    harness = HFLM(pretrained=backbone.model, tokenizer=backbone.tokenizer, batch_size=arguments.batch_size)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    for name in names:
        if not arguments.chosen or {name, name.split(":")[0]} & set(arguments.chosen):
            for shots in arguments.shots:
                for form in arguments.form:
                    with tempfile.TemporaryDirectory() as folder:
                        line = compare(backbone, harness, name, shots, form, Path(folder), arguments)
                    print(f"| {' | '.join(map(str, line))} |", flush=True)


def compare(
    backbone: Backbone,
    harness: HFLM,
    name: str,
    shots: int,
    form: str,
    folder: Path,
    arguments: argparse.Namespace,
) -> list[object]:
    """One line of the table; the rows are written below `folder`, where both find them."""
    benchmark, language = name.split(":")
    rows = SETS[benchmark].read(arguments.data, language)
    rows = rows[: None if arguments.limit is None else arguments.limit + shots]
    write(rows, shots, folder / language)
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    task = harness_task(benchmark, language, shots, folder / language)
    samples, accuracy = ask_harness(harness, task, form)
    records, own_accuracy = ask_xalign(backbone, benchmark, shots, form, folder, arguments.batch_tokens)
    theirs = np.array([[value for value, _ in sample["filtered_resps"]] for sample in samples])
    own = np.array([record["log_likelihoods"] for record in records])
    requests = [Request("", *pair) for sample in samples for pair in sample["arguments"]]
    scores = score(backbone, requests, batch_tokens=arguments.batch_tokens)
    same = np.array([s.log_likelihood for s in scores]).reshape(theirs.shape)
    other = theirs.argmax(1) != own.argmax(1)
    second, best = np.sort(theirs)[:, -2:].T
    return [
        *(benchmark, language, shots, form.replace("_", " "), len(samples)),
        *(f"{np.abs(found - theirs).max():.1e}" for found in (same, own)),
        *(other.sum(), (other & (best - second < NEAR_TIE)).sum()),
        *(f"{accuracy:.4f}", f"{own_accuracy:.4f}"),
    ]


def ask_harness(harness: HFLM, task: ConfigurableTask, form: str) -> tuple[list[dict[str, object]], float]:
    """Its samples in the order of the items, and the accuracy that it reports."""
    found = simple_evaluate(
        model=harness,
        tasks=[task],
        apply_chat_template=form != "plain",
        fewshot_as_multiturn=form == "turns",
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    ((name, samples),) = found["samples"].items()
    return sorted(samples, key=lambda sample: sample["doc_id"]), found["results"][name]["acc,none"]


def ask_xalign(
    backbone: Backbone, benchmark: str, shots: int, form: str, folder: Path, batch_tokens: int
) -> tuple[list[Record], float]:
    """The records of xalign's own task in the order of the items, and its accuracy."""
    config = benchmark_of(
        name=benchmark,
        tasks=[benchmark],
        path=str(folder),
        split="validation",
        shots=shots,
        demonstrations="first",
        batch_tokens=batch_tokens,
        **FORMS[form],
    )
    (part,) = tasks_of(config)[benchmark].parts(Setting(config, None, None, "en", [], 0, seed=0))
    measured = part.measure(session_of(backbone, config), lambda count: None)
    (records,) = measured.items.values()
    (accuracy,) = (row.value for row in measured.results if row.metric == "accuracy")
    return records, accuracy


if __name__ == "__main__":
    main()
