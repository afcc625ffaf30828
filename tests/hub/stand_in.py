"""A stand-in for the Hugging Face hub on loopback: folders served as repositories, as its clients ask.

    FOLDER/models/OWNER/NAME/REVISION/...     REVISION is quoted as in a URL: `refs%2Fconvert%2Fparquet`
    FOLDER/datasets/OWNER/NAME/REVISION/...   with a file GATED beside its revisions, only MEMBER reads files

A revision's commit is the hash of its content: who changes a file moves the branch. The clients read their
endpoint when they are imported, so that a test sets `HF_ENDPOINT` in the process that it starts. Not
imitated: https, xet, listings in pages, uploads, rate limits.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import yaml

MEMBER = "hf_member"
"""Token of somebody who has accepted every repository's conditions."""
GATED = ".gated"
LARGE = (".bin", ".safetensors", ".parquet", ".gz", ".model", ".msgpack")
"""Files that the hub keeps elsewhere (LFS): answered with a redirect to another host."""

FILE = re.compile(r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"
    r"(/(?P<what>revision|tree|paths-info|auth-check)(/(?P<revision>[^/]+)(/(?P<path>.+))?)?)?"
)


@dataclass
class Fault:
    """What goes wrong with requests that hold `match`, such as `GET /some/model/resolve`."""

    match: str
    times: int = 10**9
    half: bool = False
    """The answer breaks off in the middle; else the connection is closed without one."""


class Hub:
    """The server, while in its context. `asked` has every request, as `GET /path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.faults: list[Fault] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = f"http://localhost:{self.server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fault_of(self, request: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.match in request:
                fault.times -= 1
                return fault
        return None


class _Refused(Exception):
    """A status that is no success, and the code in the hub's header."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        request = f"{self.command} {unquote(self.path)}"
        self.hub.asked.append(request)
        self.fault = self.hub.fault_of(request)
        if self.fault and not self.fault.half:
            self.close_connection = True
            return
        path = self.path.partition("?")[0]
        try:
            if path.startswith("/storage/"):
                self._send(self.hub.folder / unquote(path.removeprefix("/storage/")))
            elif match := FILE.fullmatch(path):
                self._file(match)
            elif match := API.fullmatch(path):
                self._api(match)
            else:
                self._answer(200 if path == "/" else 404)
        except _Refused as refused:
            status, code = refused.args
            self._answer(status, headers={"X-Error-Code": code})

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _file(self, match: re.Match[str]) -> None:
        repository = self._repository("datasets" if match["kind"] else "models", match["name"])
        self._require_access(repository)
        folder, commit = self._revision(repository, match["revision"])
        path = folder / unquote(match["path"])
        if not path.is_file():
            raise _Refused(404, "EntryNotFound")
        tag = _tag(path)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"'}
        if path.suffix not in LARGE:
            self._send(path, headers)
            return
        place = quote(path.relative_to(self.hub.folder).as_posix())
        size = str(path.stat().st_size)
        headers |= {"X-Linked-Size": size, "X-Linked-ETag": f'"{tag}"'}
        self._answer(302, headers=headers | {"Location": f"{self.hub.storage}/storage/{place}"})

    def _api(self, match: re.Match[str]) -> None:
        repository = self._repository(match["kind"], match["name"])
        if match["what"] == "auth-check":
            self._require_access(repository)
            self._answer(200)
            return
        folder, commit = self._revision(repository, match["revision"] or "main")
        if match["what"] == "tree":
            below = folder / unquote(match["path"] or "")
            if not below.is_dir():
                raise _Refused(404, "EntryNotFound")
            recursive = "recursive=true" in self.path.lower()
            found = sorted(below.rglob("*") if recursive else below.iterdir())
            answer: Any = [_entry(folder, path) for path in found]
        elif match["what"] == "paths-info":
            named = [folder / path for path in self.form.get("paths", [])]
            answer = [_entry(folder, path) for path in named if path.exists()]
        else:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            answer = {
                "id": match["name"],
                "sha": commit,
                "gated": "manual" if (repository / GATED).exists() else False,
                "cardData": _card(folder),
                "siblings": [
                    {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
                    for path in files
                ],
            }
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _repository(self, kind: str, name: str) -> Path:
        repository = self.hub.folder / kind / name
        if not repository.is_dir():
            raise _Refused(404, "RepoNotFound")
        return repository

    def _require_access(self, repository: Path) -> None:
        if (repository / GATED).exists() and self.headers.get("Authorization") != f"Bearer {MEMBER}":
            raise _Refused(403, "GatedRepo")

    def _revision(self, repository: Path, wanted: str) -> tuple[Path, str]:
        """Folder and commit of a revision, by its name or its commit."""
        for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
            commit = commit_of(folder)
            if unquote(wanted) in (unquote(folder.name), commit):
                return folder, commit
        raise _Refused(404, "RevisionNotFound")

    def _send(self, path: Path, headers: dict[str, str] | None = None) -> None:
        """A file, or what follows the byte that is asked for: the rest of a download that broke off."""
        body, headers = path.read_bytes(), headers or {}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            span = {"Content-Range": f"bytes {asked[1]}-{len(body) - 1}/{len(body)}"}
            self._answer(206, body[int(asked[1]) :], headers | span)
        else:
            self._answer(200, body, headers)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.fault else body)
        if self.fault:
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...


def commit_of(folder: Path) -> str:
    """The commit of a revision: a hash of its files' names and contents."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = [(str(folder), path.relative_to(folder).as_posix(), _tag(path)) for path in files]
    return hashlib.sha1(json.dumps(content).encode()).hexdigest()


def _tag(path: Path) -> str:
    return _sha256(path, path.stat().st_mtime_ns) if path.suffix in LARGE else _sha1(path)


@lru_cache
def _sha256(path: Path, _modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _card(folder: Path) -> dict[str, Any]:
    """What stands in front of the README."""
    text = (folder / "README.md").read_text() if (folder / "README.md").is_file() else ""
    return yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    """A file or folder as listings have it."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
    size = path.stat().st_size
    large = {"lfs": {"oid": _tag(path), "size": size, "pointerSize": 134}} if path.suffix in LARGE else {}
    return {"type": "file", "oid": _sha1(path), "size": size, "path": name, **large}
