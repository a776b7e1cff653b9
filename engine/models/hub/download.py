"""Downloads of hub models as the pages see them: asks whether the hub answers, then starts a child process.

A child (`fetch.py`), because cancelling ends it at once, whatever it waits for. It writes JSON lines,
and of an error only its kind: in the text could be a token or a signed address.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from engine.background import Background, Work
from engine.errors import HubError, ModelError, WeightsError
from engine.models.hub.files import (
    hub_id,
    models_here,
)

log = logging.getLogger(__name__)

State = Literal["probing", "running", "done", "failed", "cancelled"]

PROBE_SECONDS = 4.0
_SPEED_SECONDS = 5.0


@dataclass(frozen=True)
class Download:
    """A download as it stood when it was asked for; sizes in bytes, speed in bytes per second.

    `revision` is what was asked of the hub (None: main). `total_bytes` is None until the hub has listed
    the `files`; `done_bytes` counts what earlier attempts brought. `failure` is why it failed.
    """

    id: str
    model: str
    revision: str | None = None
    state: State = "probing"
    files: int = 0
    done_bytes: int = 0
    total_bytes: int | None = None
    bytes_per_second: float = 0.0
    failure: ModelError | None = None

    @property
    def active(self) -> bool:
        """Tell whether it is still going on."""
        return self.state in ("probing", "running")

    @property
    def error(self) -> str:
        """Return why it failed, and what to do; empty where it did not."""
        return str(self.failure or "")


class Downloads:
    """The downloads of one process; safe to call from several threads.

    `env` is the environment of the child processes (None: this one's); `local` returns the models to
    name in an error.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        local: Callable[[], Iterable[str]] = models_here,
    ) -> None:
        self._env, self._local = env, local
        self._background = Background()
        self._lock = threading.RLock()
        self._downloads: dict[str, Download] = {}
        self._works: dict[str, Work] = {}
        self._children: dict[str, subprocess.Popen[str]] = {}

    def start(self, model: str, revision: str | None = None) -> Download:
        """Begin a download in the background, or return the one of the same model that is going on.

        Raises UnknownModelError or WeightsError for what the hub cannot have; everything else becomes
        the download's `failure`, within five seconds where the hub does not answer.
        """
        wanted = (hub_id(model, self._local), revision or None)
        with self._lock:
            for one in self.list():
                if (one.model, one.revision) == wanted:
                    if one.active:
                        return one
                    self.dismiss(one.id)
            download, work = Download(uuid.uuid4().hex[:12], *wanted), Work(f"Download {wanted[0]}")
            self._downloads[download.id], self._works[download.id] = download, work
        self._background.begin(work, lambda work: self._run(work, download))
        return download

    def list(self) -> list[Download]:
        """Return the downloads of this process that nobody dismissed, newest first."""
        with self._lock:
            return [_as_it_stands(one, self._works[id_]) for id_, one in reversed(self._downloads.items())]

    def get(self, id_: str) -> Download | None:
        """Return a download as it stands now, or None where it was dismissed."""
        with self._lock:
            download = self._downloads.get(id_)
            return None if download is None else _as_it_stands(download, self._works[id_])

    def wait(self, id_: str, timeout_seconds: float | None = None) -> Download | None:
        """Wait until a download has ended, or the time is up; return it, or None where it was dismissed."""
        with self._lock:
            work = self._works.get(id_)
        if work:
            work.ended.wait(timeout_seconds)
        return self.get(id_)

    def cancel(self, id_: str) -> None:
        """End a download at once; what arrived is kept. Does nothing where it has ended."""
        with self._lock:
            if not self._is_active(id_):
                return
            self._works[id_].cancel(at_once=True)
            if child := self._children.get(id_):
                child.kill()

    def dismiss(self, id_: str) -> None:
        """Forget a download that has ended; one that is going on stays."""
        with self._lock:
            if not self._is_active(id_):
                self._downloads.pop(id_, None)
                self._works.pop(id_, None)

    def close(self) -> None:
        """Cancel everything that is going on."""
        for download in self.list():
            self.cancel(download.id)

    def _is_active(self, id_: str) -> bool:
        work = self._works.get(id_)
        return work is not None and work.active

    def _change(self, id_: str, **fields: Any) -> None:
        """Change a download that is going on; one that has ended stays as it is."""
        with self._lock:
            if self._is_active(id_):
                self._downloads[id_] = replace(self._downloads[id_], **fields)

    def _run(self, work: Work, download: Download) -> None:
        endpoint = _endpoint(self._env)
        try:
            probe(download.model, endpoint, self._local)
            event = self._attend(download)
            if event["event"] != "done":
                raise _failure(event, download, _host(endpoint))
        except ModelError as error:
            if work.active:  # or it was cancelled
                log.info("The download of %s failed: %s", download.model, error)
            self._change(download.id, failure=error)
            raise

    def _attend(self, download: Download) -> dict[str, Any]:
        """Run the child to its end and return its last word."""
        child, speed = self._spawn(download), _Speed()
        last: dict[str, Any] = {"event": "nothing"}
        if child is None:  # cancelled: nobody reads the outcome
            return {"event": "error", "kind": "dropped"}
        with child:
            for line in child.stdout or ():
                last = _parsed(line) or last
                if last["event"] in ("done", "error"):
                    break
                if last["event"] == "progress":
                    fields = {key: last[key] for key in ("files", "total_bytes", "done_bytes")}
                    self._change(download.id, **fields, bytes_per_second=speed.of(last["done_bytes"]))
        with self._lock:
            self._children.pop(download.id, None)
        if last["event"] not in ("done", "error"):
            return {"event": "error", "kind": "ended", "status": child.returncode}
        return last

    def _spawn(self, download: Download) -> subprocess.Popen[str] | None:
        """Start the child, unless the download was cancelled while the hub was being asked."""
        from engine.settings import PROJECT_DIR  # here, so that the child itself starts quickly

        command = [sys.executable, "-m", "engine.models.hub.fetch", download.model]
        command += [download.revision] if download.revision else []
        with self._lock:
            if not self._is_active(download.id):
                return None
            try:
                child = subprocess.Popen(
                    command,
                    cwd=PROJECT_DIR,
                    env=None if self._env is None else dict(self._env),
                    stdin=subprocess.PIPE,  # closes when this process dies: the child ends then
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # the libraries' warnings quote addresses
                    text=True,
                    encoding="utf-8",
                )
            except OSError as error:
                raise HubError(f"No process can be started for the download: {error.strerror}.") from error
            self._children[download.id] = child
            self._change(download.id, state="running")
        return child


def _as_it_stands(download: Download, work: Work) -> Download:
    """Return a download with what its work has come to."""
    if work.active:
        return download
    failure = download.failure if work.state == "failed" else None
    if work.state == "failed" and failure is None:
        failure = HubError(
            f"The download of {download.model} failed by a fault in Gapscope; its log has the details."
        )
    ended = cast(State, work.state)
    return replace(download, state=ended, failure=failure, bytes_per_second=0.0)


class _Speed:
    """Bytes per second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, done_bytes: int) -> float:
        now = time.monotonic()
        self._seen.append((now, done_bytes))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPEED_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return max(0.0, (done_bytes - before) / (now - then)) if now > then else 0.0


def probe(
    model: str,
    endpoint: str | None = None,
    local: Callable[[], Iterable[str]] = models_here,
    *,
    deadline_seconds: float = PROBE_SECONDS,
) -> None:
    """Ask whether the hub answers at all; any answer but a server's error will do.

    Raises HubError within `deadline_seconds`, whatever the network does, naming the models that are here.
    """
    from huggingface_hub import constants

    address = endpoint or constants.ENDPOINT
    if constants.is_offline_mode():
        raise HubError(_SENTENCES["offline"] + _here(local))
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    # A thread of its own: a name that nobody resolves holds its caller for as long as the system likes.
    threading.Thread(target=lambda: answers.put(_answers(address)), name="probe", daemon=True).start()
    try:
        reached = answers.get(timeout=deadline_seconds)
    except queue.Empty:
        reached = False
    if not reached:
        raise HubError(
            f"The model hub at {_host(address)} does not answer, so {model} cannot be downloaded now. Check "
            f"the connection (HTTPS_PROXY behind a proxy, HF_ENDPOINT for a mirror), then try again."
            + _here(local)
        )


def _here(local: Callable[[], Iterable[str]]) -> str:
    return f" Models on this machine: {', '.join(local()) or 'none'}."


def _answers(address: str) -> bool:
    import httpx

    try:
        # Whether somebody is there, not who: nothing is sent, nothing of the answer is used.
        plain = urlsplit(address)._replace(netloc=_host(address)).geturl()  # a mirror's password stays here
        with httpx.Client(timeout=PROBE_SECONDS - 0.5, verify=False) as client:
            return client.head(plain).status_code < 500
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False
    except (ValueError, ImportError):  # a proxy that httpx cannot use
        return False


def _endpoint(env: Mapping[str, str] | None) -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT if env is None else env.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _host(address: str) -> str:
    """Return the host of an address without the password that a mirror's may carry."""
    return urlsplit(address).netloc.rpartition("@")[2] or address


_SENTENCES = {
    "unknown": "{host} shows no model {model}. Check the id. A private or gated one looks the same without a "
    "token: set HF_TOKEN to one of an account that may see it, then start again.",
    "gated": "{model} is gated. Accept its licence at {host}/{model}, set HF_TOKEN to a token of the same "
    "account, then start again.",
    "token": "{host} does not know the token in HF_TOKEN (or the one that `hf auth login` stored). Make a "
    "new one there, or unset it where {model} needs none; then start again.",
    "forbidden": "{host} refuses {model} to this account. Look at the model's page for how to be let in; a "
    "fine-grained token needs the right to read gated repositories.",
    "disabled": "{host} has disabled {model}. Choose another model.",
    "revision": "{model} has no revision {revision!r}. Take a branch, a tag, refs/pr/N or a commit that its "
    "page shows.",
    "refused": "{host} answers HTTP {status} for {model}. What arrived is kept: start again to go on.",
    "busy": "{host} asks for fewer requests. What arrived is kept: start again in a few minutes to go on.",
    "not-a-hub": "{host} does not answer like a model hub. Check HF_ENDPOINT, and whether a proxy answers "
    "instead of it.",
    "offline": "HF_HUB_OFFLINE is set, so nothing is downloaded. Unset it and start Gapscope again.",
    "dropped": "The connection to {host} was lost. What arrived of {model} is kept: start again to go on.",
    "corrupt": "{file} of {model} arrived with another content than {host} announced, and was deleted. Start "
    "again to fetch it anew.",
    "disk": "{model} needs {needed} GB more. The disk of {folder} has {free} GB free, of which {margin} GB "
    "stay free. Make room, or set HF_HOME to a folder on a larger disk; then start again.",
    "full": "The disk of {folder} is full. Make room, then start again: what arrived of {model} is kept.",
    "folder": "{folder} cannot be written ({reason}). Allow it, or set HF_HOME to another folder; then start "
    "again.",
    "package": "A package that downloads need is not installed: {package}. Install requirements.txt again.",
    "ended": "The download of {model} ended unexpectedly (exit status {status}); the system does that when "
    "memory runs out. What arrived is kept: start again to go on.",
}


def _failure(event: Mapping[str, Any], download: Download, host: str) -> ModelError:
    """Turn the child's kind of error into a sentence with the fix."""
    if event["kind"] == "no-weights":
        return WeightsError(
            f"{download.model} has no weights that can be used here (safetensors or PyTorch, with a "
            f"config.json). Look for another version of it on {host}."
        )
    facts = {**event, "host": host, "model": download.model, "revision": download.revision or "main"}
    return HubError(_SENTENCES[event["kind"]].format(**facts))


def _parsed(line: str) -> dict[str, Any] | None:
    """Return one of the child's events; None for anything else that a library may have printed."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
