"""The words of the Rerank page: verdicts, numbers with their meaning, and warnings; draws nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from engine.search.notes import english_only, language
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.evaluation.rank_changes import Comparison, Worth
    from engine.types import SearchTrace


def verdict(result: Worth, noun: str, *, retrieved: int, reranked: int) -> str:
    """Return whether the right answer rose, and how good the first ten were before and after.

    retrieved, reranked: how many hits were found, and how many of them the reranker was given.
    """
    if result.first_before is None or result.first_after is None:
        return (
            f":material/search_off: **Not among the {retrieved:,} retrieved: no reranker can bring it in.** "
            f"Retrieve more than {retrieved:,}, or ask in other words."
        )
    subject = f"the right {noun}" if result.right == 1 else f"the first right {noun}"
    before, after = result.first_before, result.first_after
    way = f"{'rose' if after < before else 'fell'} from {before:,} to {after:,}"
    below = f", below the {reranked:,} that were reranked" if before > reranked else ""
    way = f"stayed at {after:,}{below}" if after == before else way
    ndcg = f"nDCG@10 {result.ndcg_before:.2f} to {result.ndcg_after:.2f}"
    if result.verdict == "win":
        return f":material/trending_up: **Worth it:** {subject} {way} ({ndcg})."
    if result.verdict == "loss":
        return f":material/trending_down: **It hurt:** {subject} {way} ({ndcg})."
    ndcg = f"nDCG@10 {result.ndcg_after:.2f} before and after"
    return f":material/trending_flat: **No difference:** {subject} {way} ({ndcg})."


def nothing(name: str, one: Comparison) -> str:
    """Return why a reranker scored nothing at all."""
    reasons = list(dict.fromkeys(one.reranked.failed.values()))
    why = "; ".join(reasons[:2]) if reasons else "there was nothing to score"
    return plain(
        f"Nothing was reranked: {name} gave no score to any of {len(one.head):,} hits ({why}). The order "
        f"is as retrieved. Choose another reranker, or another kind to show."
    )


def sentence(one: Comparison) -> str:
    """Return in one sentence what a reranker changed."""
    rose, fell = (sum(way * move.moved > 0 for move in one.head) for way in (1, -1))
    if not rose:
        hits = f"{len(one.head):,} reranked hits stay" if len(one.head) > 1 else "only reranked hit stays"
        return f"**Nothing moved:** the {hits} as retrieved."
    places, first = min(10, len(one.moves)), one.moves[0]
    name = plain((first.item.caption or first.item.name)[:80])
    head = f"First is now “{name}”, from {first.before:,}" if first.moved else f"First stays “{name}”"
    new = one.new_in_first(places)
    rest = f"; {new:,} of the first {places:,} come from further down" if new else ""
    return (
        f"**{head}.** Of {len(one.head):,} reranked, {rose:,} rose, {fell:,} fell and "
        f"{len(one.head) - rose - fell:,} stayed{rest}."
    )


def facts(trace: SearchTrace, one: Comparison) -> Iterator[str]:
    """Yield the numbers with what they mean."""
    result, cost = one.reranked, one.reranked.timings_ms
    yield _fact("none" if one.tau is None else f"{one.tau:.2f}".replace("-", "−"), _tau_words(one))
    yield _fact(f"{result.scored:,}", f"pairs scored of {len(one.head):,}")
    yield _fact(_ms(trace.timings_ms["embed"]), "to embed the query")
    yield _fact(_ms(trace.timings_ms["retrieve"]), f"to retrieve {len(trace.retrieval):,}")
    yield _fact(_ms(cost.get("open", 0.0)), "to open the documents")
    score = cost.get("score", 0.0)
    yield _fact(_ms(score), f"to score, {_ms(score / max(1, result.scored))} a pair")


def _tau_words(one: Comparison) -> str:
    if one.tau is not None:
        return (
            f"Kendall's tau: {one.same_order_share:.0%} of all pairs are in the same order as before"
        ).replace("%", " %")
    if one.reranked.scored < 2:
        return "Kendall's tau needs two scored hits"
    return "Kendall's tau: all scores are the same, so the order stayed as retrieved"


def _fact(value: str, words: str) -> str:
    return f"<div><b>{escape(value)}</b>{escape(words)}</div>"


def notes(one: Comparison) -> Iterator[str]:
    result = one.reranked
    if result.fresh:
        seconds = result.timings_ms.get("open", 0.0) / 1000
        what = "picture was" if result.fresh == 1 else "pictures were"
        yield f"{result.fresh:,} {what} examined for the first time: {seconds:.1f} s; the result is kept."
    yield from (plain(note) for note in result.notes)


def agreement(first: str, second: str, tau: float | None) -> str:
    """Return how far two rerankers agree, by Kendall's tau between their scores."""
    names = f"{plain(first)} and {plain(second)}"
    if tau is None:
        return f"How far {names} agree cannot be told: too few hits in common, or all scores are the same."
    share = f"{(tau + 1) / 2:.0%}".replace("%", " %")
    number = f"{tau:.2f}".replace("-", "−")
    return f"**{names} put {share} of all pairs in the same order** (Kendall's tau {number})."


def warnings(trace: SearchTrace, rerankers: Sequence[str], k: int) -> Iterator[str]:
    """Yield what a person should know before reading the lists."""
    searched = " and ".join(f"{n:,} {plural(one)}" for one, n in trace.searched.items())
    found = len(trace.retrieval)
    if found and found < k:
        less = ", without copies" if trace.copies else ""
        yield f"All {found:,} there are ({searched}{less}) were retrieved, fewer than the {k:,} asked for."
    if len(trace.searched) > 1 and trace.balance == "raw":
        yield (
            "Cosine similarities of two modalities are not on one scale: one kind can crowd out the other in "
            "the retrieved order. That is the modality gap."
        )
    if trace.query_modality == "text" and not english_only([trace.model]):  # else the trace has said it
        yield from filter(None, [language(trace.query, english_only(rerankers))])


def _ms(milliseconds: float) -> str:
    if milliseconds >= 10_000:
        return f"{milliseconds / 1000:,.1f} s"
    return f"{milliseconds:,.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"
