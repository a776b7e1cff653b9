"""A model hub on 127.0.0.1 that speaks as much of the real protocol as huggingface_hub uses to download."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from safetensors.numpy import save_file

LARGE_SUFFIXES = (".safetensors", ".bin", ".onnx")  # kept in large-file storage, on another host
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Asked:
    """One request: what was asked for, from which byte on, with a token or not, and what was sent."""

    method: str
    path: str
    start: int
    has_token: bool
    sent: int


@dataclass
class FakeHub:
    """Serves `root/<organisation>/<name>/`; another revision is a folder of its own in `revisions`.

    Switches, changed while it runs: `bytes_per_second` slows answers with large files, `drops` cuts
    the next ones after so many bytes each, `hang` lets them wait for ever, `tamper` flips their first byte,
    `ignores_ranges` answers a Range with everything. `gated` and `private` ids need a token out of
    `tokens`; `announced` lists files with a size they do not have, also files that there are not.
    """

    root: Path
    revisions: dict[tuple[str, str], Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    announced: dict[str, int] = field(default_factory=dict)
    bytes_per_second: float | None = None
    drops: list[int] = field(default_factory=list)
    hang: bool = False
    tamper: bool = False
    ignores_ranges: bool = False
    status: int | None = None
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def folder(self, model: str, revision: str) -> Path | None:
        """Return the files of a revision: a name, or the commit that a name stands for."""
        names = {name: folder for (id_, name), folder in self.revisions.items() if id_ == model}
        names.setdefault("main", self.root / model)
        if not (self.root / model).is_dir():
            return None
        commits = {commit(folder): folder for folder in names.values()}
        return {**commits, **names}.get(revision)

    def content(self) -> list[Asked]:
        """Return the answers that carried content of large files."""
        return [one for one in self.asked if one.path.startswith("/store/")]


@contextmanager
def serve(root: Path) -> Iterator[FakeHub]:
    """Run a hub until the block ends."""
    hub = FakeHub(root)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.stopped.set()
        server.shutdown()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield the address of a server that accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused_address() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def write_model(folder: Path, values: int = 100, *, seed: int = 0, **files: str) -> Path:
    """Write a checkpoint of `values` random float32 numbers, with a config.json and other text files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "tiny"}', "utf-8")
    numbers = np.random.default_rng(seed).normal(size=values).astype(np.float32)
    save_file({"weight": numbers}, folder / "model.safetensors")
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def commit(folder: Path) -> str:
    digest = hashlib.sha1()
    for name in names(folder):
        digest.update(f"{name}\0{etag(folder / name)}\0".encode())
    return digest.hexdigest()


def etag(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in LARGE_SUFFIXES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _entry(sibling: dict) -> dict:
    """Return a file as the tree of a repository lists it, which has other words for the same."""
    entry = {"type": "file", "path": sibling["rfilename"], "size": sibling["size"], "oid": sibling["blobId"]}
    if lfs := sibling.get("lfs"):
        entry["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        self.start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if parts == [""]:
            self._say(200)
        elif self.hub.status is not None:
            self._say(self.hub.status)
        elif parts[0] == "store":
            self._send(next(self.hub.root.glob(f"**/{'/'.join(parts[2:])}")), parts[1])
        elif parts[:2] == ["api", "models"]:
            self._info("/".join(parts[2:4]), "/".join(parts[5:]) or "main", tree=parts[4:5] == ["tree"])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._say(404)

    def _refused(self, model: str, *, content: bool) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            self._say(401, **{"X-Error-Message": "Invalid credentials in Authorization header"})
        elif not (self.hub.root / model).is_dir() or (model in self.hub.private and not token):
            self._say(404 if token else 401, **{"X-Error-Code": "RepoNotFound"})
        elif content and model in self.hub.gated and not token:
            self._say(401, **{"X-Error-Code": "GatedRepo"})
        else:
            return False
        return True

    def _info(self, model: str, revision: str, *, tree: bool) -> None:
        if self._refused(model, content=False):
            return
        folder = self.hub.folder(model, revision)
        if folder is None:
            self._say(404, **{"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [self._sibling(folder, name) for name in names(folder)]
        invented = set(self.hub.announced) - set(names(folder))
        siblings += [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in invented]
        facts = {"id": model, "modelId": model, "sha": commit(folder), "siblings": siblings}
        self._say(200, json.dumps([_entry(one) for one in siblings] if tree else facts).encode())

    def _sibling(self, folder: Path, name: str) -> dict[str, object]:
        path = folder / name
        size = self.hub.announced.get(name, path.stat().st_size)
        facts: dict[str, object] = {"rfilename": name, "size": size, "blobId": etag(path)}
        if path.suffix in LARGE_SUFFIXES:
            facts |= {"blobId": "0" * 40, "lfs": {"sha256": etag(path), "size": size, "pointerSize": 134}}
        return facts

    def _resolve(self, model: str, revision: str, name: str) -> None:
        if self._refused(model, content=True):
            return
        folder = self.hub.folder(model, revision)
        path = folder / name if folder else None
        if path is None or not path.is_file():
            code = "EntryNotFound" if folder else "RevisionNotFound"
            self._say(404, **{"X-Error-Code": code})
            return
        facts = {"X-Repo-Commit": commit(folder), "ETag": f'"{etag(path)}"'}
        if path.suffix not in LARGE_SUFFIXES:
            self._send(path, revision, **facts)
            return
        # As the real hub: large files are at an address that carries its own signature, on another host.
        store = f"http://localhost:{self.server.server_address[1]}/store/{revision}"
        linked = {"X-Linked-Etag": f'"{etag(path)}"', "X-Linked-Size": str(path.stat().st_size)}
        where = path.relative_to(self.hub.root).as_posix()
        self._say(302, **facts, **linked, Location=f"{store}/{where}?signature=s3cr3t")

    def _send(self, path: Path, revision: str, **facts: str) -> None:
        content = path.read_bytes()
        start = 0 if self.hub.ignores_ranges else self.start
        if self.hub.tamper and self.path.startswith("/store/"):
            content = bytes([content[0] ^ 1]) + content[1:]
        if self.command == "HEAD":
            self._head(200, len(content), **facts)
            self._note(0)
            return
        if start:
            facts["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if start else 200, len(content) - start, **facts)
        self._note(self._write(content[start:]))

    def _write(self, content: bytes) -> int:
        """Write as the switches say and return how many bytes went out."""
        sent, started, large = 0, time.monotonic(), self.path.startswith("/store/")
        limit = self.hub.drops.pop(0) if large and self.hub.drops else None
        while sent < len(content):
            if large and self.hub.hang:
                self.hub.stopped.wait()
            if limit is not None and sent >= limit:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                break
            try:
                self.wfile.write(content[sent : sent + _CHUNK])
            except OSError:  # the client is gone
                self.close_connection = True
                break
            sent += len(content[sent : sent + _CHUNK])
            if large and self.hub.bytes_per_second:
                self.hub.stopped.wait(max(0, sent / self.hub.bytes_per_second - time.monotonic() + started))
        return sent

    def _say(self, status: int, content: bytes = b"", **headers: str) -> None:
        self._head(status, len(content), **headers)
        if self.command == "GET":
            self.wfile.write(content)
        self._note(len(content))

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self, sent: int) -> None:
        path, has_token = urlsplit(self.path).path, "Authorization" in self.headers
        self.hub.asked.append(Asked(self.command, path, self.start, has_token, sent))
