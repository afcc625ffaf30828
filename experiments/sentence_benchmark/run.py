"""Seconds for retrieval and MEXA: sentences of ten languages with English, all layers of Gemma 3 270M.

    python experiments/sentence_benchmark/run.py [--data DIR] [--sentences 100] [--languages de th ...] ...

Tatoeba in LASER's layout, nothing from the cache but the model, arithmetic as `benchmark.precision=auto`
chooses it. Prints a markdown table (seconds by the clock, and of all threads together) and writes no file.
"""

import argparse
import time
from pathlib import Path

import torch

from xalign.base.decisions import Decisions
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.choices import Pooling, Precision
from xalign.config.schema import Config
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.sets.own_text import load_own_text
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models.backbone import Backbone, computing_in
from xalign.models.loading import load_model_and_tokenizer
from xalign.options.composed import benchmark_of
from xalign.performance.automatic import choose_precision


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared/data/tatoeba")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--languages", nargs="*", default=[], help="all of the set, where none is given")
    parser.add_argument("--poolings", nargs="+", default=["mean"], choices=[p.value for p in Pooling])
    parser.add_argument("--precision", default="auto", choices=[p.value for p in Precision])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    config = resolve(compose_config("config", []), Config)
    backbone = Backbone(*load_model_and_tokenizer(config.model, config.seed)).eval()
    benchmark = benchmark_of(
        name="tatoeba",
        tasks=["retrieval", "mexa"],
        path=str(options.data),
        own_text=True,
        limit=options.sentences,
        poolings=options.poolings,
    )
    corpus, _ = load_own_text(benchmark, "en", options.languages)
    languages = options.languages or [code for code in corpus.languages if code != "en"]
    setting = Setting(benchmark, corpus, None, "en", languages, backbone.depth // 2, config.seed)
    session = session_of(backbone, benchmark)
    precision = Precision(options.precision)
    dtype = choose_precision(precision, backbone.device, Decisions(quiet=True))
    print("| task | languages | sentences each | layers | arithmetic | seconds | CPU seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, task in tasks_of(benchmark).items():
        parts = task.parts(setting)
        clock, processor = time.perf_counter(), time.process_time()
        with computing_in(backbone, dtype):
            for part in parts:
                part.measure(session, lambda count: None)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        size = f"{len(parts)} | {options.sentences} | {backbone.depth + 1}"
        print(f"| {name} | {size} | {dtype} | {clock:.1f} | {processor:.1f} |")


if __name__ == "__main__":
    main()
