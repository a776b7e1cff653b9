"""The running and ended jobs: progress, rate, time left, failures with reasons, cancel and retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs.spec import Evaluate, ExportMedia, FitMap
from engine.maps import umap_kernels
from pages.ui.counted import say_failed, say_left_out
from pages.ui.frame import MAP, SEARCH, errors
from pages.ui.wording import duration, plain, say_error

if TYPE_CHECKING:
    from collections.abc import Collection

    from engine.datasets.export import MediaExport
    from engine.jobs.queue import Jobs
    from engine.jobs.run import Job

POLL_SECONDS = 0.7
BEGUN = "begun_here"


def show_jobs(jobs: Jobs, *, evaluations: bool = False, opens: Collection[str] = ()) -> None:
    """Draw all jobs of this run, or the evaluations and what they wait for.

    Polls only while one is active, then redraws the page once. opens: the collections that the page can show
    under the key "browse"; a job that has filled one offers to open it.
    """
    busy = jobs.active() is not None

    @st.fragment(run_every=POLL_SECONDS if busy else None)
    def draw() -> None:
        with errors():
            for job in jobs.list():
                if not evaluations or job.active or job.spec.kind == "evaluate":
                    _draw(jobs, job, opens)
        if busy and jobs.active() is None:
            st.rerun()

    draw()


def progress_line(job: Job) -> str:
    """Return how far a job is in words: files done, rate, time left."""
    progress = job.progress
    if isinstance(job.spec, FitMap):
        if job.spec.settings.method == "umap" and umap_kernels.compiling():
            return "Compiling UMAP, once per installation"
        return f"{progress.stage} · {progress.done} %" if progress.total else progress.stage
    parts = [f"{progress.stage} · {progress.done:,} of {progress.total:,} {progress.unit}"]
    if progress.done:
        digits = 0 if progress.done_per_second >= 10 else 1
        parts.append(f"{progress.done_per_second:,.{digits}f} {progress.unit}/s")
    if progress.seconds_left is not None and progress.done < progress.total:
        parts.append(f"{duration(progress.seconds_left)} left")
    return " · ".join(parts)


def begun(job: Job) -> None:
    """Keep in mind that this visitor began a job: the page shows what it has filled, once it is done."""
    st.session_state[BEGUN] = job.spec.id


def fills(job: Job) -> bool:
    """Tell whether a job has put items into a collection, and is done."""
    return job.state == "done" and not isinstance(job.spec, Evaluate | ExportMedia | FitMap)


def _draw(jobs: Jobs, job: Job, opens: Collection[str]) -> None:
    id_ = job.spec.id
    with st.container(border=True, key=f"job_{id_}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.text(f"{job.spec.title} → {job.spec.target}")
            _actions(jobs, job, id_, opens)
        if job.active:
            text = "Stopping after this batch …" if job.stop.is_set() else plain(progress_line(job))
            st.progress(job.progress.share, text=text)
        elif job.state == "failed":
            say_error(job.error)
        else:
            st.caption(_summary(job))
        for note in job.report.notes if job.report else ():
            st.caption(plain(note))
        of = job.report or job.progress
        say_failed(of.failed, of.failed_kinds)
        if job.report:
            say_left_out(job.report.left_out)


def _actions(jobs: Jobs, job: Job, id_: str, opens: Collection[str]) -> None:
    with st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
        if job.active:
            if st.button("Cancel", key=f"cancel_{id_}", type="tertiary", disabled=job.stop.is_set()):
                jobs.cancel(id_)
                st.rerun(scope="app")
            return
        if fills(job) and job.spec.target in opens:
            _open(job.spec.target, id_)
        if job.spec.kind == "import-vectors" and job.state == "done":
            st.page_link(
                MAP,
                label="Open the map",
                icon=":material/scatter_plot:",
                query_params={"collection": job.spec.collection},
            )
        go_on = "Start anyway" if job.slow else "Skip bad rows" if job.bad_rows else "Continue"
        if job.state in ("failed", "cancelled") and st.button(go_on, key=f"retry_{id_}", type="tertiary"):
            jobs.retry(id_)
            st.rerun(scope="app")
        if st.button("Dismiss", key=f"dismiss_{id_}", type="tertiary"):
            jobs.discard(id_)
            st.rerun(scope="app")


def _open(name: str, id_: str) -> None:
    """Offer to browse a collection on this page, and to search it."""
    short = name if len(name) <= 24 else f"{name[:23]}…"  # the card of a phone is no wider
    pressed = st.button(
        f"Open {plain(short)}",
        key=f"open_made_{id_}",
        type="tertiary",
        icon=":material/photo_library:",
        on_click=lambda: st.session_state.update({"browse": name}),
    )
    if pressed:
        st.rerun(scope="app")
    st.page_link(SEARCH, label="Search it", icon=":material/search:", query_params={"collection": name})


def _summary(job: Job) -> str:
    if job.evaluation is not None:
        return f"Done in {duration(job.progress.elapsed_seconds)}; the result is on the Evaluate page."
    if job.spec.kind == "fit-map":
        done = job.state == "done"
        return "Done; it is on the Map page." if done else "Cancelled; an earlier map stays as it is."
    if job.exported is not None:
        return _export_summary(job.exported)
    if job.report is None and job.spec.kind == "export-media":
        return "Cancelled; nothing was written."
    if job.report is None and job.spec.kind == "evaluate":
        return "Cancelled; nothing was kept."
    if job.report is None:
        return "Cancelled before it started."
    report = job.report
    word = "Cancelled; what was stored is kept" if report.cancelled else "Done"
    failed = f", {report.failed_count:,} failed" if report.failed else ""
    left = sum(one.count for one in report.left_out)
    failed += f", {left:,} left out" if left else ""
    return (
        f"{word}: {report.stored:,} items stored, {report.skipped:,} were already there{failed} · "
        f"{duration(report.seconds)} · {report.per_second:,.0f} items/s · model {report.model}"
    )


def _export_summary(done: MediaExport) -> str:
    left = "".join(
        f" Left out: {one.count:,}. {one.reason}: {', '.join(one.examples)}." for one in done.left_out
    )
    return plain(
        f"Done: {done.files:,} files with {done.captions:,} captions and {done.texts:,} texts; it is below, "
        f"under Export of the collection.{left} {' '.join(done.notes)}".strip()
    )
