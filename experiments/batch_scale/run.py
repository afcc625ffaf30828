"""Memory and time of the contrastive gradient by batch size, at one micro-batch.

    python experiments/batch_scale/run.py [--models tiny gemma3_270m] [--pairs 32 512 ...] [--repeats 5] ...

Real captions (Multi30k: English with German, French and Czech), loss and gradient of InfoNCE as in training,
without the optimizer. Every size runs in processes of its own, one after the other: one for the time,
one for the memory, one for the memory without cached negatives.
"""

import argparse
import gzip
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

LANGUAGES = ("de", "fr", "cs")
WARM_UP = 32


@dataclass(frozen=True)
class Measured:
    """Seconds of a step (median) and its peak memory above that of the loaded model."""

    seconds: float
    peak_mib: float
    chunks: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--models", nargs="+", default=["tiny"], help="names in conf/model")
    parser.add_argument("--pairs", nargs="+", type=int, default=[32, 512, 4096, 16384])
    parser.add_argument("--micro-batch", type=int, default=1024, help="tokens, padding included")
    parser.add_argument("--adapter", default="lora", help="name in conf/adapter")
    parser.add_argument("--layer", type=int, help="default: half of the model's depth")
    parser.add_argument("--max-length", type=int, default=64, help="tokens kept of a sentence")
    parser.add_argument("--one-graph", type=int, default=512, help="most pairs also tried without caching")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    if not (arguments.data / "multi30k").is_dir():
        parser.error(f"no folder {arguments.data / 'multi30k'}; give --data DIR")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    print("| model | pairs | chunks | seconds | ms a pair | of the first | peak MiB | in one graph, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for model in arguments.models:
        first = 0.0
        for pairs in arguments.pairs:
            timed = measured(model, pairs, arguments.micro_batch, arguments, for_memory=False)
            weighed = measured(model, pairs, arguments.micro_batch, arguments, for_memory=True)
            whole = None
            if pairs <= arguments.one_graph:
                whole = measured(model, pairs, None, arguments, for_memory=True)
            each = timed.seconds / pairs * 1000
            first = first or each
            one_graph = f"{whole.peak_mib:.0f}" if whole else "-"
            print(
                f"| {model} | {pairs} | {timed.chunks} | {timed.seconds:.2f} | {each:.2f} "
                f"| {each / first:.2f} | {weighed.peak_mib:.0f} | {one_graph} |",
                flush=True,
            )


def measured(
    model: str, pairs: int, micro_batch: int | None, arguments: argparse.Namespace, *, for_memory: bool
) -> Measured:
    """One size, in a process of its own."""
    if for_memory:
        # glibc hands large tensors back at once, so that what is resident is what is held: slower.
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**17)
    else:
        os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)
    repeats = 1 if for_memory else arguments.repeats
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(
        target=measure, args=(model, pairs, micro_batch, repeats, arguments, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        found: Measured = ours.recv()
    except EOFError:
        raise SystemExit(
            f"{model} with {pairs} pairs: the process ended, perhaps for want of memory"
        ) from None
    process.join()
    return found


def measure(
    model: str,
    pairs: int,
    micro_batch: int | None,
    repeats: int,
    arguments: argparse.Namespace,
    pipe: Connection,
) -> None:
    """Load the model, take a small step to warm up, then time `repeats` steps."""
    import torch

    from xalign.cli.command_line import compose_config
    from xalign.cli.validation import resolve
    from xalign.config.schema import Config
    from xalign.models import adapters
    from xalign.models.backbone import Backbone
    from xalign.models.dropout import enter_training
    from xalign.models.loading import load_model_and_tokenizer
    from xalign.workspace.environment import quiet_libraries

    torch.set_num_threads(arguments.threads)
    quiet_libraries()
    overrides = ["loss=contrastive", "loss.retention_weight=0"]
    overrides += [f"model={model}", f"adapter={arguments.adapter}"]
    config = resolve(compose_config("config", overrides), Config)
    device = torch.device(arguments.device)
    backbone = Backbone(*load_model_and_tokenizer(config.model)).to(device)
    adapters.attach(backbone, config.adapter)
    enter_training(backbone, dropout=config.trainer.dropout)
    if arguments.precision == "bf16":
        backbone.compute_dtype = torch.bfloat16
    warm_up = step_of(backbone, config, WARM_UP, micro_batch or arguments.micro_batch, arguments)[0]
    step, chunks = step_of(backbone, config, pairs, micro_batch, arguments)
    for parameter in backbone.parameters():
        parameter.detach().sum()  # weights come in from their file when they are first touched
    before = reset_peak(device)
    warm_up()
    seconds = []
    for _ in range(repeats):
        backbone.zero_grad()
        begin = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    pipe.send(Measured(median(seconds), peak_mib(device) - before, chunks))


def step_of(backbone, config, pairs, micro_batch, arguments) -> tuple[Callable[[], None], int]:  # type: ignore[no-untyped-def]
    """A step on so many pairs, leaving its gradient in the parameters, and its number of chunks."""
    import torch

    from xalign.data.collate import Arrangement, arrange, encode
    from xalign.data.sampling import text_key
    from xalign.models.packing import packs_exactly
    from xalign.objectives.kernels.info_nce import info_nce
    from xalign.training.gradcache import cached_backward

    sources, targets, groups = texts(arguments.data, pairs)
    ids = encode(backbone.tokenizer, [*sources, *targets], arguments.max_length)
    arrangement = Arrangement(packs_exactly(backbone), micro_batch, backbone.context)
    sentences = arrange(backbone.tokenizer, ids, arrangement=arrangement).to(backbone.device)
    layer = backbone.depth // 2 if arguments.layer is None else arguments.layer
    loss, device = config.loss.objectives["contrastive"], backbone.device
    groups, source_keys, target_keys = (
        torch.tensor(numbers, device=device)
        for numbers in (groups, [text_key(t) for t in sources], [text_key(t) for t in targets])
    )

    def represent(chunk):  # type: ignore[no-untyped-def]
        return torch.cat([backbone.represent(tokens, layer, loss.pooling) for tokens in chunk])

    def loss_of(vectors):  # type: ignore[no-untyped-def]
        source, target = vectors[sentences.order].chunk(2)
        summed, hits = info_nce(
            source,
            target,
            groups_N=groups,
            source_keys_N=source_keys,
            target_keys_N=target_keys,
            tau=loss.tau,
            symmetric=loss.symmetric,
            centering=loss.centering,
        )
        return summed / pairs, hits

    chunks = sentences.chunks()
    return lambda: cached_backward(chunks, represent, loss_of), len(chunks)


def texts(folder: Path, pairs: int) -> tuple[list[str], list[str], list[int]]:
    """English captions, translations, the numbers of their languages; from the first again if need be."""
    files = {code: folder / "multi30k" / f"train.{code}.gz" for code in ("en", *LANGUAGES)}
    lines = {code: gzip.decompress(file.read_bytes()).decode().splitlines() for code, file in files.items()}
    # Each language has captions of its own.
    all_pairs = [
        (lines["en"][k], lines[LANGUAGES[k % len(LANGUAGES)]][k], k % len(LANGUAGES))
        for k in range(len(lines["en"]))
    ]
    sources, targets, groups = zip(*islice(cycle(all_pairs), pairs), strict=True)
    return list(sources), list(targets), list(groups)


def reset_peak(device) -> float:  # type: ignore[no-untyped-def]
    """Memory held now, from which on peaks count."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mib(device)


def peak_mib(device) -> float:  # type: ignore[no-untyped-def]
    """Highest memory since the reset: the GPU's tensors, or what of this process is resident."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
