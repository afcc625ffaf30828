"""The tokenizer of a GGUF file, written by a process of its own while the weights are converted.

Making a tokenizer of a quarter of a million tokens takes pure Python several seconds, and reloading it, which
checks it, as many; a thread would hold up the one that converts the weights for as long.
`python -m xalign.models.gguf.tokenizer FOLDER NAME TARGET` prints how the tokenizer splits a sentence.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from xalign.base.errors import ArtifactError

# A sentence in several scripts: the reloaded tokenizer and model must treat it as the first ones do.
_PROBE = "The cat sat on the mat. 猫坐在垫子上。 القطة على السجادة 12345\n"
_FAILED = "failed: "


class Written:
    """A tokenizer on its way."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tokens(self) -> list[int]:
        """How it splits a sentence, which is known before it is on disk."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line or line.startswith(_FAILED):
            raise self._failure(line)
        tokens: list[int] = json.loads(line)
        return tokens

    def wait(self) -> None:
        """Until it is on disk and checked.

        Raises:
            ArtifactError: it cannot be made, or splits text in another way when it is reloaded.
        """
        line, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise self._failure(line)

    def _failure(self, line: str) -> ArtifactError:
        self._process.wait()
        said = line.removeprefix(_FAILED).strip() or f"exit status {self._process.returncode}"
        return ArtifactError(f"the tokenizer cannot be made: {said}")


@contextmanager
def writing_tokenizer(source: Path, name: str, folder: Path) -> Iterator[Written]:
    """The tokenizer of the GGUF file `name` in `source`, on its way into `folder`."""
    command = [sys.executable, "-m", "xalign.models.gguf.tokenizer", str(source), name, str(folder)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Written(process)
        finally:
            process.kill()


def _write(source: Path, name: str, folder: Path) -> Iterator[list[int]]:
    """The split of the sentence first, then nothing more once all is written and checked."""
    from transformers import AutoConfig, AutoTokenizer

    from xalign.models.gguf.reading import fast_gguf

    # It is reloaded apart from the weights, whose config.json may be half written at that moment.
    place = folder / "tokenizer"
    with fast_gguf():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        split: list[int] = tokenizer(_PROBE)["input_ids"]
        yield split
        AutoConfig.from_pretrained(source, gguf_file=name).save_pretrained(place)
    tokenizer.save_pretrained(place)
    del tokenizer
    if AutoTokenizer.from_pretrained(place)(_PROBE)["input_ids"] != split:
        raise ArtifactError("it splits text in another way when it is reloaded")
    (place / "config.json").unlink()
    for file in place.iterdir():
        file.rename(folder / file.name)
    place.rmdir()


def _main(source: str, name: str, folder: str) -> int:
    answers = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            for split in _write(Path(source), name, Path(folder)):
                print(json.dumps(split), file=answers, flush=True)
    except Exception as error:  # as many kinds as there are files that transformers does not expect
        first = (str(error).strip().splitlines() or [""])[0]
        kind = "" if isinstance(error, ArtifactError) else f"{type(error).__name__}: "
        print(f"{_FAILED}{kind}{first[:300]}", file=answers)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
