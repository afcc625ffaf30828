"""A few rows of each set under its name on the hub, in its true layout and columns."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pyarrow import parquet
from stand_in import GATED

CONVERTED = "refs%2Fconvert%2Fparquet"
WORDS = ["house", "garden", "river", "teacher", "window", "letter", "bridge", "summer", "winter", "market"]

OPUS, BACTRIAN = "Helsinki-NLP/opus-100", "MBZUAI/Bactrian-X"
XNLI, PAWSX, XCOPA = "facebook/xnli", "google-research-datasets/paws-x", "cambridgeltl/xcopa"
XSTORYCLOZE, XWINOGRAD = "juletxara/xstory_cloze", "Muennighoff/xwinograd"
BELEBELE, FLORES = "facebook/belebele", "openlanguagedata/flores_plus"

Rows = list[dict[str, Any]]


def sentence(language: str, k: int) -> str:
    """A sentence that differs by language and number."""
    if language.startswith(("zh", "cmn")):
        return "".join("一二三四五六七八九十"[int(digit)] for digit in f"{k:04}") + "中文的好"
    if language.startswith("th"):  # a text has letters of its script
        language = f"{language} ไทย"
    return f"the {WORDS[k % 10]} number {k} of {language} is near the {WORDS[(k // 10) % 10]}."


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(json.dumps(rows, ensure_ascii=False).encode()))
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def card(folder: Path, configs: Mapping[str, Mapping[str, str]], licence: str = "mit") -> None:
    """The README with what `datasets` reads: configuration -> split -> pattern of its files."""
    stated = [
        {"config_name": name, "data_files": [{"split": own, "path": path} for own, path in splits.items()]}
        for name, splits in configs.items()
    ]
    front = {"license": licence} | ({"configs": stated} if stated else {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(front)}---\n# A set\n")


def shards(datasets: Path, name: str, rows: Mapping[str, Mapping[str, Rows]]) -> None:
    """`<configuration>/<split>-00000-of-00001.parquet`, as most sets have it today."""
    folder = datasets / name / "main"
    for config, splits in rows.items():
        for split, own in splits.items():
            write(folder / config / f"{split}-00000-of-00001.parquet", own)
    card(
        folder,
        {config: {split: f"{config}/{split}-*" for split in splits} for config, splits in rows.items()},
    )


def script(datasets: Path, name: str, rows: Mapping[str, Mapping[str, Rows]]) -> None:
    """A script, which nobody runs any more, and the hub's own copy of what it made."""
    card(datasets / name / "main", {})
    (datasets / name / "main" / f"{name.split('/')[1]}.py").write_text(
        "raise SystemExit('nobody runs this')\n"
    )
    for config, splits in rows.items():
        for split, own in splits.items():
            write(datasets / name / CONVERTED / config / split / "0000.parquet", own)


def pairs(a: str, b: str, count: int) -> Rows:
    return [{"translation": {a: sentence(a, k), b: sentence(b, k)}} for k in range(count)]


def instructions(code: str) -> Rows:
    return [
        {"id": f"alpaca-{k}", "instruction": sentence(code, k), "input": "", "output": sentence(code, k + 7)}
        for k in range(6)
    ]


def nli(language: str, count: int) -> Rows:
    return [
        {"premise": sentence(language, k), "hypothesis": sentence(language, k + 1), "label": k % 3}
        for k in range(count)
    ]


def paws(language: str, count: int) -> Rows:
    return [
        {
            "id": k + 1,
            "sentence1": sentence(language, k),
            "sentence2": sentence(language, k + 1),
            "label": k % 2,
        }
        for k in range(count)
    ]


def copa(language: str, count: int) -> Rows:
    return [
        {
            "premise": sentence(language, k),
            "choice1": sentence(language, k + 1),
            "choice2": sentence(language, k + 2),
            "question": "cause" if k % 2 else "effect",
            "label": k % 2,
            "idx": k,
            "changed": False,
        }
        for k in range(count)
    ]


def stories(language: str, count: int) -> Rows:
    return [
        {"story_id": str(k)}
        | {f"input_sentence_{n}": sentence(language, k + n) for n in (1, 2, 3, 4)}
        | {f"sentence_quiz{n}": sentence(language, k + 4 + n) for n in (1, 2)}
        | {"answer_right_ending": k % 2 + 1}
        for k in range(count)
    ]


def schemas(language: str, count: int) -> Rows:
    return [
        {
            "sentence": f"The {WORDS[k]} is big as _ grows.",
            "option1": "it",
            "option2": "he",
            "answer": "12"[k % 2],
        }
        for k in range(count)
    ]


def passages(code: str) -> Rows:
    return [
        {
            "link": "https://example.org",
            "question_number": k,
            "flores_passage": sentence(code, k),
            "question": sentence(code, k + 1),
            **{f"mc_answer{n}": sentence(code, k + n) for n in (1, 2, 3, 4)},
            "correct_answer_num": str(k % 4 + 1),
            "dialect": code,
            "ds": "2023-05-03",
        }
        for k in range(3)
    ]


def flores(code: str, split: str) -> Rows:
    language, script_of = code.split("_")
    return [
        {
            "id": k,
            "iso_639_3": language,
            "iso_15924": script_of,
            "glottocode": "stan0000",
            "text": sentence(code, k + 50 * (split == "dev")),
            "url": "https://example.org",
            "domain": "wikinews",
            "topic": "none",
            "has_image": "no",
            "has_hyperlink": "no",
            "last_updated": "1.0",
        }
        for k in range(8)
    ]


XNLI_LANGUAGES = "ar bg de el en es fr hi ru sw th tr ur vi zh"
"""Not Burmese, of which we have words."""
OPUS_PAIRS = ("af-en", "de-en", "en-fr", "en-th", "en-tr", "en-zh")
FLORES_CODES = ("cmn_Hans", "deu_Latn", "eng_Latn", "fra_Latn", "swh_Latn", "tha_Thai", "tur_Latn")


def make_sets(datasets: Path) -> None:
    """`datasets` gets OWNER/NAME/REVISION of each."""

    def each(languages: Iterable[str], *splits: str, of: Any) -> dict[str, dict[str, Rows]]:
        return {code: {own: of(code, 3 + 6 * (own == "train")) for own in splits} for code in languages}

    opus = {
        pair: {"test": pairs(*pair.split("-"), 5), "train": pairs(*pair.split("-"), 300)}
        for pair in OPUS_PAIRS
    }
    shards(datasets, OPUS, opus)
    shards(datasets, XNLI, each(XNLI_LANGUAGES.split(), "test", "train", "validation", of=nli))
    shards(
        datasets,
        PAWSX,
        each(("de", "en", "es", "fr", "ja", "ko", "zh"), "test", "train", "validation", of=paws),
    )
    copas = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")
    shards(
        datasets, XCOPA, each((*copas, *(f"translation-{c}" for c in copas)), "test", "validation", of=copa)
    )
    shards(
        datasets,
        XSTORYCLOZE,
        each(("ar", "en", "es", "eu", "hi", "id", "my", "ru", "sw", "te", "zh"), "eval", "train", of=stories),
    )
    script(datasets, XWINOGRAD, each(("en", "fr", "jp", "pt", "ru", "zh"), "test", of=schemas))

    belebele = datasets / BELEBELE / "main"
    codes = ("eng_Latn", "swh_Latn", "zho_Hans")
    for code in codes:
        write(belebele / "data" / f"{code}.jsonl", passages(code))
    card(belebele, {code: {"test": f"data/{code}.jsonl"} for code in codes}, "cc-by-sa-4.0")

    plus = datasets / FLORES / "main"
    for code in FLORES_CODES:
        for split in ("dev", "devtest"):
            write(plus / split / f"{code}.parquet", flores(code, split))
    card(
        plus,
        {"default": {"dev": "dev/*.parquet", "devtest": "devtest/*.parquet"}}
        | {
            code: {"dev": f"dev/{code}.parquet", "devtest": f"devtest/{code}.parquet"}
            for code in FLORES_CODES
        },
        "cc-by-sa-4.0",
    )
    (datasets / FLORES / GATED).write_text("")

    bactrian = datasets / BACTRIAN
    script(
        datasets, BACTRIAN, {code: {"train": instructions(code)} for code in ("en", "zh", "th", "tr", "sw")}
    )
    for code in ("en", "zh", "th", "tr", "sw", "tl"):
        write(bactrian / "main" / "data" / f"{code}.json.gz", instructions(code))
    card(bactrian / "main", {}, "cc-by-nc-4.0")
