"""Long work in the background: one job at a time, kept on disk until done, so that a restart resumes.

A job is a folder in the data folder: `job.json` (what to do) and, for an upload, the files. It is
removed when the job is done or discarded. Workers only write plain data here; pages read it.
"""

from __future__ import annotations

import json
import logging
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.disk import check_space, folder_error
from engine.errors import GapscopeError, QueryError, SlowModelError, VectorFileError
from engine.evaluation.results import Plan
from engine.ingest import samples
from engine.ingest.reembed import check_reembedding
from engine.media.sources import SourceList, find_sources, from_files
from engine.models.base import ModelChoice
from engine.models.pocket.recipe import PROVENANCE
from engine.progress import Progress
from engine.storage.chroma import check_name
from engine.text import clean_name
from engine.types import Failure, IngestReport
from engine.workspace import Workspace

if TYPE_CHECKING:
    from engine.maps.projection import ProjectionSettings

log = logging.getLogger(__name__)
_KEPT_ENDED = 20
_SAMPLES_STATE = "samples"


@dataclass(frozen=True)
class JobSpec:
    """What a job is to do: ingest a folder of this machine, or uploaded files under their names.

    Or, with `remake`, make a collection again with the model of `choice`: in place, or `into` another;
    or, with `evaluation`, measure it (`answers.Plan.to_dict`), or with `projection` fit its map
    (`projection.ProjectionSettings.to_dict`), or with `vectors` import the one uploaded file with these
    options of `ingest.vectors.import_vectors`.
    """

    id: str
    title: str
    collection: str
    choice: ModelChoice | None = None
    folder: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    samples: bool = False
    accept_slow: bool = False
    stopped: bool = False
    remake: bool = False
    into: str | None = None
    evaluation: dict[str, Any] | None = None
    projection: dict[str, Any] | None = None
    vectors: dict[str, Any] | None = None

    @property
    def target(self) -> str:
        """Return the collection that the job fills."""
        return self.into or self.collection


@dataclass
class Job:
    """A job and how it stands; `state` is waiting, running, done, failed or cancelled.

    `slow` tells that it was not begun because its model would take very long: going on accepts that.
    `evaluation` is the id under which the result of an evaluation is kept. `bad_rows` tells that an import
    was refused for some of its rows: going on leaves them out.
    """

    spec: JobSpec
    state: str = "waiting"
    progress: Progress = field(default_factory=lambda: Progress("Waiting", 0, 0))
    report: IngestReport | None = None
    evaluation: str | None = None
    error: str = ""
    slow: bool = False
    bad_rows: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def active(self) -> bool:
        """Tell whether the job is waiting or running."""
        return self.state in ("waiting", "running")


class Jobs:
    """The jobs of one workspace; safe to call from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = workspace.settings.data_dir / "jobs"
        self._queue: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._turning = (
            threading.Lock()
        )  # held while the state of a job and what is kept of it change together
        self._jobs: dict[str, Job] = {}
        # Daemon threads, so that stopping the server does not wait for a long ingest: it resumes.
        threading.Thread(target=self._work, name="jobs", daemon=True).start()
        self._resume()

    def list(self) -> list[Job]:
        """Return the jobs of this run, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def active(self) -> Job | None:
        """Return the job that is running, or the next one that waits."""
        waiting = [job for job in reversed(self.list()) if job.active]
        return waiting[0] if waiting else None

    def upload(
        self, collection: str, files: Iterable[tuple[str, IO[bytes]]], choice: ModelChoice | None = None
    ) -> Job:
        """Copy uploaded files to disk and ingest them in the background.

        Raises CollectionNameError, QueryError for the name of the samples, or FolderError.
        """
        _check_target(collection)
        id_, names = self._copied(files)
        title = f"{len(names):,} uploaded files" if len(names) != 1 else "1 uploaded file"
        return self._add(JobSpec(id_, title, collection, choice, files=names))

    def import_vectors(
        self,
        collection: str,
        name: str,
        stream: IO[bytes],
        *,
        label: str | None = None,
        skip_bad: bool = False,
    ) -> Job:
        """Copy an uploaded file of vectors to disk and import it in the background.

        label says what made the vectors; skip_bad leaves bad rows out instead of refusing the file. Raises
        as `upload` does; what is wrong with the file itself is the failure of the job.
        """
        _check_target(collection)
        id_, files = self._copied([(name, stream)])
        vectors = {"label": (label or "").strip() or None, "skip_bad": skip_bad}
        return self._add(JobSpec(id_, clean_name(name), collection, files=files, vectors=vectors))

    def ingest_folder(self, collection: str, folder: Path, choice: ModelChoice | None = None) -> Job:
        """Ingest a folder of this machine in the background; raises as `upload` does."""
        _check_target(collection)
        return self._add(JobSpec(_new_id(), folder.name, collection, choice, folder=str(folder)))

    def remake(self, collection: str, choice: ModelChoice, into: str | None = None) -> Job:
        """Make a collection again with another model in the background; the old one stays until then.

        Raises CollectionNotFoundError, and where it cannot be called `into`: CollectionNameError,
        CollectionError or QueryError.
        """
        into = None if into == collection else into
        if into is not None:
            _check_target(into)
            if self.uses(into):
                raise QueryError(f"A job is making {into!r}: choose another name, or wait for it.")
        check_reembedding(collection, into, self._workspace.store, self._workspace.ledger)
        title = f"{collection} again with {choice.id}"
        return self._add(JobSpec(_new_id(), title, collection, choice, remake=True, into=into))

    def evaluate(self, plan: Plan) -> Job:
        """Measure a collection in the background; the result is kept in `Workspace.evaluations`.

        Raises CollectionNotFoundError, and QueryError where the same is being measured already.
        """
        self._workspace.store.info(plan.collection)
        data = json.loads(json.dumps(plan.to_dict()))
        if any(job.active and job.spec.evaluation == data for job in self.list()):
            raise QueryError("This is being measured already.")
        title = f"Evaluate {plan.collection}" + (f" with {plan.reranker.id}" if plan.reranker else "")
        return self._add(JobSpec(_new_id(), title, plan.collection, evaluation=data))

    def project(self, collection: str, settings: ProjectionSettings) -> Job:
        """Fit a map in the background; it is kept in `Workspace.maps`.

        The same fit is not begun twice: the one that waits or runs is returned. Raises
        CollectionNotFoundError.
        """
        self._workspace.store.info(collection)
        data = json.loads(json.dumps(settings.to_dict()))
        for job in self.list():
            if job.active and (job.spec.collection, job.spec.projection) == (collection, data):
                return job
        return self._add(JobSpec(_new_id(), f"Map of {collection}", collection, projection=data))

    def ingest_samples(self) -> Job | None:
        """Ingest the bundled photographs, unless they were before (and perhaps deleted since).

        Samples that an earlier version of Pocket embedded are made again; what a person has made of
        them with another model is left as it is.
        """
        store, done = self._workspace.store, self._workspace.ledger.get_state(_SAMPLES_STATE)
        made = {info.name: info.made_by for info in store.collections()}.get(samples.COLLECTION)
        if done == _samples_version() or (done and made is None):
            return None
        if self.uses(samples.COLLECTION) or (made and made.model != PROVENANCE.model):
            return None
        if any(job.spec.samples and job.state != "done" for job in self.list()):
            return None
        if made and made != PROVENANCE:
            if store.info(samples.COLLECTION).total > 2 * len(samples.list_samples()):
                return None  # somebody's own files are in it too, by the command line
            self._workspace.delete_collection(samples.COLLECTION)
        spec = JobSpec(
            _new_id(),
            "Sample photographs",
            samples.COLLECTION,
            folder=str(samples.SAMPLE_DIR),
            samples=True,
        )
        return self._add(spec)

    def cancel(self, id_: str) -> None:
        """Ask a job to stop after the batch it is at; what it stored stays."""
        job = self._jobs[id_]
        with self._turning:
            if not job.active:
                return
            job.stop.set()
            self._save(replace(job.spec, stopped=True))
            if job.state == "waiting":
                job.state = "cancelled"

    def retry(self, id_: str) -> None:
        """Run a failed or cancelled job again; what was stored is skipped."""
        job = self._jobs[id_]
        if not job.active:
            with self._lock:
                self._jobs.pop(id_)
            vectors = {**(job.spec.vectors or {}), "skip_bad": True} if job.bad_rows else job.spec.vectors
            self._add(replace(job.spec, accept_slow=job.spec.accept_slow or job.slow, vectors=vectors))

    def discard(self, id_: str) -> None:
        """Forget an ended job and its uploaded files; what it stored stays, but for half a remake.

        Raises StoreError or FolderError, with the job still listed.
        """
        job = self._jobs.get(id_)
        if job is None or job.active:
            return
        if job.spec.remake and not self._remakes(job.spec.target, but=job):
            self._workspace.folder.discard_reembedding(job.spec.target)
        with self._lock:
            self._jobs.pop(id_, None)
        self._remove(job.spec)
        self._workspace.ledger.drop_state(_done_as(job.spec))

    def uses(self, collection: str) -> bool:
        """Tell whether a job that waits or runs adds to this collection, measures it, or remakes it."""
        return any(job.active and collection in (job.spec.collection, job.spec.target) for job in self.list())

    def delete_collection(self, collection: str) -> None:
        """Delete a collection that no job uses. Raises QueryError, CollectionNotFoundError."""
        if self.uses(collection):
            raise QueryError(f"A job is using {collection!r}: cancel it first, or wait for it.")
        self._workspace.delete_collection(collection)

    def _resume(self) -> None:
        """Go on with what an earlier run left; cancelled jobs are listed, and uploads cut short removed."""
        for folder in self._folder.glob("*/"):
            if not (folder / "job.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
        for path in sorted(self._folder.glob("*/job.json")):
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
                data["files"] = tuple((name, stored) for name, stored in data["files"])
                data.pop("model", None)  # version 0.1.0 had only Pocket
                if data.get("choice"):
                    data["choice"] = ModelChoice(**data["choice"])
                spec = JobSpec(**data)
            except (OSError, ValueError, TypeError, KeyError):
                log.warning("the job in %s cannot be read and is left alone", path.parent)
                continue
            if spec.stopped:
                self._jobs[spec.id] = Job(replace(spec, stopped=False), state="cancelled")
            else:
                self._start(Job(spec))

    def _copied(self, files: Iterable[tuple[str, IO[bytes]]]) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Copy files into the folder of a new job; returns its id, and under which name each is stored."""
        settings = self._workspace.settings
        check_space(settings.data_dir, min_free_bytes=int(settings.min_free_disk_mb * 1e6))
        id_ = _new_id()
        folder = self._folder / id_
        names = []
        try:
            folder.mkdir(parents=True)
            for number, (name, stream) in enumerate(files):
                stored = f"{number:06d}{Path(name).suffix.lower()[:8] if name.endswith('.zip') else ''}"
                with (folder / stored).open("wb") as target:
                    shutil.copyfileobj(stream, target, 1 << 20)
                names.append((name, stored))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise folder_error(settings.data_dir, error) from error
        return id_, tuple(names)

    def _add(self, spec: JobSpec) -> Job:
        self._save(spec)
        return self._start(Job(spec))

    def _save(self, spec: JobSpec) -> None:
        folder = self._folder / spec.id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / "job.json.draft"
            draft.write_text(json.dumps(asdict(spec)), encoding="utf-8")
            draft.replace(folder / "job.json")
        except OSError as error:
            raise folder_error(self._workspace.settings.data_dir, error) from error

    def _start(self, job: Job) -> Job:
        with self._lock:
            self._jobs[job.spec.id] = job
        self._forget_oldest()
        self._queue.put(job)
        return job

    def _work(self) -> None:
        """Run one job after another, each in a thread of its own, which a crash may end."""
        while True:
            job = self._queue.get()
            runner = threading.Thread(target=self._run_guarded, args=(job,), daemon=True)
            runner.start()
            runner.join()

    def _run_guarded(self, job: Job) -> None:
        try:
            self._run(job)
        finally:
            if job.state == "running":  # an error nobody expected; its traceback goes to the log
                job.error, job.state = "An unexpected error; the server's log has it.", "failed"

    def _run(self, job: Job) -> None:
        with self._turning:
            if job.stop.is_set():
                return
            job.state = "running"
        try:
            if job.spec.evaluation is not None:
                self._evaluated(job)
                return
            if job.spec.projection is not None:
                self._projected(job)
                return
            report = self._filled(job)
        except GapscopeError as error:
            job.slow = isinstance(error, SlowModelError)
            job.bad_rows = isinstance(error, VectorFileError) and _may_skip(job.spec, error)
            job.error, job.state = str(error), "failed"
            return
        job.report = report
        if report.cancelled:
            job.state = "cancelled"
            return
        if job.spec.samples:
            self._workspace.ledger.set_state(_SAMPLES_STATE, _samples_version())
        self._finish(job)

    def _finish(self, job: Job) -> None:
        with self._turning:  # a cancel that comes now would write down anew what is removed
            self._remove(job.spec)
            self._workspace.ledger.drop_state(_done_as(job.spec))
            job.state = "done"

    def _evaluated(self, job: Job) -> None:
        done = self._workspace.evaluate(
            Plan.of(job.spec.evaluation or {}),
            on_progress=lambda progress: setattr(job, "progress", progress),
            cancelled=job.stop.is_set,
        )
        if done is None:
            job.state = "cancelled"
            return
        job.evaluation = self._workspace.evaluations.keep(done)
        self._finish(job)

    def _projected(self, job: Job) -> None:
        from engine.maps.projection import ProjectionSettings
        from engine.progress import CancelledError

        def report(share: float) -> None:
            job.progress = Progress("Fitting", round(100 * share), 100, unit="%")

        report(0.0)
        settings = ProjectionSettings.of(job.spec.projection or {})
        try:
            content = self._workspace.maps.content_of(job.spec.collection)
            self._workspace.maps.fit(content, settings, on_progress=report, cancelled=job.stop.is_set)
        except CancelledError:
            job.state = "cancelled"
            return
        self._finish(job)

    def _filled(self, job: Job) -> IngestReport:
        if job.spec.remake:
            return self._remade(job)
        return self._ingested(job) if job.spec.vectors is None else self._imported(job)

    def _imported(self, job: Job) -> IngestReport:
        [(name, stored)] = job.spec.files
        how = {key: value for key, value in self._how(job).items() if key in ("on_progress", "cancelled")}
        # Without a media_root: what a visitor uploads must not make the server read files of its own.
        return self._workspace.import_vectors(
            job.spec.collection,
            self._folder / job.spec.id / stored,
            name=name,
            **(job.spec.vectors or {}),
            **how,
        )

    def _ingested(self, job: Job) -> IngestReport:
        return self._workspace.ingest(job.spec.collection, self._sources(job.spec), **self._how(job))

    def _remade(self, job: Job) -> IngestReport:
        """Make a collection again, unless it was just before the process ended."""
        done = self._workspace.ledger.get_state(_done_as(job.spec))
        if done is not None:
            self._workspace.folder.finish_swaps()
            data = json.loads(done)
            lists = {
                "failed": tuple(Failure(**one) for one in data["failed"]),
                "notes": tuple(data.get("notes", ())),
            }
            return IngestReport(**{**data, **lists})
        return self._workspace.reembed(
            job.spec.collection, into=job.spec.into, done_as=_done_as(job.spec), **self._how(job)
        )

    def _how(self, job: Job) -> dict[str, Any]:
        return {
            "choice": job.spec.choice,
            "accept_slow": job.spec.accept_slow,
            "on_progress": lambda progress: setattr(job, "progress", progress),
            "cancelled": job.stop.is_set,
        }

    def _remakes(self, target: str, *, but: Job) -> bool:
        """Tell whether another job that is not done makes the same, and goes on from what there is."""
        others = (job for job in self.list() if job is not but and job.state != "done")
        return any(job.spec.remake and job.spec.target == target for job in others)

    def _sources(self, spec: JobSpec) -> SourceList:
        limit = self._workspace.settings.max_file_bytes
        if spec.folder:
            return find_sources([Path(spec.folder)], max_file_bytes=limit)
        folder = self._folder / spec.id
        files: dict[str, Path] = {}
        for name, stored in spec.files:
            # A second file of the same name is shown under it too; captions belong to the first.
            files[f"{stored}/{name}" if name in files else name] = folder / stored
        return from_files(files, max_file_bytes=limit)

    def _remove(self, spec: JobSpec) -> None:
        shutil.rmtree(self._folder / spec.id, ignore_errors=True)

    def _forget_oldest(self) -> None:
        with self._lock:
            ended = [id_ for id_, job in self._jobs.items() if job.state == "done"]
            for id_ in ended[:-_KEPT_ENDED]:
                del self._jobs[id_]


def _check_target(collection: str) -> None:
    check_name(collection)
    if collection == samples.COLLECTION:
        raise QueryError(f"{collection!r} is kept for the bundled photographs: choose another name.")


def _may_skip(spec: JobSpec, error: VectorFileError) -> bool:
    """Tell whether an import that was refused can go on without its bad rows."""
    return bool(error.faults) and not (spec.vectors or {}).get("skip_bad")


def _done_as(spec: JobSpec) -> str:
    """Return the key under which the ledger keeps that, and how, a remake was put in place."""
    return f"job {spec.id}"


def _samples_version() -> str:
    return f"{samples.fingerprint()} {PROVENANCE}"


_newest_ns = 0
_numbering = threading.Lock()


def _new_id() -> str:
    """Return an id that sorts after every earlier one: a restart goes on in the order of the ids."""
    global _newest_ns
    with _numbering:
        _newest_ns = max(time.time_ns(), _newest_ns + 1)  # two jobs of one instant are in order too
        return f"{_newest_ns:019d}-{uuid.uuid4().hex[:8]}"
