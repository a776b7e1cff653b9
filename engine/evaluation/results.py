"""What an evaluation is asked and what it gives: a plan, an answer to every question, and their summary.

Pure: `run.py` makes the answers, `archive.py` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from engine.errors import EvaluationError
from engine.evaluation.metrics import NDCG_K, Interval, bootstrap, deltas, means
from engine.evaluation.questions import TRUTHS, Direction, Truth
from engine.models.base import ModelChoice
from engine.types import BALANCES, Balance, Failure, Provenance

MAX_TOP = 1_000
MAX_K = 1_000
DECIDES = f"ndcg@{NDCG_K}"  # what makes a question a win or a loss
_SAME = 1e-12  # nDCG of the same ranks summed in another order
Listed = tuple[tuple[str, float], ...]  # ids with their scores, best first


@dataclass(frozen=True)
class Plan:
    """What to measure: questions of a `truth` asked in a `direction`, the first there are where None.

    `ks` are the cut-offs of hit and recall; `top` how many hits a reranker gets; `limit` a random sample
    of so many questions, by `seed`. `balance` orders the whole collection, of all modalities and less what
    asks, by a treatment of `search/balance.py`; None ranks only items of the modality that answers. Raises
    EvaluationError for what cannot be.
    """

    collection: str
    truth: Truth | None = None
    direction: Direction | None = None
    reranker: ModelChoice | None = None
    top: int = 50
    ks: tuple[int, ...] = (1, 5, 10)
    limit: int | None = None
    seed: int = 0
    balance: Balance | None = None

    def __post_init__(self) -> None:
        if self.balance not in (None, *BALANCES):
            raise EvaluationError(f"The balance is one of {', '.join(BALANCES)}, not {self.balance!r}.")
        if self.truth not in (None, *TRUTHS):
            raise EvaluationError(f"The truth is one of {', '.join(TRUTHS)}, not {self.truth!r}.")
        for what, values, most in (
            ("k", self.ks, MAX_K),
            ("The number of hits to rerank", [self.top], MAX_TOP),
        ):
            if not values or not all(1 <= value <= most for value in values):
                raise EvaluationError(f"{what} is {', '.join(map(str, values))}; it must be 1 to {most:,}.")
        if self.limit is not None and self.limit < 1:
            raise EvaluationError(f"A sample of {self.limit} questions; it must be at least 1.")

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON takes it."""
        return {**asdict(self), "direction": str(self.direction) if self.direction else None}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_dict` wrote. Raises TypeError, EvaluationError."""
        given = dict(data)
        given["direction"] = Direction.of(given["direction"]) if given["direction"] else None
        given["reranker"] = ModelChoice(**given["reranker"]) if given["reranker"] else None
        return cls(**{**given, "ks": tuple(given["ks"])})


@dataclass(frozen=True)
class Answer:
    """How one question fared. Ranks are of its first right answer, fractional where scores tie.

    `before` and `after` map the names of metrics to values in [0, 1]; `after` is empty and `rank_after`
    None where nothing was reranked. `ceiling` is hit@top of the first stage: 1 where a right answer was
    there for the reranker to find. Of the head, `scored` got a score, `by_caption` of them for their
    captions, `unscored` none. `open_ms` is files and preparing, `score_ms` the reranker itself.
    """

    key: str
    qid: str
    shown: str
    gains: Mapping[str, float] = field(repr=False)
    before: Mapping[str, float]
    rank_before: float
    retrieved: Listed = field(repr=False)
    after: Mapping[str, float] = field(default_factory=dict)
    rank_after: float | None = None
    reranked: Listed = field(default=(), repr=False)
    ceiling: float = 0.0
    scored: int = 0
    unscored: int = 0
    by_caption: int = 0
    open_ms: float = 0.0
    score_ms: float = 0.0

    @property
    def change(self) -> float:
        """Return how much nDCG@10 rose by reranking; 0 without a reranker, and for rounding alone."""
        change = self.after[DECIDES] - self.before[DECIDES] if self.after else 0.0
        return change if abs(change) > _SAME else 0.0


@dataclass(frozen=True)
class Summary:
    """Means over questions with 95 % bootstrap intervals; `delta` is paired, question by question.

    `ceiling` is the first stage's hit@top, above which no reranker can bring hit@1; `captured` the
    share of the way from hit@1 to it that was gone, below 0 for a loss, None where there is no way to
    go. Wins, ties and losses are questions, by nDCG@10. Pairs are (question, hit). `fresh` documents
    were prepared for the first time. Times in milliseconds per question, medians.
    """

    queries: int
    before: Mapping[str, Interval]
    after: Mapping[str, Interval] = field(default_factory=dict)
    delta: Mapping[str, Interval] = field(default_factory=dict)
    ceiling: Interval | None = None
    captured: float | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0
    pairs_scored: int = 0
    pairs_unscored: int = 0
    pairs_by_caption: int = 0
    fresh: int = 0
    open_ms: float = 0.0
    score_ms: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: what was asked of what, every answer, and the summary.

    `total` questions were there before sampling; `documents` could answer; `unasked` could not be asked.
    `made_by` made the vectors, `reranked_by` the second order. `finished_at` in Unix seconds. The digests
    tell whether two evaluations asked the same of the same documents.
    """

    plan: Plan
    truth: Truth
    direction: Direction
    made_by: Provenance
    reranked_by: Provenance | None
    total: int
    documents: int
    documents_digest: str
    questions_digest: str
    seconds: float
    finished_at: int
    answers: tuple[Answer, ...] = field(repr=False)
    summary: Summary = field(repr=False)
    unasked: tuple[Failure, ...] = ()

    @property
    def worse(self) -> list[Answer]:
        """Return the questions that reranking made worse, the worst first."""
        return sorted((one for one in self.answers if one.change < 0), key=lambda one: one.change)

    def comparable_with(self, other: Evaluation) -> bool:
        """Tell whether both asked the same questions of the same documents with the same right answers."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("truth", "direction", "documents_digest", "questions_digest")
        )

    @property
    def reads_the_answer(self) -> bool:
        """Tell whether the reranker was shown captions that are the questions themselves."""
        return self.truth == "pairs" and self.summary.pairs_by_caption > 0


def final(answer: Answer) -> Mapping[str, float]:
    """Return the metrics of an answer's last order: after reranking, where there was one."""
    return answer.after or answer.before


def difference(one: Evaluation, other: Evaluation, metric: str) -> Interval:
    """Return how much higher `one` is than `other` in its last order: a paired bootstrap by question.

    Raises EvaluationError where the two are not comparable, or one of them has no such metric.
    """
    others = {answer.qid: final(answer) for answer in other.answers}
    if not one.comparable_with(other) or any(metric not in final(a) for a in (*one.answers, *other.answers)):
        raise EvaluationError("Only evaluations of the same questions and documents can be compared.")
    return bootstrap(np.array([final(a)[metric] - others[a.qid][metric] for a in one.answers]))


def summarise(answers: Sequence[Answer], *, fresh: int = 0) -> Summary:
    """Return the means of answers, at least one; all or none of them are reranked."""
    before = [one.before for one in answers]
    if not answers[0].after:
        return Summary(len(answers), means(before))
    after = [one.after for one in answers]
    changes = np.array([one.change for one in answers])
    ceiling = bootstrap(np.array([one.ceiling for one in answers]))
    return Summary(
        queries=len(answers),
        before=means(before),
        after=means(after),
        delta=deltas(before, after),
        ceiling=ceiling,
        captured=_captured(answers, ceiling.mean),
        wins=int((changes > 0).sum()),
        ties=int((changes == 0).sum()),
        losses=int((changes < 0).sum()),
        pairs_scored=sum(one.scored for one in answers),
        pairs_unscored=sum(one.unscored for one in answers),
        pairs_by_caption=sum(one.by_caption for one in answers),
        fresh=fresh,
        open_ms=float(np.median([one.open_ms for one in answers])),
        score_ms=float(np.median([one.score_ms for one in answers])),
    )


def _captured(answers: Sequence[Answer], ceiling: float) -> float | None:
    before = float(np.mean([one.rank_before <= 1 for one in answers]))
    after = float(np.mean([one.rank_after is not None and one.rank_after <= 1 for one in answers]))
    return (after - before) / (ceiling - before) if ceiling > before else None
