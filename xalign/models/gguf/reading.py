"""GGUF files read by transformers' own loader at a fraction of its time, with the same values to the bit.

Most of that time goes into the vocabulary: `gguf.GGUFReader` makes four arrays of a memory map for each of a
quarter of a million tokens, and transformers reads the file three times. The rest goes into numpy calls on
sixteen rows at a time, one after the other. Here the reader walks strings as bytes, a file is read once, and
many rows are turned into floats at a time, on all threads. What the loader makes of it is as before.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import cache
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType
from gguf.constants import GGML_QUANT_SIZES

_PIECE = 1 << 18
"""Numbers that are made at a time by one thread: their intermediate results fit into a core's cache."""


@contextmanager
def fast_gguf() -> Iterator[None]:
    """While this is open, transformers reads GGUF files with what is below."""
    faster = [
        # Taken from the package by transformers whenever it loads, which is what makes this possible.
        (gguf, "GGUFReader", cache(Reader)),
        (gguf, "dequantize", dequantize),
        (gguf, "get_tensor_name_map", cache(_name_map)),
    ]
    with suppress(ImportError):
        from transformers import modeling_gguf_pytorch_utils as loader

        faster.append((loader, "load_gguf_checkpoint", _described_once(loader.load_gguf_checkpoint)))
    with suppress(ImportError):  # since 5.24, for tokenizers and a few architectures
        from transformers.integrations.gguf import reader

        if hasattr(reader, "_mapped"):
            mapped = reader._mapped
            # A slice of a memory map takes ten times as long as one of an array on the same bytes.
            faster.append((reader, "_mapped", lambda path: np.asarray(mapped(path))))
    former = [(place, name, getattr(place, name)) for place, name, _ in faster]
    for place, name, new in faster:
        setattr(place, name, new)
    try:
        yield
    finally:
        for place, name, old in former:
            setattr(place, name, old)


def _described_once(load: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """`load_gguf_checkpoint` of transformers, which is asked for a file's config once by each that loads."""
    described = cache(load)

    def checkpoint(path: str, return_tensors: bool = False, **options: Any) -> dict[str, Any]:
        if return_tensors:
            return load(path, return_tensors=True, **options)
        found = described(path)
        return {**found, "config": deepcopy(found["config"])}

    return checkpoint


class Reader(GGUFReader):
    """`gguf.GGUFReader` that reads arrays in one go; the parts of a field are views of bytes and numbers."""

    # The package has no other place where arrays are read; an unknown kind of array is left to it.
    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
        swapped = self.byte_order != "I" or sys.byteorder != "little"
        if raw_type != GGUFValueType.ARRAY or swapped:
            return super()._get_field_parts(orig_offs, raw_type)
        buffer = np.asarray(self.data).data
        item, count = struct.unpack_from("<IQ", buffer, orig_offs)
        start = orig_offs + 12
        if item == GGUFValueType.STRING:
            parts, end = _strings(buffer, start, count)
        elif (kind := self.gguf_scalar_to_np.get(item)) is not None:
            end = start + count * np.dtype(kind).itemsize
            parts = list(np.frombuffer(buffer[start:end], kind).reshape(count, 1))
        else:
            # An array of arrays.
            return super()._get_field_parts(orig_offs, raw_type)
        types = [GGUFValueType.ARRAY] + [GGUFValueType(item)] * bool(count)
        return end - orig_offs, parts, list(range(count)), types


def _strings(buffer: memoryview, start: int, count: int) -> tuple[list[memoryview], int]:
    """`count` strings, each after its length in bytes, and where they end."""
    length = struct.Struct("<Q").unpack_from
    parts = []
    for _ in range(count):
        end = start + 8 + length(buffer, start)[0]
        parts.append(buffer[start + 8 : end])
        start = end
    return parts, start


def dequantize(data: np.ndarray, qtype: GGMLQuantizationType) -> np.ndarray:
    """What `gguf.dequantize` makes of the bytes of a tensor's rows, float32, computed on all threads."""
    block, size = GGML_QUANT_SIZES[qtype]
    if block == 1 or data.dtype != np.uint8:
        return _dequantize(data, qtype)
    blocks = np.asarray(data).reshape(-1, size)
    values = np.empty((len(blocks), block), np.float32)
    step = max(1, _PIECE // block)

    def fill(start: int) -> None:
        # One row, since `gguf.dequantize` works on sixteen rows at a time, however short they are.
        piece = blocks[start : start + step].reshape(1, -1)
        values[start : start + step] = _dequantize(piece, qtype).reshape(-1, block)

    starts = range(0, len(blocks), step)
    if len(starts) == 1:
        fill(0)
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(fill, starts))
    return values.reshape(*data.shape[:-1], -1)


_dequantize, _name_map = gguf.dequantize, gguf.get_tensor_name_map
