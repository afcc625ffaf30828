"""What is asked of the Hugging Face hub before anything is loaded: whether it answers, whether a repository
is there, at which commit a branch is. Imports no torch.
"""

import logging
import re
from contextlib import suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from huggingface_hub import constants

from xalign.base.cache import cache_dir
from xalign.base.files import write_atomically

_log = logging.getLogger(__name__)

_COMMIT = re.compile("[0-9a-f]{40}")


class Kind(StrEnum):
    """What a repository holds."""

    model = "model"
    dataset = "dataset"


@cache
def hub_answers() -> bool:
    """Ask once, briefly: without a network, transformers retries for half a minute for each file."""
    if constants.HF_HUB_OFFLINE:
        return False
    from huggingface_hub import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:
        # Whatever the HTTP library in use calls it, no answer came.
        _log.debug("no answer from %s: %s", constants.ENDPOINT, error)
        return False
    return True


def in_cache(repository: str) -> bool:
    """Whether the local cache holds anything of a model's repository."""
    return _local(Kind.model, repository).is_dir()


def problem_of_repository(kind: Kind, repository: str, revision: str | None) -> str | None:
    """Why the hub has nothing to load; None where it has, or cannot be asked."""
    return _ask(kind, repository, revision).problem if hub_answers() else None


def commit_of(kind: Kind, repository: str, revision: str | None) -> str | None:
    """The commit that a branch or tag (null: the default branch) is at.

    Where the hub cannot be asked, that which it was at when this machine knew last; None if it never did.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    name = quote(revision or "main", safe="")
    record = cache_dir() / "hub" / _folder(kind, repository) / name
    found = _ask(kind, repository, revision).commit if hub_answers() else None
    if found is not None:
        with suppress(OSError):  # a cache that is shared read-only
            write_atomically(record, found)
        return found
    # The hub's own client keeps such a file, too, for what was fetched by the name of a branch.
    files = [file for file in (record, _local(kind, repository) / "refs" / name) if file.is_file()]
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    return None if newest is None else newest.read_text(encoding="utf-8").strip()


class _Answer(NamedTuple):
    commit: str | None
    problem: str | None


@cache
def _ask(kind: Kind, repository: str, revision: str | None) -> _Answer:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=10)
    except GatedRepoError:
        return _Answer(None, None)  # loading says what to do
    except RepositoryNotFoundError:
        return _Answer(
            None,
            "neither a folder here nor a repository on the Hugging Face hub that you may read (private ones "
            "need 'hf auth login')",
        )
    except RevisionNotFoundError:
        return _Answer(None, f"no branch, tag or commit '{revision}' on the Hugging Face hub")
    except Exception as error:  # whatever the HTTP library in use calls it
        _log.debug("no answer about %s: %s", repository, error)
        return _Answer(None, None)
    return _Answer(info.sha, None)


def _local(kind: Kind, repository: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / _folder(kind, repository)


def _folder(kind: Kind, repository: str) -> str:
    return f"{kind}s--{repository.replace('/', '--')}"
