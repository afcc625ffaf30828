"""Parquet and Arrow files, a column a language or a `translation` record: what `datasets` writes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xalign.base.errors import DataError
from xalign.data.readers.base import FileReader, Source
from xalign.data.readers.files import ending
from xalign.data.readers.records import Placed, are_parallel, rows_from_records
from xalign.data.rows import Row

_PARQUET, _FILE, _STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""How the three kinds of files begin."""
_SHARD = re.compile(r"-\d+-of-\d+")


class ArrowReader(FileReader):
    """`pairs.parquet`, `data.arrow`; of a folder the shards of one split (`train-00000-of-00002.parquet`)."""

    endings = ("parquet", "arrow", "feather")

    @classmethod
    def fits(cls, path: Path, source: Source) -> bool:
        try:
            first = next(_batches(path), [])
        except DataError:
            return False
        return are_parallel(first[:1], source)

    @classmethod
    def one_set(cls, paths: list[Path]) -> list[Path]:
        splits: dict[str, list[Path]] = {}
        for path in paths:
            splits.setdefault(_SHARD.sub("", path.stem), []).append(path)
        if len(splits) == 1:
            return paths
        return splits.get("train", [])

    def read(self, path: Path) -> Iterator[Row]:
        return rows_from_records(_records(path), self.source, path.name, uniform=True)


READER = ArrowReader


def _records(path: Path) -> Iterator[Placed | DataError]:
    number = 0
    try:
        for batch in _batches(path):
            for record in batch:
                number += 1
                yield f"'{path}', row {number}", record
    except DataError as error:
        yield error


def _batches(path: Path, size: int = 1000) -> Iterator[list[dict[str, Any]]]:
    """Records, some at a time; raises DataError where the file is damaged."""
    import pyarrow as pa  # a tenth of a second
    from pyarrow import parquet

    try:
        with path.open("rb") as file:
            beginning = file.read(6)
        # Arrow would take any other file's first bytes for the size of what to read.
        if not beginning.startswith((_PARQUET, _FILE, _STREAM)):
            raise ValueError("it does not begin as one")
        if beginning.startswith(_PARQUET):
            with parquet.ParquetFile(path, memory_map=True) as parts:
                for batch in parts.iter_batches(size):
                    yield batch.to_pylist()
            return
        with pa.memory_map(str(path)) as mapped:
            if beginning.startswith(_FILE):
                opened = pa.ipc.open_file(mapped)
                batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
            else:
                batches = iter(pa.ipc.open_stream(mapped))
            for batch in batches:
                for start in range(0, batch.num_rows, size):
                    part = batch.slice(start, size)
                    part.validate(full=True)  # what is damaged could end the process
                    yield part.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"'{path}' is not a {ending(path)} file, or is damaged: {reason}") from None
