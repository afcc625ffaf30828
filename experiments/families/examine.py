"""One type from its config to its verdicts, in a process of its own."""

import contextlib
import json
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checks
import torch
from hints import HINTS
from shrink import tiny_config
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from xalign.base.errors import XalignError
from xalign.models.byte_tokenizer import byte_tokenizer

TOWERS = "+towers"
"""After a type's name: its whole multimodal class, and not that of its text alone."""
MEMORY = 6 * 2**30
"""Bytes of data a process may have."""


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
    names = MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES if TOWERS in kind else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    found: dict[str, Any] = {"class": names[kind.removesuffix(TOWERS)], "problems": {}}
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
        for check in (
            *(checks.states, checks.early_exit, checks.right_padding, checks.left_padding),
            checks.generation,
        ):
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
def noting(problems: dict[str, str], name: str) -> Iterator[None]:
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
    config = tiny_config(kind.removesuffix(TOWERS), HINTS.get(kind, {}))
    for own in (config, config.get_text_config()):
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(own, token, getattr(tokenizer, token))
    torch.manual_seed(0)
    factory: Any = AutoModelForMultimodalLM if TOWERS in kind else AutoModelForCausalLM
    model = factory.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        model(input_ids=torch.tensor([[7, 8, 9]]))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _said(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
