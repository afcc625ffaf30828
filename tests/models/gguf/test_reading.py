"""The fast reader gives what the package's own gives, to the bit, and transformers uses it."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf.constants import GGML_QUANT_SIZES
from gguf_files import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from xalign.models.gguf import reading
from xalign.models.gguf.conversion import convert

KINDS = [
    *(Kind.F32, Kind.F16, Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0),
    *(Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL, Kind.IQ4_XS),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(37, 512), (3, 5, 256)])
def test_values_are_those_of_the_package(
    kind: Kind, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PIECE", 1024)  # several pieces, the last of them shorter
    block, size = GGML_QUANT_SIZES[kind]
    # Any bytes, without the highest bit of the exponents of scales, so that every number is finite.
    stored = np.random.default_rng([1]).integers(0, 256, (*shape[:-1], shape[-1] // block * size)) & 0xBF
    data = stored.astype(np.uint8)
    if kind in (Kind.F32, Kind.F16):
        data = data.view(np.float32 if kind == Kind.F32 else np.float16)
    wanted = gguf.dequantize(data, kind)
    found = reading.dequantize(data, kind)
    assert (found.shape, found.dtype) == (shape, np.float32)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def test_a_header_is_read_as_by_the_package(tmp_path: Path) -> None:
    path = tmp_path / "toy.gguf"

    def more(writer: gguf.GGUFWriter) -> None:
        writer.add_array("some.numbers", [1, 2, 3])
        writer.add_array("some.floats", [0.5, -1.5])
        writer.add_array("some.words", ["", "naïve", "猫"])

    write_gguf(path, Kind.Q8_0, extra=more)
    own, fast = gguf.GGUFReader(path), reading.Reader(path)
    assert list(own.fields) == list(fast.fields)
    for name, field in own.fields.items():
        assert fast.fields[name].contents() == field.contents(), name
        assert fast.fields[name].types == field.types, name
    assert [t.name for t in own.tensors] == [t.name for t in fast.tensors]
    for left, right in zip(own.tensors, fast.tensors, strict=True):
        np.testing.assert_array_equal(left.data, right.data)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.Q8_0, Kind.Q4_0])
def test_a_converted_model_is_transformers_own(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "toy.gguf", kind)
    wanted = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="toy.gguf", dtype=torch.float32)
    counted: list[Kind] = []
    fast = reading.dequantize

    def counting(data: np.ndarray, qtype: Kind) -> np.ndarray:
        counted.append(qtype)
        return fast(data, qtype)

    monkeypatch.setattr(reading, "dequantize", counting)
    (tmp_path / "out").mkdir()
    convert(tmp_path / "toy.gguf", tmp_path / "out", "toy")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert kind in counted
    assert found.state_dict().keys() == wanted.state_dict().keys()
    for name, value in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[name].view(torch.int32), value.view(torch.int32)), name
    own = AutoTokenizer.from_pretrained(tmp_path, gguf_file="toy.gguf")
    converted = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert converted.get_vocab() == own.get_vocab()
    assert converted.chat_template == own.chat_template


def test_the_package_is_as_before_afterwards() -> None:
    before = gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map
    with reading.fast_gguf():
        assert gguf.dequantize is reading.dequantize
    with pytest.raises(ZeroDivisionError), reading.fast_gguf():
        raise ZeroDivisionError
    assert (gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map) == before
