"""Rows of parallel text written to a file, in the layout that its name says."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lxml import etree

from xalign.base.errors import ConfigError, did_you_mean
from xalign.data.readers.files import stem_and_suffix
from xalign.data.readers.xml import LANG
from xalign.data.rows import Row

ENDINGS = ("jsonl", "tsv", "parquet", "tmx", "txt")
"""Of files that can be written; `txt`: a line-aligned file a language."""


def ending_of(output: str | None) -> str:
    """The layout that the output's name asks for.

    Raises:
        ConfigError: there is none, or it cannot be written.
    """
    if output is None:
        raise ConfigError(["output: required, but not given (a file, as in output=pairs.jsonl)"])
    ending = stem_and_suffix(Path(output))[1].lower()
    if ending not in ENDINGS:
        hint = did_you_mean(ending, ENDINGS)
        raise ConfigError([f"output={output}: must end in one of {', '.join(ENDINGS)}{hint}"])
    return ending


def write_rows(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> int:
    """Write rows and tell how many. Of `tsv` and `txt` line breaks and tabs in texts become spaces, rows that
    lack a language have an empty text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path, Iterable[Row], Sequence[str]], None]] = {
        "jsonl": _jsonl,
        "tsv": _tsv,
        "parquet": _parquet,
        "tmx": _tmx,
        "txt": _lines,
    }
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    writers[ending_of(str(path))](path, counted(), languages)
    return count


def _jsonl(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            file.write(json.dumps(row.texts, ensure_ascii=False) + "\n")


def _tsv(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\t".join(languages) + "\n")
        for row in rows:
            file.write("\t".join(_one_line(row.texts.get(code, "")) for code in languages) + "\n")


def _lines(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> None:
    """`pairs.txt` -> `pairs.en`, `pairs.de`."""
    files = [path.with_suffix(f".{code}").open("w", encoding="utf-8", newline="") for code in languages]
    try:
        for row in rows:
            for code, file in zip(languages, files, strict=True):
                file.write(_one_line(row.texts.get(code, "")) + "\n")
    finally:
        for file in files:
            file.close()


def _parquet(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(code, pa.string()) for code in languages])
    part = list[dict[str, str | None]]()
    with parquet.ParquetWriter(path, schema) as writer:
        for row in rows:
            part.append({code: row.texts.get(code) for code in languages})
            if len(part) == 10_000:
                writer.write_table(pa.Table.from_pylist(part, schema))
                part.clear()
        writer.write_table(pa.Table.from_pylist(part, schema))


def _tmx(path: Path, rows: Iterable[Row], languages: Sequence[str]) -> None:
    head = {"srclang": languages[0], "creationtool": "xalign", "segtype": "sentence", "datatype": "plaintext"}
    head |= {"creationtoolversion": "1", "o-tmf": "xalign", "adminlang": "en"}
    with etree.xmlfile(str(path), encoding="utf-8") as file:
        file.write_declaration()
        with file.element("tmx", version="1.4"):
            file.write(etree.Element("header", head))
            with file.element("body"):
                for row in rows:
                    unit = etree.Element("tu")
                    for code, text in row.texts.items():
                        variant = etree.SubElement(unit, "tuv", {LANG: code})
                        etree.SubElement(variant, "seg").text = _as_xml(text)
                    file.write(unit)


def _one_line(text: str) -> str:
    return " ".join(text.replace("\t", " ").splitlines()) if not text.isprintable() else text


def _as_xml(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or ord(c) >= 32)
