"""How fast parallel text is read and cleaned, and in how much memory.

    python experiments/readers/speed.py [--pairs 200000] [--repeats 3] [--memory 10000000]

Every layout holds the same made-up sentences, of 60 to 130 characters. Rates are medians over repeats in one
process; `read` is the reader alone, `cleaned` with all filters and with what joins rows by their pivot; for
TMX a bare loop of lxml over the same file is the measure. Memory is the peak of a process of its own that
reads so many pairs from JSON lines.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lxml import etree

from xalign.config.text import DataConfig
from xalign.data.cleaning import CleaningReport, clean, merge_by_pivot
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import Row

WORDS = (
    "the house river of we morning carried letter without any answer street garden winter people light",
    "das Haus Fluss von wir Morgen trug Brief ohne jede Antwort Straße Garten Winter weil Leute Licht über",
)


def sentences(count: int) -> Iterator[tuple[str, str]]:
    words = [own.split() for own in WORDS]
    for n in range(count):
        yield (
            " ".join([str(n), *(words[0][(n * k) % len(words[0])] for k in range(3, 15 + n % 7))]),
            " ".join([str(n), *(words[1][(n * k) % len(words[1])] for k in range(3, 15 + n % 7))]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=10_000_000, help="pairs; 0: not measured")
    parser.add_argument("--only-read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_read:
        print(sum(1 for _ in rows(arguments.only_read)), peak())
        return
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), arguments.pairs)
        print("| layout | MB | read, pairs/s | MB/s | cleaned, pairs/s |\n| --- | --- | --- | --- | --- |")
        for name, path in files.items():
            size = sum(own.stat().st_size for own in path.parent.glob(f"{path.stem}.*")) / 1e6
            read = timed(lambda path=path: count(rows(path)), arguments.repeats)
            cleaned = timed(lambda path=path: all_filters(path), arguments.repeats)
            print(
                f"| {name} | {size:.0f} | {arguments.pairs / read:,.0f} | {size / read:.0f} "
                f"| {arguments.pairs / cleaned:,.0f} |",
                flush=True,
            )
        bare = timed(lambda: bare_loop(files["tmx"]), arguments.repeats)
        print(f"\nlxml alone over the TMX file: {files['tmx'].stat().st_size / 1e6 / bare:.0f} MB/s")
        if arguments.memory:
            path = Path(folder) / "many.jsonl"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps({"en": x, "de": y}) + "\n" for x, y in sentences(arguments.memory))
            found = subprocess.check_output([sys.executable, __file__, "--only-read", str(path)], text=True)
            print(f"{int(found.split()[0]):,} pairs read in {int(found.split()[1]) / 1024:.0f} MB")


def peak() -> int:
    """Kilobytes of this process, whatever its parent held when it started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def written(folder: Path, pairs: int) -> dict[str, Path]:
    names = {
        "lines": "moses.en",
        "lines.gz": "packed.en.gz",
        "jsonl": "p.jsonl",
        "tsv": "t.tsv",
        "tmx": "m.tmx",
    }
    own = list(sentences(pairs))

    for side, code in enumerate(("en", "de")):
        text = "".join(pair[side] + "\n" for pair in own).encode()
        (folder / f"moses.{code}").write_bytes(text)
        (folder / f"packed.{code}.gz").write_bytes(gzip.compress(text))
    (folder / "p.jsonl").write_text("".join(json.dumps({"en": x, "de": y}) + "\n" for x, y in own))
    (folder / "t.tsv").write_text("en\tde\n" + "".join(f"{x}\t{y}\n" for x, y in own))
    units = "".join(
        f'<tu tuid="{n}">\n<prop type="x">note</prop>\n<tuv xml:lang="en"><seg>{x}</seg></tuv>\n'
        f'<tuv xml:lang="de"><seg>{y}</seg></tuv>\n</tu>\n'
        for n, (x, y) in enumerate(own)
    )
    (folder / "m.tmx").write_text(f'<tmx version="1.4"><header/><body>\n{units}</body></tmx>')
    names = {"lines": "moses.en", "lines.gz": "packed.en.gz", "jsonl": "p.jsonl"}
    names |= {"tsv": "t.tsv", "tmx": "m.tmx"}
    return {name: folder / file for name, file in names.items()}


def rows(path: Path) -> Iterator[Row]:
    return reader_of(Source(DataConfig(name="x", path=str(path)), "en", ["de"]))[1].rows()


def count(own: Iterator[Row]) -> int:
    return sum(1 for _ in own)


def all_filters(path: Path) -> int:
    report = CleaningReport()
    return len(
        merge_by_pivot(clean(rows(path), DataConfig(name="x"), "en", ["de"], False, report), "en", report)
    )


def bare_loop(path: Path) -> int:
    found = 0
    for _, element in etree.iterparse(str(path), tag="tu"):
        found += sum(1 for own in element.iter("seg") if own.text)
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
    return found


def timed(what: Callable[[], int], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
