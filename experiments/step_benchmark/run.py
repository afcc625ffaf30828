"""Seconds, operations and peak memory of one training step: the published way, with libraries, with xalign.

    python experiments/step_benchmark/run.py [--device cpu|cuda] [--models ...] [--cases ...] [--systems ...]

Every system works in a process of its own, one at a time, by turns: each round starts them one after
another (in reverse in every other round), warms each up and takes some steps. `--side-by-side` keeps all
processes alive and asks each for one step in turn, where memory holds them all. Results are added to
`results.json` case by case, so that a case can be measured alone; table and picture are drawn from that
file. (b) needs `pip install sentence-transformers accelerate`.
"""

import argparse
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from cases import ACCEPTANCE_A, CASES, COMMON, LIBRARIES, MODELS, PLANS, PUBLISHED, TITLES, overrides_of
from results import Measured, Results

HERE = Path(__file__).parent
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


@dataclass(frozen=True)
class Settings:
    """What holds for every process."""

    device: str
    precision: str
    threads: int
    data: Path


def main() -> None:
    arguments = parsed()
    settings = Settings(arguments.device, arguments.precision, arguments.threads, arguments.data)
    results = Results.read(arguments.output / "results.json")
    plan = [
        (model, case)
        for model, case in PLANS[arguments.device]
        if model in (arguments.models or MODELS) and case in (arguments.cases or CASES)
    ] or [(model, case) for model in arguments.models or () for case in arguments.cases or ()]
    if arguments.plan:
        print(f"every system: {' '.join(COMMON)}")
        for model, case in plan:
            print(f"{model}: {CASES[case].title}: {', '.join(CASES[case].systems)}")
            for system in CASES[case].systems:
                print(f"  {TITLES[system]}: {' '.join(words(model, case, system, settings)[len(COMMON) :])}")
        return
    if plan and not arguments.report_only:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        results.note_machine(settings.device, settings.precision, settings.threads, peak(settings))
        for model, case in plan:
            systems = [s for s in CASES[case].systems if s in (arguments.systems or TITLES)]
            print(f"{model}: {CASES[case].title}", flush=True)
            for found in measure(model, case, systems, settings, arguments):
                results.add(found)
            results.write()
    results.report(arguments.output)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=PLANS, default="cpu")
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--cases", nargs="+", choices=CASES, help=f"acceptance A: {' '.join(ACCEPTANCE_A)}")
    parser.add_argument("--systems", nargs="+", choices=TITLES)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="of matrix products")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them; the first is counted")
    parser.add_argument("--side-by-side", action="store_true", help="keep all processes alive")
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of results.json, table and picture")
    parser.add_argument("--plan", action="store_true", help="say what would be run, and with what config")
    parser.add_argument("--report-only", action="store_true", help="table and picture of what is measured")
    arguments = parser.parse_args()
    if arguments.rounds * arguments.steps < 1 or arguments.warm_up < 1:
        parser.error("--rounds, --steps and --warm-up are at least 1")
    if not (arguments.plan or arguments.report_only):
        if not (arguments.data / "multi30k").is_dir():
            parser.error(f"no folder {arguments.data / 'multi30k'}; give --data DIR")
        if LIBRARIES in (arguments.systems or TITLES) and not find_spec("sentence_transformers"):
            parser.error("(b) needs `pip install sentence-transformers accelerate`; or choose --systems")
    return arguments


def measure(
    model: str, case: str, systems: Sequence[str], settings: Settings, arguments: argparse.Namespace
) -> list[Measured]:
    """All systems in one case, by turns."""
    found = {
        s: Measured(model, case, s, settings.device, settings.precision, settings.threads) for s in systems
    }

    def take(pipe: Connection, system: str, how: str) -> None:
        try:
            pipe.send(how)
            step = pipe.recv()
        except (EOFError, OSError):
            step = "its process ended; out of memory?"
        if isinstance(step, str):
            raise SystemExit(f"{model}, {CASES[case].title}, {TITLES[system]} failed:\n{step}")
        found[system].take(step, timed=how == "step")
        print(f"  {system}: {how} {step.seconds:.2f} s, {step.peak_mib:.0f} MiB, {step.losses}", flush=True)

    def warm_up(pipe: Connection, system: str) -> None:
        for how in ("count", *("warm",) * (arguments.warm_up - 1)):
            take(pipe, system, how)

    for number in range(arguments.rounds):
        order = systems[:: 1 if number % 2 == 0 else -1]
        with ExitStack() as stack:
            if arguments.side_by_side:
                pipes = {s: stack.enter_context(started(model, case, s, settings)) for s in order}
                for system, pipe in pipes.items():
                    warm_up(pipe, system)
                for _ in range(arguments.steps):
                    for system, pipe in pipes.items():
                        take(pipe, system, "step")
            else:
                for system in order:
                    with started(model, case, system, settings) as pipe:
                        warm_up(pipe, system)
                        for _ in range(arguments.steps):
                            take(pipe, system, "step")
    return list(found.values())


def words(model: str, case: str, system: str, settings: Settings) -> list[str]:
    """What composes the system's config."""
    return overrides_of(model, case, system, settings.precision, settings.threads)


@contextmanager
def started(model: str, case: str, system: str, settings: Settings) -> Iterator[Connection]:
    """A system in a process of its own: a word in, a `Step` out, or what went wrong as text."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(model, case, system, settings, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        try:
            ours.send(None)
            process.join(30)
        except OSError:
            pass  # it is gone already
        process.kill()


def peak(settings: Settings) -> float:
    """Operations a second of a large matrix product in these processes' arithmetic."""
    context = get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measured_peak, (settings,))


def measured_peak(settings: Settings) -> float:
    import torch
    from system import matmul_peak

    torch.set_num_threads(settings.threads)
    return matmul_peak(torch.device(settings.device), getattr(torch, DTYPES[settings.precision]))


def serve(model: str, case: str, system: str, settings: Settings, pipe: Connection) -> None:
    """Set the system up, then let it step as the gate allows."""
    try:
        import torch
        from system import Gate, Setup, load
        from texts import Texts

        from xalign.cli.command_line import compose_config
        from xalign.cli.validation import resolve
        from xalign.config.schema import Config

        if system == PUBLISHED:
            from published_step import drive
        elif system == LIBRARIES:
            from library_step import drive
        else:
            from xalign_step import drive
        torch.set_num_threads(settings.threads)
        device, dtype = torch.device(settings.device), getattr(torch, DTYPES[settings.precision])
        config = resolve(compose_config("config", words(model, case, system, settings)), Config)
        chosen = CASES[case]
        texts = Texts(config, settings.data, chosen.pair_words, chosen.instruction_words)
        network, tokenizer = load(config, settings.data, device)
        depth = network.config.get_text_config().num_hidden_layers
        layer = depth // 2 if config.loss.aligned_layer is None else config.loss.aligned_layer
        drive(Setup(config, network, tokenizer, texts, layer, device, dtype), Gate(pipe, device))
    except Exception:
        pipe.send(traceback.format_exc())
        raise


if __name__ == "__main__":
    main()
