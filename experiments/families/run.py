"""A tiny random model of every type that transformers has a causal language model of, through all of xalign.

    python experiments/families/run.py [--again] [--out DIR] [--seconds N] [TYPE ...]

Every type has a process of its own, forked when everything is imported, with limits of time and memory: one
that hangs or dies does not stop the others. Its result is a file in DIR (outputs/families); what is there is
not done again but with --again. At the end, README.md is written from all results, unless types are named.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from examine import TOWERS, apart, examine  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402
from verdicts import write_table  # noqa: E402

HERE = Path(__file__).parent
WITH_TOWERS = tuple(
    f"{kind}{TOWERS}"
    for kind in (
        *("gemma3", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "mistral3", "llava"),
        *("llava_next", "llava_onevision", "internvl", "paligemma", "aya_vision", "idefics3", "llama4"),
        *("blip-2", "voxtral", "qwen2_audio", "granite_speech", "mllama"),
    )
)
"""Multimodal types that are tried: pictures, then sound. BLIP-2 stands for mBLIP, LLaVA for Parrot and
MiniCPM-V; CosyVoice's decoder is a Qwen 2."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", help="types of transformers (default: all)")
    parser.add_argument("--again", action="store_true", help="also what is there")
    parser.add_argument("--out", type=Path, default=Path("outputs/families"))
    parser.add_argument("--seconds", type=int, default=120, help="limit of one type")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kinds = arguments.types or [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *WITH_TOWERS]
    for number, kind in enumerate(kinds):
        file = arguments.out / f"{kind}.json"
        if file.exists() and not arguments.again:
            continue
        started = time.perf_counter()
        result = apart(lambda kind=kind: examine(kind), arguments.seconds)
        result = {"type": kind, "seconds": round(time.perf_counter() - started, 1)} | result
        file.write_text(json.dumps(result, indent=1))
        print(f"{number + 1}/{len(kinds)} {kind}: {json.dumps(result)[:300]}", flush=True)
    if not arguments.types:
        results = [json.loads((arguments.out / f"{kind}.json").read_text()) for kind in kinds]
        write_table(results, HERE / "README.md", transformers.__version__)


if __name__ == "__main__":
    main()
