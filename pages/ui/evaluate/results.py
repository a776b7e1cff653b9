"""One evaluation: metrics with intervals, wins and losses, cost, the questions that got worse, exports."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from engine.errors import EvaluationError
from engine.ingest.samples import COLLECTION
from engine.models.catalog import DEFAULT_RERANKER
from pages.ui import figure, glossary
from pages.ui.evaluate import form
from pages.ui.frame import EVALUATE
from pages.ui.models import wording
from pages.ui.wording import duration, plain, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.evaluation.archive import KeptEvaluation
    from engine.evaluation.metrics import Interval
    from engine.evaluation.results import Answer, Evaluation
    from engine.jobs.queue import Jobs
    from engine.workspace import Workspace

_WORSE_SHOWN = 12
_TELLING = 10  # below, a bootstrap over questions says nothing
_STYLE = """<style>
.gs-worse {margin: 0; padding-left: 1.6rem; line-height: 1.7; font-size: .95rem; overflow-wrap: anywhere;}
.gs-worse a {color: inherit; text-decoration-color: #14a394; text-underline-offset: .2em;}
.gs-worse span {opacity: .7; font-size: .85rem; font-variant-numeric: tabular-nums; margin-left: .4rem;}
.st-key-evaluation_chart svg :is(.xtick, .ytick, .legendtext, .xtitle) text,
.st-key-evaluation_chart svg :is(.legendtext, .xtitle) {fill: currentColor !important;}
</style>"""
_NAMES = {"mrr": "MRR", "ndcg@10": "nDCG@10"}
_SHOW = {"image": "Pictures", "text": "Texts"}
_HELP = (
    "hit@k: a right answer is among the first k. recall@k: the share of all right answers that are. "
    "precision@k: the share of the first k places that right answers have. MAP@k: the mean over all right "
    "answers of the precision at their places, 0 beyond k. An answer is right from any grade above 0 on. "
    "nDCG@10 is relative to the best order of all right answers in the collection. Ties take the middle rank."
)


def _named(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("map@", "MAP@"))


def choose(jobs: Jobs, kept: Sequence[KeptEvaluation]) -> KeptEvaluation:
    """Draw the choice of a kept evaluation; the address names it."""
    names = {one.id: _name(one.evaluation) for one in kept}
    asked_for = st.query_params.get("e", "")
    ids = list(names)
    if asked_for and asked_for not in names:
        st.warning("The evaluation in this address is no longer kept here; showing the newest one.")
    finished = form.finished(jobs)
    if finished in names:  # this visitor waited for it
        st.session_state.e = st.query_params["e"] = finished
    elif "e" not in st.session_state or st.session_state.e not in names:
        st.session_state.e = asked_for if asked_for in names else ids[0]
    chosen = st.selectbox("Evaluation", ids, format_func=lambda id_: names[id_], key="e")
    st.query_params["e"] = chosen
    return next(one for one in kept if one.id == chosen)


def draw(workspace: Workspace, chosen: KeptEvaluation, kept: Sequence[KeptEvaluation]) -> None:
    """Draw one evaluation, beside those of the same questions."""
    st.html(_STYLE)
    evaluation = workspace.evaluations.load(chosen.id)
    _facts(evaluation)
    if _was_trained_on(evaluation):
        st.warning(
            "Pocket's reranker learned its weights on these very photographs, so this flatters it. The page "
            "docs/pocket.md has its figures on pictures it never saw; your own collection is a fair test too."
        )
    if evaluation.reads_the_answer:
        st.warning(
            "The reranker read captions, and the questions are those captions word for word: it was shown "
            "the answers, so its numbers say nothing."
        )
    if evaluation.reranked_by:
        _verdict(evaluation)
    _metrics(evaluation)
    glossary.caption(_HELP)
    _others(workspace, chosen, kept)
    if evaluation.reranked_by:
        _worse(evaluation)
    _questions(evaluation)
    _exports(workspace, chosen.id, evaluation)


def _was_trained_on(evaluation: Evaluation) -> bool:
    by = evaluation.reranked_by
    return evaluation.plan.collection == COLLECTION and by is not None and by.model == DEFAULT_RERANKER


def _name(evaluation: Evaluation) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(evaluation.finished_at))
    asked = form.in_words(evaluation.truth, evaluation.direction)
    return f"{_system(evaluation)} · {asked}, n = {evaluation.summary.queries:,} · {when}"


def _system(evaluation: Evaluation) -> str:
    """Return collection, model, order and reranker in short."""
    system = _first_stage(evaluation)
    if evaluation.reranked_by is None:
        return system
    return f"{system} + {wording.short(evaluation.reranked_by.model)} ({evaluation.plan.top:,})"


def _first_stage(evaluation: Evaluation) -> str:
    system = f"{evaluation.plan.collection} · {wording.short(evaluation.made_by.model)}"
    return f"{system} · all kinds, {evaluation.plan.balance}" if evaluation.plan.balance else system


def _facts(evaluation: Evaluation) -> None:
    summary, plan = evaluation.summary, evaluation.plan
    of_all = "" if summary.queries == evaluation.total else f" of {evaluation.total:,} (seed {plan.seed})"
    kinds = "items of all kinds" if plan.balance else plural(evaluation.direction.answers)
    parts = [
        f"{summary.queries:,}{of_all} questions against {evaluation.documents:,} {kinds}",
        f"vectors by {evaluation.made_by}",
        f"exact cosine, in {duration(evaluation.seconds)}",
    ]
    if plan.balance:
        parts.insert(1, f"order {plan.balance}")
    if evaluation.reranked_by:
        parts.insert(-1, f"first {plan.top:,} reranked by {evaluation.reranked_by.model}")
    st.caption(plain(" · ".join(parts)))
    if evaluation.unasked:
        first = evaluation.unasked[0]
        st.warning(plain(f"{len(evaluation.unasked):,} could not be asked: {first.name}: {first.reason}"))


def _verdict(evaluation: Evaluation) -> None:
    summary = evaluation.summary
    delta = summary.delta["ndcg@10"]
    if summary.queries < _TELLING:
        words, draw_box, icon = "Too few questions to tell", st.info, ":material/help:"
    elif delta.low > 0:
        words, draw_box, icon = "Worth it", st.success, ":material/trending_up:"
    elif delta.high < 0:
        words, draw_box, icon = "It hurts", st.error, ":material/trending_down:"
    else:
        words, draw_box, icon = "No clear difference", st.info, ":material/trending_flat:"
    draw_box(
        f"**{words}**: nDCG@10 {summary.before['ndcg@10'].mean:.3f} → {summary.after['ndcg@10'].mean:.3f} "
        f"({_signed(delta)}, paired bootstrap 95 %, n = {summary.queries:,}). Questions: "
        f"{summary.wins:,} got better, {summary.ties:,} stayed the same, {summary.losses:,} got worse.",
        icon=icon,
    )
    with st.container(horizontal=True, key="evaluation_numbers"):
        top = evaluation.plan.top
        ceiling = summary.ceiling.mean if summary.ceiling else 0.0
        captured = "no gain possible" if summary.captured is None else f"{summary.captured:.0%}"
        st.metric(
            f"Ceiling, hit@{top}",
            f"{ceiling:.3f}",
            help="The share of questions with a right answer among the hits that were reranked: hit@1 "
            "after reranking cannot be higher.",
        )
        st.metric(
            "Share of the possible gain",
            captured,
            help="(hit@1 after − before) / (ceiling − before): 100 % where a right answer comes first "
            "whenever one was among the hits that were reranked.",
        )
        st.metric(
            "Per question",
            f"{summary.open_ms + summary.score_ms:,.0f} ms",
            help=f"Medians: {summary.open_ms:,.0f} ms to open and prepare, {summary.score_ms:,.0f} ms to "
            f"score. {summary.fresh:,} documents were prepared for the first time.",
        )
        st.metric(
            "Pairs scored",
            f"{summary.pairs_scored:,}",
            help=f"{summary.pairs_by_caption:,} by a caption; {summary.pairs_unscored:,} got no score.",
        )


def _metrics(evaluation: Evaluation) -> None:
    summary = evaluation.summary
    rows = []
    for name, before in summary.before.items():
        row = {"metric": _named(name), "retrieved": _with_interval(before)}
        if summary.after:
            row["reranked"] = _with_interval(summary.after[name])
            row["change"] = _signed(summary.delta[name])
        rows.append(row)
    st.dataframe(rows, hide_index=True, width="stretch", key="evaluation_metrics")


def _others(workspace: Workspace, chosen: KeptEvaluation, kept: Sequence[KeptEvaluation]) -> None:
    """Draw every evaluation of the same questions and documents, each with its interval."""
    from engine.figures.intervals import interval_chart

    others = [
        one for one in kept if one.id != chosen.id and one.evaluation.comparable_with(chosen.evaluation)
    ]
    same = [chosen, *others]  # first: where two have the same name, its numbers are the ones shown
    metrics = list(chosen.evaluation.summary.before)
    metric = st.selectbox(
        "Compare by",
        metrics,
        index=metrics.index("ndcg@10"),
        format_func=_named,
        key="evaluation_metric",
        width=160,
    )
    rows: dict[str, tuple[str, Interval, bool]] = {}
    for one in same:
        for row in _orders(one.evaluation, metric):
            rows.setdefault(row[0], row)
    chart = interval_chart(list(rows.values()), metric=_named(metric))
    figure.show(chart, key="evaluation_chart", name=f"evaluations by {metric}")
    if len(same) > 1:
        _differences(workspace, chosen, same, metric)
    left_out = len(kept) - len(same)
    if left_out:
        st.caption(f"{left_out:,} other evaluations are not shown here: they ask other questions.")


def _orders(evaluation: Evaluation, metric: str) -> list[tuple[str, Interval, bool]]:
    """Return the one or two orders that an evaluation measured, if they have this metric."""
    summary = evaluation.summary
    if metric not in summary.before:
        return []
    found = [(_first_stage(evaluation), summary.before[metric], False)]
    if summary.after:
        found.append((_system(evaluation), summary.after[metric], True))
    return found


def _differences(
    workspace: Workspace, chosen: KeptEvaluation, same: Sequence[KeptEvaluation], metric: str
) -> None:
    from engine.evaluation.results import difference

    shown, rows = workspace.evaluations.load(chosen.id), []
    for one in same:
        if one.id == chosen.id:
            continue
        try:
            other = workspace.evaluations.load(one.id)
            rows.append(
                {
                    "other": _system(other),
                    "other minus the one above": _signed(difference(other, shown, metric)),
                }
            )
        except EvaluationError:  # measured at other k, or gone meanwhile
            continue
    if rows:
        with st.expander(f"Differences from the other {len(rows):,}, question by question"):
            st.dataframe(rows, hide_index=True, width="stretch", key="evaluation_differences")


def worse_questions(workspace: Workspace, collection: str, reranker: str) -> None:
    """Draw, for the Rerank page, what the newest evaluation of a reranker says it made worse."""
    kept = next(
        (
            one
            for one in workspace.evaluations.list(collection)
            if one.evaluation.reranked_by and one.evaluation.reranked_by.model == reranker
        ),
        None,
    )
    evaluation = None
    if kept is not None:
        with suppress(EvaluationError):  # gone meanwhile, or of another version
            evaluation = workspace.evaluations.load(kept.id)
    if kept is None or evaluation is None:
        st.page_link(
            EVALUATE,
            label="Measure it over all questions, and see which get worse",
            icon=":material/monitoring:",
        )
        return
    summary, worse = evaluation.summary, evaluation.worse
    with st.expander(
        f"Over {summary.queries:,} questions {plain(wording.short(reranker))} makes {summary.wins:,} "
        f"better and {summary.losses:,} worse",
        icon=":material/trending_down:",
        key=f"rerank_worse_{reranker}",
    ):
        st.html(_STYLE + _list(evaluation, worse[:_WORSE_SHOWN]))
        st.page_link(
            EVALUATE, label="The whole evaluation", icon=":material/monitoring:", query_params={"e": kept.id}
        )


def _worse(evaluation: Evaluation) -> None:
    worse = evaluation.worse
    st.subheader(f"{len(worse):,} questions that got worse", anchor="worse")
    if not worse:
        st.text("Reranking made no question worse.")
        return
    shown = worse[:_WORSE_SHOWN]
    st.html(_list(evaluation, shown))
    if len(worse) > len(shown):
        st.caption(f"The worst {len(shown):,} of {len(worse):,}; all are in the table below.")


def _list(evaluation: Evaluation, answers: Sequence[Answer]) -> str:
    return f'<ol class="gs-worse">{"".join(_line(evaluation, one) for one in answers)}</ol>'


def _line(evaluation: Evaluation, answer: Answer) -> str:
    moved = f"{answer.rank_before:g} → {answer.rank_after:g}"
    words = f"<bdi>{escape(answer.shown[:200])}</bdi>"
    if evaluation.direction.asks == "text":
        words = f'<a href="{escape(rerank_link(evaluation, answer))}" target="_self">{words}</a>'
    return f"<li>{words} <span>right answer {moved}, nDCG@10 {_minus(f'{answer.change:+.3f}')}</span></li>"


def rerank_link(evaluation: Evaluation, answer: Answer) -> str:
    """Return the address of a question on the Rerank page, relative to this one."""
    top = evaluation.plan.top
    return "Rerank?" + urlencode(
        {
            "q": answer.shown,
            "collection": evaluation.plan.collection,
            "reranker": evaluation.reranked_by.model if evaluation.reranked_by else "",
            "show": "All" if evaluation.plan.balance else _SHOW[evaluation.direction.answers],
            "balance": evaluation.plan.balance or "raw",
            "k": max(top, 10),
            "top": top,
        }
    )


def _questions(evaluation: Evaluation) -> None:
    with st.expander(f"All {evaluation.summary.queries:,} questions", icon=":material/list:"):
        rows = [_row(one) for one in evaluation.answers]
        st.dataframe(rows, hide_index=True, width="stretch", key="evaluation_questions")


def _row(answer: Answer) -> dict[str, object]:
    row: dict[str, object] = {
        "question": answer.shown,
        "rank retrieved": answer.rank_before,
        "nDCG@10 retrieved": round(answer.before["ndcg@10"], 4),
    }
    if answer.after:
        row["rank reranked"] = answer.rank_after
        row["nDCG@10 reranked"] = round(answer.after["ndcg@10"], 4)
        row["change"] = round(answer.change, 4)
    return row


def _exports(workspace: Workspace, id_: str, evaluation: Evaluation) -> None:
    from engine.evaluation.archive import CSV_FILE

    name = f"{evaluation.plan.collection}-evaluation"
    file = workspace.evaluations.file
    with st.container(horizontal=True):
        st.download_button(
            "CSV, one line per question",
            partial(file, id_, CSV_FILE),
            file_name=f"{name}.csv",
            mime="text/csv",
            key="evaluation_csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Everything, with TREC files",
            partial(file, id_),
            file_name=f"{name}.zip",
            mime="application/zip",
            key="evaluation_zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            help="qrels, topics and runs for trec_eval or ir_measures, and the summary as JSON.",
        )
        if st.button(
            "Delete this result", key="evaluation_delete", icon=":material/delete:", type="tertiary"
        ):
            workspace.evaluations.delete(id_)
            st.session_state.pop("e", None)
            st.query_params.pop("e", None)
            st.rerun()


def _with_interval(one: Interval) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _signed(one: Interval) -> str:
    return _minus(f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")


def _minus(number: str) -> str:
    return number.replace("-", "−")
