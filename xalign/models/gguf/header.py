"""What a GGUF file says of itself before its weights, and why it cannot be used, seen without torch.

The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Type of a value -> its format in `struct`; 8 is a string, 9 an array."""
_STRING, _ARRAY = 8, 9
_ENCODERS = ("bert", "nomic-bert", "jina-bert-v2", "t5encoder", "modern-bert", "neo-bert", "gemma-embedding")
_OTHER_NAMES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"}
"""Architectures that llama.cpp and transformers call by different names."""
_SCALED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors with factors of the rotary frequencies, which transformers leaves out."""
_INSTEAD = "give the model's Hugging Face folder or hub id instead"


@dataclass(frozen=True)
class Header:
    """Metadata and table of tensors of a GGUF file."""

    metadata: dict[str, object]
    """Key -> number, text or truth; of an array its length."""
    shapes: dict[str, tuple[int, ...]]
    """Tensor -> shape, slowest dimension first."""
    size: int
    """Bytes that the whole file has."""

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    @property
    def numbers(self) -> int:
        """Weights, in all tensors."""
        return sum(prod(shape) for shape in self.shapes.values())


class _Damaged(ValueError):
    """Says how."""


def is_gguf(path: Path) -> bool:
    """Whether a file is one, by its first bytes; a file that is called so and is none is not."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """The header of a GGUF file.

    Raises:
        ValueError: it is damaged, cut short within the header, or of another version; says which.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _Walk(content).header()
        except (struct.error, OverflowError) as error:
            there = f"{len(content)} bytes are there"
            raise _Damaged(f"is cut short within its header: {there}; copy it again") from error
        except UnicodeDecodeError as error:
            raise _Damaged("has a damaged header: a name in it is not UTF-8 text") from error


class _Walk:
    """A place in a file's content, and how to go on from there."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.at = len(MAGIC)

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{layout}", self.content, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def header(self) -> Header:
        (version,) = self.take("I")
        if version & 0xFFFF == 0:
            raise _Damaged("was written for big-endian machines, which transformers does not read")
        if version not in _VERSIONS:
            raise _Damaged(f"is GGUF of version {version}; versions 2 and 3 can be read")
        tensors, pairs = self.take("QQ")
        metadata = {self.string(): self.value(*self.take("I")) for _ in range(pairs)}
        table = [self.tensor() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise _Damaged(f"has a damaged header: general.alignment={alignment}")
        start = -(-self.at // alignment) * alignment
        end = max((offset + size for _, _, offset, size in table), default=0)
        return Header(metadata, {name: shape for name, shape, _, _ in table}, start + end)

    def string(self) -> str:
        (length,) = self.take("Q")
        return self.take(f"{length}s")[0].decode()  # type: ignore[attr-defined]

    def value(self, kind: int) -> object:
        if kind in _SCALARS:
            return self.take(_SCALARS[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise _Damaged(f"has a damaged header: a value of the unknown type {kind}")
        item, count = self.take("IQ")
        if item in _SCALARS:
            self.at += count * struct.calcsize(f"<{_SCALARS[item]}")
        elif item == _STRING:
            self.skip_strings(count)
        else:
            for _ in range(count):
                self.value(item)
        return count

    def skip_strings(self, count: int) -> None:
        length = struct.Struct("<Q").unpack_from
        for _ in range(count):
            self.at += 8 + length(self.content, self.at)[0]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, where its bytes begin, and how many they are."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        name = self.string()
        shape = tuple(reversed(self.take(f"{self.take('I')[0]}Q")))
        kind, offset = self.take("IQ")
        if kind not in set(GGMLQuantizationType):
            raise _Damaged(f"stores {name} in a way (type {kind}) that this version of gguf does not know")
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        return name, shape, offset, prod(shape) // block * size


def problem_of_gguf(path: Path) -> str | None:
    """Why a GGUF file cannot be used as a language model; None where nothing is seen to be wrong."""
    if not is_gguf(path):
        return "is no GGUF file: it does not begin with the letters GGUF"
    try:
        header = read_header(path)
    except _Damaged as error:
        return str(error)
    said = header.metadata
    kind = said.get("general.type", "model")
    shards = said.get("split.count", 0)
    if isinstance(shards, int) and shards > 1:
        return (
            f"is one of {shards} shards of a model; merge them first: "
            f"llama-gguf-split --merge FIRST-SHARD.gguf WHOLE.gguf; or {_INSTEAD}"
        )
    if header.architecture == "clip" or kind == "mmproj":
        return "is a multimodal projector (it turns images or sound into inputs), and no language model"
    if kind != "model":
        return f"holds no model, but says general.type={kind}"
    if (there := path.stat().st_size) < header.size:
        return f"is cut short: {there} of {header.size} bytes are there; copy it again"
    return _problem_of_architecture(header)


def _problem_of_architecture(header: Header) -> str | None:
    name = header.architecture
    if name in _ENCODERS:
        return f"'{name}' is an encoder; a decoder-only model is needed, as model=gemma3_270m is"
    if name in ("t5", "umt5"):
        return f"'{name}' is an encoder-decoder; a decoder-only model is needed, as model=gemma3_270m is"
    if _OTHER_NAMES.get(name, name.replace("-", "_")) not in architectures():
        return f"transformers reads no GGUF file of the architecture '{name}'; {_INSTEAD}"
    # Left out without a word by transformers, and every number would be slightly wrong.
    scaled = [tensor for tensor in _SCALED if tensor in header.shapes]
    scaling = header.metadata.get(f"{name}.rope.scaling.type", "none")
    if scaled or (scaling != "none" and name != "gpt-oss"):
        what = scaled[0] if scaled else f"{name}.rope.scaling.type={scaling}"
        return f"its rotary positions are scaled ({what}), which transformers leaves out; {_INSTEAD}"
    return None


def architectures() -> list[str]:
    """Architectures whose GGUF files this version of transformers reads, as it calls them."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    found = set(GGUF_CONFIG_MAPPING) - {"general", "tokenizer"}
    try:  # since 5.24
        from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS
    except ImportError:
        return sorted(found)
    return sorted(found | set(GGUF_CONFIG_ARCHS))
