"""What a task of lm-evaluation-harness asks, as one hash: of its files' content, not of their names."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets


def fingerprint(task: Any, shots: int | None) -> str:
    """Hexadecimal sha256 of a task's settings with all that they include, of the code beside them, of its
    items and, where there are `shots`, of what demonstrations are drawn from.

    The harness's own code is left out: its version stands for it.
    """
    digest = hashlib.sha256()
    settings = task.config.to_dict(keep_callable=True)
    digest.update(json.dumps(settings, sort_keys=True, default=_name).encode())
    for file in _code([type(task), *_callables(settings)]):
        digest.update(file.read_bytes())
    for content in _contents(task.eval_docs):
        digest.update(content)
    if task.config.num_fewshot if shots is None else shots:
        for content in _contents(task.fewshot_docs() or []):
            digest.update(content)
    return digest.hexdigest()


def _callables(value: Any) -> Iterator[Callable[..., Any]]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for own in value:
            yield from _callables(own)
    elif callable(value):
        yield value


def _code(objects: Iterable[Callable[..., Any]]) -> list[Path]:
    """The files of Python beside those that define these: they may import each other."""
    import lm_eval

    harness = Path(lm_eval.__file__).parent
    folders = set()
    for own in objects:
        try:
            file = inspect.getsourcefile(own)
        except TypeError:  # built in
            continue
        if file is not None and not Path(file).is_relative_to(harness):
            folders.add(Path(file).parent)
    return sorted(file for folder in folders for file in folder.glob("*.py"))


def _contents(docs: Iterable[Any]) -> Iterator[bytes]:
    if not isinstance(docs, datasets.Dataset):
        for doc in docs:
            yield json.dumps(doc, sort_keys=True, default=str).encode()
        return
    for table in docs.with_format("arrow").iter(1000):
        for batch in table.combine_chunks().to_batches():
            yield batch.serialize()


def _name(value: Any) -> str:
    """A function by its name (its code counts by itself), anything else as text."""
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else str(value)
