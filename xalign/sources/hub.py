"""The Hugging Face hub: whether it answers, what a repository holds and at which commit, its files fetched.

What was asked once is remembered, and files are served from the hub's own local cache by their commit: where
all is there, nothing is asked again, and no hub is needed. Imports no torch.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants

# HTTPError is that of its own client, be that httpx or httpx2.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from xalign.base.cache import cache_dir, human_size
from xalign.base.files import write_atomically
from xalign.base.progress import Advance, download_bar

_log = logging.getLogger(__name__)

_COMMIT = re.compile("[0-9a-f]{40}")

CLIENT_ERRORS: tuple[type[Exception], ...] = (OSError, HTTPError, HFValidationError)
"""What the hub's client raises where something cannot be had: no connection, a broken one, no such name."""


class Kind(StrEnum):
    """What a repository holds."""

    model = "model"
    dataset = "dataset"


class Reason(StrEnum):
    """Why something cannot be had."""

    absent = "absent"
    revision = "revision"
    gated = "gated"
    unreachable = "unreachable"
    """The hub does not answer, and the local cache lacks it."""
    failed = "failed"
    """The hub answered with an error, or broke off."""


class HubError(Exception):
    """Something of the hub cannot be had; the message has no name of a config key in it."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Listing:
    """A repository at a commit."""

    commit: str
    files: Mapping[str, int]
    """Path -> bytes; 0 where that is not known."""
    licence: str | None = None
    gate: str | None = None
    """How access is given, `auto` or `manual`, where its conditions must be accepted first."""


@cache
def hub_answers() -> bool:
    """Ask once, briefly: without a network, the hub's client retries for half a minute for each file."""
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


def in_cache(repository: str, kind: Kind = Kind.model) -> bool:
    """Whether the local cache holds anything of a repository."""
    return (_local(kind, repository) / "snapshots").is_dir()


def _holds_content(kind: Kind, repository: str) -> bool:
    """Whether more than what is open to all, its card, was fetched."""
    found = (_local(kind, repository) / "snapshots").rglob("*")
    return any(path.is_file() and path.name not in ("README.md", ".gitattributes") for path in found)


def problem_of_repository(kind: Kind, repository: str, revision: str | None) -> str | None:
    """Why the hub has nothing to load; None where it has, cannot be asked, or the local cache serves."""
    if not hub_answers() or (in_cache(repository, kind) and _listed(kind, repository, revision)):
        return None
    try:
        listing = _ask(kind, repository, revision)
    except HubError as error:
        return None if error.reason is Reason.failed else str(error)
    if listing.gate and not _holds_content(kind, repository):
        return _problem_of_gate(kind, repository)
    return None


def commit_of(kind: Kind, repository: str, revision: str | None) -> str | None:
    """The commit that a branch or tag (null: the default branch) is at.

    Where the hub cannot be asked, that which it was at when this machine knew last; None if it never did.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    record = _records(kind, repository) / quote(revision or "main", safe="")
    listing = None
    if hub_answers():
        with suppress(HubError):
            listing = _ask(kind, repository, revision)
    if listing is not None:
        _remember(kind, repository, record, listing)
        return listing.commit
    return _last_known(kind, repository, record)


def look_up(kind: Kind, repository: str, revision: str | None) -> Listing:
    """What a repository holds at a revision; by the local cache where the hub does not answer.

    Raises:
        HubError: there is no such repository or revision, or neither hub nor cache can say.
    """
    if known := _listed(kind, repository, revision):
        return known
    if hub_answers():
        try:
            listing = _ask(kind, repository, revision)
        except HubError as error:
            kept = _from_cache(kind, repository, revision) if error.reason is Reason.failed else None
            if kept is None:
                raise
            _log.warning("%s: what the local cache holds of it is used", error)
            return kept
        _remember(kind, repository, _records(kind, repository) / quote(revision or "main", safe=""), listing)
        return listing
    if kept := _from_cache(kind, repository, revision):
        return kept
    raise HubError(Reason.unreachable, _nowhere(f"{kind} '{repository}'"))


def fetch(kind: Kind, repository: str, listing: Listing, names: Iterable[str], quiet: bool = False) -> Path:
    """The folder with these files of a repository, in its layout; those that are missing are downloaded.

    Raises:
        HubError: a file cannot be had.
        OSError: it cannot be written.
    """
    from huggingface_hub import hf_hub_download

    folder = _local(kind, repository) / "snapshots" / listing.commit
    missing = {name: listing.files.get(name, 0) for name in names if not (folder / name).exists()}
    if missing and not hub_answers():
        name = next(iter(missing))
        raise HubError(Reason.unreachable, _nowhere(f"'{name}' of {kind} '{repository}'"))
    if not missing:
        return folder
    size = sum(missing.values())
    if not quiet:
        count = "1 file" if len(missing) == 1 else f"{len(missing)} files"
        _log.info("downloading %s %s: %s, %s", kind, repository, count, human_size(size))
    with download_bar(repository, size, quiet) as advance:
        for name in missing:
            options: dict[str, Any] = {"repo_type": str(kind), "revision": listing.commit}
            try:
                hf_hub_download(repository, name, tqdm_class=_reporting_to(advance), **options)
            except CLIENT_ERRORS as error:
                raise _explained(error, f"'{name}' of {kind} '{repository}'", kind, repository) from error
    return folder


def _reporting_to(advance: Advance) -> Any:
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Reporter(tqdm):
        """In the place of the client's own bars: all files of a repository are one."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            advance(int(n or 0))

    return Reporter


def terms(kind: Kind, repository: str, revision: str | None) -> str:
    """Licence and gate of a repository in a few words; empty where they are not known."""
    try:
        listing = look_up(kind, repository, revision)
    except HubError:
        return ""
    gate = ", gated (whoever reads it has accepted its conditions)" if listing.gate else ""
    return f", licence {listing.licence or 'not stated'}{gate}"


def offline_note() -> str | None:
    """What to say once where the hub is wanted and does not answer."""
    if hub_answers():
        return None
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} does not answer"
    return f"the Hugging Face hub is not asked ({why}): what its local cache holds is used"


@cache
def _ask(kind: Kind, repository: str, revision: str | None) -> Listing:
    from huggingface_hub import HfApi

    try:
        info: Any = HfApi().repo_info(
            repository, repo_type=kind, revision=revision, timeout=10, files_metadata=True
        )
    except RevisionNotFoundError:
        raise HubError(
            Reason.revision, f"no branch, tag or commit '{revision}' on the Hugging Face hub"
        ) from None
    except CLIENT_ERRORS as error:
        raise _explained(error, f"{kind} '{repository}'", kind, repository) from error
    licence = info.card_data.get("license") if info.card_data else None
    return Listing(
        str(info.sha),
        {own.rfilename: own.size or 0 for own in info.siblings or ()},
        ", ".join(licence) if isinstance(licence, list) else licence,
        str(info.gated) if getattr(info, "gated", False) else None,
    )


def _problem_of_gate(kind: Kind, repository: str) -> str | None:
    from huggingface_hub import auth_check

    try:
        auth_check(repository, repo_type=kind)
    except GatedRepoError:
        return gated(kind, repository)
    except CLIENT_ERRORS as error:  # then fetching says what is wrong
        _log.debug("no answer about the gate of %s: %s", repository, error)
    return None


def _explained(error: Exception, what: str, kind: Kind, repository: str) -> Exception:
    """What to raise for an error of the client; those of the disk are raised as they are."""
    if isinstance(error, GatedRepoError):
        return HubError(Reason.gated, gated(kind, repository))
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return HubError(
            Reason.absent,
            "neither a folder here nor a repository on the Hugging Face hub that you may read (private ones "
            "need 'hf auth login')",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return error
    # What the client wraps in its own 'not in the cache either', says why.
    cause = error.__cause__ if isinstance(error.__cause__, HTTPError) else error
    return HubError(
        Reason.failed, f"could not get {what} from the Hugging Face hub: {one_line(cause)}{_address(cause)}"
    )


def gated(kind: Kind, repository: str) -> str:
    """What to say of a repository whose conditions were not accepted."""
    place = f"datasets/{repository}" if kind is Kind.dataset else repository
    return (
        f"{kind} '{repository}' is gated: accept its conditions on https://huggingface.co/{place} and log in "
        "with `hf auth login`"
    )


def _nowhere(what: str) -> str:
    return f"the Hugging Face hub cannot be reached, and its local cache on this machine lacks {what}"


def one_line(error: BaseException) -> str:
    """A client's message, which may be a page long."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _address(error: BaseException) -> str:
    """Of a connection that failed: what was asked for. Responses name it in their message."""
    if not isinstance(error, HTTPError) or isinstance(error, OSError):
        return ""
    try:
        return f" ({str(error.request.url).partition('?')[0]})"
    except RuntimeError:  # the error knows of none
        return ""


def _remember(kind: Kind, repository: str, record: Path, listing: Listing) -> None:
    """Keep commit and files."""
    with suppress(OSError):  # a cache that is shared read-only
        write_atomically(_records(kind, repository) / f"{listing.commit}.json", json.dumps(asdict(listing)))
        write_atomically(record, listing.commit)


def _listed(kind: Kind, repository: str, revision: str | None) -> Listing | None:
    """What is remembered of a commit; None of a branch, which moves."""
    if revision is None or not _COMMIT.fullmatch(revision):
        return None
    try:
        return Listing(**json.loads(_read(_records(kind, repository) / f"{revision}.json") or ""))
    except (ValueError, TypeError):
        return None


def _from_cache(kind: Kind, repository: str, revision: str | None) -> Listing | None:
    record = _records(kind, repository) / quote(revision or "main", safe="")
    fixed = revision is not None and _COMMIT.fullmatch(revision)
    commit = revision if fixed else _last_known(kind, repository, record)
    if commit is None:
        return None
    if known := _listed(kind, repository, commit):
        return known
    folder = _local(kind, repository) / "snapshots" / commit
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return Listing(commit, files) if files else None


def _last_known(kind: Kind, repository: str, record: Path) -> str | None:
    # The hub's own client keeps such a file, too, for what was fetched by the name of a branch.
    files = [file for file in (record, _local(kind, repository) / "refs" / record.name) if file.is_file()]
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    return None if newest is None else newest.read_text(encoding="utf-8").strip()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _records(kind: Kind, repository: str) -> Path:
    return cache_dir() / "hub" / _folder(kind, repository)


def _local(kind: Kind, repository: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / _folder(kind, repository)


def _folder(kind: Kind, repository: str) -> str:
    return f"{kind}s--{repository.replace('/', '--')}"
