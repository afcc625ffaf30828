"""A tiny random model of every type that transformers has a causal language model of, through all of xalign.

    python experiments/families/run.py [--again] [--out DIR] [--seconds N] [TYPE ...]

Every type has a process of its own, forked when everything is imported, with limits of time and memory: one
that hangs or dies does not stop the others. Its result is a file in DIR (outputs/families); what is there is
not done again but with --again. At the end, README.md is written from all results, unless types are named.
"""

import argparse
import contextlib
import json
import os
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")

import checks  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from hints import HINTS  # noqa: E402
from shrink import tiny_config  # noqa: E402
from table import write_table  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

from xalign.base.errors import XalignError  # noqa: E402
from xalign.models.byte_tokenizer import byte_tokenizer  # noqa: E402

HERE = Path(__file__).parent
MEMORY = 6 * 2**30
"""Bytes of data a process may have."""


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
    kinds = arguments.types or list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
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


def apart(work: Callable[[], dict[str, Any]], seconds: int) -> dict[str, Any]:
    """What `work` returns, done in a process of its own."""
    with tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
                signal.alarm(seconds)
                result = work()
                answer.write(json.dumps(result))
                answer.flush()
                status = 0
            except BaseException:
                answer.write(json.dumps({"died": traceback.format_exc(limit=-3)[-600:]}))
                answer.flush()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        answer.seek(0)
        content = answer.read()
    if os.WIFSIGNALED(ended):
        number = os.WTERMSIG(ended)
        late = f"took longer than {seconds} s"
        return {"died": late if number == signal.SIGALRM else f"killed by {signal.Signals(number).name}"}
    found: dict[str, Any] = json.loads(content)
    return found


def examine(kind: str) -> dict[str, Any]:
    """Everything about one type. `refused` and `unbuilt` are messages; `problems` by check."""
    found: dict[str, Any] = {"class": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind], "problems": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tiny"
        try:
            build(kind, folder)
        except Exception as error:
            return found | {"unbuilt": _said(error)}
        try:
            backbone = checks.load(folder)
        except XalignError as error:
            return found | {"refused": str(error).replace(str(folder), "DIR")}
        except Exception as error:
            return found | {"problems": {"load": _said(error)}}
        problems = found["problems"]
        for check in (checks.states, checks.early_exit, checks.right_padding, checks.left_padding):
            with noting(problems, check.__name__):
                check(backbone)
        with noting(problems, "packing"):
            found["packs"] = checks.packing(backbone)
        for method in ("lora", "full"):
            with noting(problems, method):
                found[method] = checks.training(method)(checks.load(folder), Path(place) / method)
        with noting(problems, "flops"):
            found["flops"] = checks.flops(checks.load(folder))
    return found


@contextlib.contextmanager
def noting(problems: dict[str, str], name: str) -> Any:
    """Whatever goes wrong inside is written down under a name."""
    try:
        yield
    except checks.Problem as error:
        problems[name] = f"wrong: {error}"
    except XalignError as error:
        problems[name] = f"said: {error}"
    except Exception as error:
        problems[name] = _said(error)


def build(kind: str, folder: Path) -> None:
    """Write a tiny random checkpoint with the byte tokenizer; it has run once."""
    tokenizer = byte_tokenizer()
    config = tiny_config(kind, HINTS.get(kind, {}))
    for own in (config, config.get_text_config()):
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(own, token, getattr(tokenizer, token))
    torch.manual_seed(0)
    factory: Any = AutoModelForCausalLM
    model = factory.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        model(torch.tensor([[7, 8, 9]]))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _said(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"


if __name__ == "__main__":
    main()
