"""From one GGUF file to a Hugging Face folder: weights in float32, tokenizer, both checked by reloading."""

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.base.errors import ArtifactError
from xalign.models.gguf.tokenizer import writing_tokenizer

if TYPE_CHECKING:
    import torch

_NAME = "model.gguf"


def convert(place: "Path", folder: Path, title: str) -> None:
    """Write model and tokenizer of a GGUF file into `folder`: float32 safetensors.

    `place` is the file. It is read through a folder of its own, because transformers would also take what it
    finds beside it, such as another model's tokenizer.

    Raises:
        ArtifactError: weights are missing, or what was written is not what was read.
    """
    source = folder / "gguf"
    source.mkdir()
    (source / _NAME).symlink_to(place.resolve())
    with _spinner(f"converting {title}"):
        _write_hugging_face(source, folder, title)
    shutil.rmtree(source)


def _write_hugging_face(source: Path, folder: Path, title: str) -> None:
    import torch

    from xalign.models.gguf.reading import fast_gguf

    # transformers draws bars and warns about the conversion itself, which is what is wanted here.
    with redirect_stderr(io.StringIO()), writing_tokenizer(source, _NAME, folder) as tokenizer:
        with fast_gguf():
            network = _write_weights(source, folder, title)
        tokens = torch.tensor([tokenizer.tokens()])
        before = _logits(network, tokens)
        del network
        after = _logits(_load(folder), tokens)
        tokenizer.wait()
    if not torch.equal(before, after):
        raise ArtifactError(f"the converted model in {folder} gives other logits when reloaded")


def _write_weights(source: Path, folder: Path, title: str) -> Any:
    network, report = _load(source, gguf_file=_NAME, output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        raise ArtifactError(
            f"{title} lacks {len(missing)} weights of a {network.config.model_type}, such as {missing[0]}"
        )
    # The weights are plain float32 now, but saving refuses as long as anything says "quantised".
    network.hf_quantizer = None
    for leftover in ("quantization_config", "_model_name_or_path"):
        if hasattr(network.config, leftover):
            delattr(network.config, leftover)
    network.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        weights.chmod(0o644)
    return network


def _load(folder: Path, **options: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)


def _logits(network: Any, tokens: "torch.Tensor") -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = network.eval()(tokens).logits
    return logits


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    # The stream is given, because sys.stderr is redirected while transformers works.
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(text, total=None)
        yield
