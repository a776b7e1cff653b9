"""Processes of the engine that are killed at a moment: forked from one that has imported the libraries.

A process that imports them itself needs two seconds of a core before it does anything, and these tests kill
some sixty.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.workspaces import cli_env

Say = Callable[[str], None]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["chromadb.api.rust", "onnxruntime", "tokenizers", "engine.jobs.queue", "tests.helpers.fake_embedder"]
)


class Child:
    """A running process, and what it says, line by line, until it ends."""

    def __init__(self, process: multiprocessing.process.BaseProcess, said: Iterator[str]) -> None:
        self._process, self.said = process, said

    def kill(self) -> None:
        self._process.kill()

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        self._process.join(280)
        assert self._process.exitcode is not None, "it did not end"
        return self._process.exitcode


@contextmanager
def child(work: Callable[..., None], data_dir: Path, *arguments: object, **env: str) -> Iterator[Child]:
    """Run `work(say, *arguments)` on a data folder in a process of its own."""
    hears, says = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_run, args=(work, says, cli_env(data_dir, **env), arguments))
    with hears:
        process.start()
        says.close()
        try:
            yield Child(process, _lines(hears))
        finally:
            process.kill()
            process.join()
            process.close()


def _lines(hears: multiprocessing.connection.Connection) -> Iterator[str]:
    while True:
        try:
            yield hears.recv()
        except EOFError:
            return


def _run(work: Callable[..., None], says: object, env: dict[str, str], arguments: tuple) -> None:
    os.environ.clear()
    os.environ.update(env)
    work(says.send, *arguments)


def _told(owner: object, name: str, shown: str, say: Say) -> None:
    """Let a step tell when it begins and when it is done."""
    step = getattr(owner, name)

    def run(*args, **rest):
        say(f"before {shown}")
        result = step(*args, **rest)
        say(f"after {shown}")
        return result

    setattr(owner, name, run)


def ingest(say: Say, folder: Path) -> None:
    """Ingest a folder into 'photos', telling where it is."""
    from engine.datasets.find import find_sources
    from engine.settings import load_settings
    from engine.storage.chroma import Store
    from engine.storage.ledger import Ledger
    from engine.workspace import Workspace

    say("begin")
    _told(Ledger, "put", "put", say)
    _told(Store, "upsert", "upsert", say)
    workspace = Workspace.open(load_settings())
    say("opened")
    found = find_sources([folder], max_file_bytes=10**8)
    workspace.ingest("photos", found, on_progress=lambda progress: say(f"progress {progress.done}"))
    say("finished")
    workspace.close()


def reembed(say: Say, moment: str, what: str) -> None:
    """Re-embed 'photos' in its place, or under a name, or only 'open' the folder.

    It kills itself at a moment such as "after modify 2", the second time that this step is done.
    """
    import chromadb.api.models.Collection

    from engine.ingest.pipeline import Pipeline
    from engine.storage import staging
    from engine.storage.chroma import Store
    from engine.storage.ledger import Ledger
    from tests.helpers.fake_embedder import NEW, opened

    seen: Counter[str] = Counter()

    def reach(name: str) -> None:
        seen[name] += 1
        say(f"{name} {seen[name]}")
        if moment == f"{name} {seen[name]}":
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name, shown in (
        (Ledger, "put", "put"),
        (Store, "upsert", "upsert"),
        (Pipeline, "_verify", "verify"),
        (staging, "_refile", "refile"),
        (staging.Stagings, "swap", "swap"),
        (staging.Stagings, "end_swap", "end"),
        (chromadb.api.models.Collection.Collection, "modify", "modify"),
        (Store, "_delete", "delete"),
    ):
        _told(owner, name, shown, reach)
    workspace = opened(Path(os.environ["GAPSCOPE_DATA_DIR"]))
    reach("opened")
    if what != "open":
        workspace.reembed("photos", NEW, into=None if what == "in-place" else what)
    reach("finished")
    workspace.close()
