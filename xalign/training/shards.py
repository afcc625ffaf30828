"""Checkpoints of sharded parameters, by torch.distributed.checkpoint: safetensors, a file a rank.

    state.ckpt/shard-00001-model-00001-of-00001.safetensors    the first rank's shards
    state.ckpt/rest.pt                                         everything that is not sharded, and what is

They are read into any number of ranks, also into none. `torch.distributed.checkpoint`'s own format keeps its
index as a pickle, which may run code when it is read; safetensors hold nothing but numbers.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.tensor import DTensor

REST = "rest.pt"

Place = tuple[str | int, ...]
"""Where in a checkpoint a tensor is: the keys on the way to it."""

Room = Callable[[Place, torch.Size, torch.dtype], Tensor | None]
"""Makes the tensor that a whole tensor of that size is read into, its own shard of it; None: not read."""


def save(checkpoint: dict[str, Any], folder: Path, *, first: bool) -> None:
    """Write a checkpoint of Lightning's as a folder; every rank calls this, the `first` writes the rest."""
    sharded: dict[Place, Tensor] = {}
    rest = _without_sharded(checkpoint, (), sharded)
    folder.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = {_name(place): tensor for place, tensor in sharded.items()}
    state_dict_saver.save(named, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    if first:
        torch.save({"checkpoint": rest, "sharded": list(sharded)}, folder / REST)


def load(folder: Path, room: Room, *, alone: bool = False) -> dict[str, Any]:
    """The checkpoint again; every rank calls this, unless it is read by one process `alone`."""
    saved = torch.load(folder / REST, map_location="cpu", weights_only=True)
    checkpoint: dict[str, Any] = saved["checkpoint"]
    known = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    read: dict[Place, Tensor] = {}
    for place in saved["sharded"]:
        metadata: Any = known[_name(place)]
        tensor = room(place, metadata.size, metadata.properties.dtype)
        if tensor is not None:
            read[place] = tensor
    named: dict[str, Any] = {_name(place): tensor for place, tensor in read.items()}
    reader = HuggingFaceStorageReader(str(folder))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as it should be
        state_dict_loader.load(named, storage_reader=reader, no_dist=alone)
    for (*way, last), tensor in read.items():
        part: Any = checkpoint
        for key in way:
            part = part[key]
        part[last] = tensor
    return checkpoint


def load_whole(folder: Path) -> dict[str, Any]:
    """The checkpoint in a process by itself: parameters whole, states of optimizers left out."""

    def room(place: Place, size: torch.Size, dtype: torch.dtype) -> Tensor | None:
        return torch.empty(size, dtype=dtype) if place[0] == "state_dict" else None

    return load(folder, room, alone=True)


def _without_sharded(part: Any, place: Place, sharded: dict[Place, Tensor]) -> Any:
    """The same dicts and lists without sharded tensors, which are put into `sharded`."""
    if isinstance(part, dict):
        kept = {key: _without_sharded(value, (*place, key), sharded) for key, value in part.items()}
        return {key: value for key, value in kept.items() if not isinstance(value, DTensor)}
    if isinstance(part, list):
        return [_without_sharded(value, (*place, number), sharded) for number, value in enumerate(part)]
    if isinstance(part, DTensor):
        sharded[place] = part.detach()
    return part


def _name(place: Place) -> str:
    return "/".join(map(str, place))
