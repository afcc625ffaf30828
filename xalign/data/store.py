"""A corpus as it is trained on, cleaned and joined, in Arrow files with a manifest: `python -m xalign.data
prepare`. `data.path=FOLDER` reads it again without cleaning it anew.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xalign.base.errors import DataError
from xalign.base.files import read_json, write_atomically
from xalign.data.cleaning import CleaningReport

if TYPE_CHECKING:
    from xalign.data.parallel import ParallelCorpus

MANIFEST = "xalign_corpus.json"
"""Beside the Arrow files: what the corpus was made of, and how."""
VERSION = 1


def write_store(
    folder: Path, corpus: "ParallelCorpus", report: CleaningReport, made_of: dict[str, Any]
) -> None:
    """Write the corpus to a folder that is new, or an older store.

    `made_of`: config, sources, licences and the program's version, for the manifest.

    Raises:
        DataError: the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise DataError(f"output={folder}: holds something that is no corpus of ours; give a new folder")
    # Whole beside it first: the corpus may be the older store itself, read from its files.
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shards = max(1, corpus.table.data.nbytes // 256_000_000)
    corpus.table.save_to_disk(part, num_shards=shards)
    manifest = {
        "version": VERSION,
        "rows": len(corpus),
        "languages": {code: len(corpus.table) - corpus.texts(code).count(None) for code in corpus.languages},
        "sha256": corpus.fingerprint,
        "cleaning": asdict(report),
        **made_of,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("data-*.arrow"):
        old.unlink()
    for new in part.iterdir():
        new.replace(folder / new.name)
    part.rmdir()
    write_atomically(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))


def is_store(folder: Path) -> bool:
    """Whether a folder is a store."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest; raises DataError where it is damaged."""
    found = read_json(folder / MANIFEST)
    if not isinstance(found, dict):
        raise DataError(f"'{folder / MANIFEST}' is damaged: an object is wanted")
    return found
