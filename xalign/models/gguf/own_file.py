"""A GGUF file of the user's own, converted once into the cache under its sha256.

Importing this module is cheap: torch and transformers are imported to convert.
"""

import logging
from pathlib import Path

from xalign.base.cache import cache_dir, cached_dir, human_size
from xalign.base.errors import ModelError, XalignError
from xalign.base.files import file_sha256
from xalign.models.gguf.conversion import convert
from xalign.models.gguf.header import is_gguf, problem_of_gguf, read_header

_log = logging.getLogger(__name__)

SUFFIX = ".gguf"


def gguf_of(place: Path) -> Path | None:
    """The GGUF file that is meant by a file, or by a folder that holds one and no model of another kind."""
    if place.is_file():
        return place if place.suffix.lower() == SUFFIX or is_gguf(place) else None
    if not place.is_dir() or (place / "config.json").is_file():
        return None
    files = gguf_files(place)
    return files[0] if len(files) == 1 else None


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == SUFFIX and path.is_file())


def converted(file: Path, where: str) -> Path:
    """Folder in the cache with the model of a GGUF file in Hugging Face format: float32 and its tokenizer.

    The first call converts; later ones hash the file and look. `where` begins the message.

    Raises:
        ModelError: the file cannot be used, or transformers cannot read it.
        ArtifactError: the cache cannot be written.
    """
    if problem := problem_of_gguf(file):
        raise ModelError(f"{where}: {problem}")
    header = read_header(file)
    size = 4 * header.numbers
    target = cache_dir() / "models" / f"gguf-{file_sha256(file)}"

    def build(folder: Path) -> None:
        kind = f"{header.architecture}, {human_size(file.stat().st_size)}"
        _log.info("converting %s (%s) once, to %s of float32 weights", file, kind, human_size(size))
        try:
            convert(file, folder, file.name)
        except Exception as error:  # as many kinds as there are files that transformers does not expect
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk
            kind = "" if isinstance(error, XalignError) else f"{type(error).__name__}: "
            said = (str(error).strip().splitlines() or [""])[0]  # of what may be a page of a library's
            raise ModelError(f"{where}: cannot be converted: {kind}{said[:300]}") from error
        _log.info("converted %s into %s", file, target)

    return cached_dir(target, build, f"the conversion of {file.name}", size + 100_000_000)
