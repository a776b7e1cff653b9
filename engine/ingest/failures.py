"""What fails in a long run, counted by kind: a hundred thousand failures of one kind are one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine.progress import Progress
from engine.types import Failure, LeftOut

KEPT = 100  # failures that are kept one by one
MOST_KINDS = 50
OTHERS = "Other reasons."
_EXAMPLES = 3
_PLACE = re.compile(r"^(line|row|picture|page) [\d,]+: ", re.IGNORECASE)
# What begins no word and is in none with a dot is passed over at once: a long word took a second.
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|(?<!\S)(?=\S*\.\w)\S*[^\W\d_]\S*\.\w{1,5}(?=[\s,:;)]|$)")
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def with_failed(progress: Progress, failed: Sequence[Failure]) -> Progress:
    """Return progress with more failures: the first hundred are kept, and all are counted by kind."""
    if not failed:
        return progress
    kinds = counted(failed, progress.failed_kinds or counted(progress.failed))
    return replace(progress, failed=(*progress.failed, *failed)[:KEPT], failed_kinds=kinds)


def counted(failed: Iterable[Failure], before: Iterable[LeftOut] = ()) -> tuple[LeftOut, ...]:
    """Return failures, and those counted before, by kind: the reason without the names and numbers in it.

    A kind of one failure keeps its reason whole. At most MOST_KINDS kinds and one for all others.
    """
    kinds = {_kind_counted(kind): kind for kind in before}
    for failure in failed:
        reason = kind_of(failure)
        if reason not in kinds and len(kinds) >= MOST_KINDS:
            reason = OTHERS
        kind = kinds.get(reason)
        if kind is None:
            kinds[reason] = LeftOut(reason if reason == OTHERS else failure.reason, 1, (failure.name,))
            continue
        named = failure.name not in kind.examples and len(kind.examples) < _EXAMPLES
        examples = (*kind.examples, failure.name) if named else kind.examples
        kinds[reason] = LeftOut(reason, kind.count + 1, examples)
    return tuple(kinds.values())


def _kind_counted(kind: LeftOut) -> str:
    """Return the kind of what was counted before, of which one failure alone has its whole reason."""
    return kind_of(Failure(kind.examples[0], kind.reason)) if kind.count == 1 else kind.reason


def kind_of(failure: Failure) -> str:
    """Return what failures that differ in a name, a line or a number have in common."""
    reason = _PLACE.sub("", failure.reason).replace(failure.name, "…")
    return _NUMBER.sub("…", _NAME.sub("…", reason))
