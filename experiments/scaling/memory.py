"""What a rank holds of a sharded model from loading to a first pass, and that its logits are those of one.

    python experiments/scaling/memory.py [--ranks 1 2 4] [--dtype bfloat16]

A random Llama of half a billion parameters (2 GB in float32), with adapters, on CPU ranks of this machine.
`stored`: as runs do it, each rank's part out of the mapped file; `whole`: loaded whole in each rank first.
The peak is of memory of the rank's own (RssAnon, polled), above what it held with all libraries imported;
mapped pages of the file are shared by the ranks, and given back where memory is short.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from transformers import LlamaConfig, LlamaForCausalLM

from xalign.config.parts import AdaptedLayers
from xalign.config.schema import ModelConfig
from xalign.config.training import StrategyConfig
from xalign.data.collate import Tokens
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone, evaluating
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.runs.measurement import load_backbone, load_to_shard
from xalign.training.sharding import mesh_of, shard
from xalign.workspace.environment import return_freed_memory

GB = 1e9
CPU = torch.device("cpu")
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 4096,
    "tie_word_embeddings": True,
}


def own_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise AssertionError("no RssAnon: Linux only")


@contextmanager
def peak_above(before: int, found: list[int]) -> Iterator[None]:
    """Inside, the most memory is noted that this process holds of its own."""
    done = threading.Event()

    def watch() -> None:
        most = 0
        while not done.is_set():
            most = max(most, own_bytes())
            time.sleep(0.005)
        found.append(most - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def written(folder: Path, dtype: torch.dtype) -> Path:
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def logits_of(backbone: Backbone) -> torch.Tensor:
    ids_BT = torch.arange(64).view(2, 32) % 250
    ones_BT = torch.ones_like(ids_BT)
    with evaluating(backbone):
        return backbone.logits_at(Tokens(ids_BT, ones_BT, ones_BT), ones_BT.bool())


def rank(number: int, ranks: int, path: Path, stored: bool) -> None:
    torch.set_num_threads(1)
    return_freed_memory()
    dist.init_process_group("gloo", init_method=f"file://{path / 'meeting'}", rank=number, world_size=ranks)
    model = ModelConfig(name="random", path=str(path / "model"))
    found: list[int] = []
    with peak_above(own_bytes(), found):
        backbone = (load_to_shard if stored else load_backbone)(model, CPU, 0)
        config = ADAPTERS.load("lora").Config(method="lora", layers=AdaptedLayers.all)
        adapter = adapters.attach(backbone, config, 0, layer=14)
        shard(backbone, mesh_of("cpu", 1), StrategyConfig(), adapter.whole())
        logits = logits_of(backbone)
    torch.save({"peak": found[0], "logits": logits}, path / f"rank-{number}.pt")
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        written(path / "model", getattr(torch, arguments.dtype))
        with torch.device("meta"):
            skeleton = LlamaForCausalLM(LlamaConfig(**SHAPE))
        size = 4 * sum(p.numel() for p in skeleton.parameters()) / GB
        block = 4 * sum(p.numel() for p in skeleton.model.layers[0].parameters()) / GB
        print(f"{size:.2f} GB in float32, stored in {arguments.dtype}, {block:.3f} GB a block\n")
        print("| ranks | share and two blocks, GB | and 20 % | peak of a rank: stored | whole | logits |")
        print("|---:|---:|---:|---:|---:|---:|")
        first: torch.Tensor | None = None
        for ranks in arguments.ranks:
            peaks = []
            for stored in (True, False):
                (path / "meeting").unlink(missing_ok=True)
                mp.spawn(rank, (ranks, path, stored), nprocs=ranks)
                found = [torch.load(path / f"rank-{number}.pt") for number in range(ranks)]
                peaks.append(max(own["peak"] for own in found) / GB)
                first = found[0]["logits"] if first is None else first
                apart = max(float((own["logits"] - first).norm() / first.norm()) for own in found)
            wanted = size / ranks + 2 * block
            row = [f"{ranks}", f"{wanted:.2f}", f"{1.2 * wanted:.2f}", *(f"{peak:.2f}" for peak in peaks)]
            print(f"| {' | '.join(row)} | {apart:.1g} apart |", flush=True)


if __name__ == "__main__":
    main()
