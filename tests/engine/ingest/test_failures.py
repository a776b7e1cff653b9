"""Proves that failures are counted by kind, and that only the first hundred are kept one by one."""

import pytest

from engine.ingest.failures import KEPT, MOST_KINDS, OTHERS, counted, kind_of, with_failed
from engine.progress import Progress
from engine.types import Failure, IngestReport, LeftOut


@pytest.mark.parametrize(
    ("name", "reasons", "kind"),
    [
        ("t.csv", ["Line 3: a.jpg is not among the files.", "Line 40: b.PNG is not among the files."], None),
        (
            "x",
            ["The file has 300 MB; the limit is 200 MB.", "The file has 1,201.5 MB; the limit is 200 MB."],
            None,
        ),
        ("x", ["No 'a b' here.", 'No "c" here.'], "No … here."),
        ("my cat.jpg", ["my cat.jpg is black."], "… is black."),
        ("x", ["It is cut off."], "It is cut off."),
    ],
)
def test_a_kind_is_a_reason_without_its_names_and_numbers(name, reasons, kind):
    kinds = {kind_of(Failure(name, reason)) for reason in reasons}
    assert len(kinds) == 1
    assert kind is None or kinds == {kind}


def test_only_the_first_hundred_are_kept_and_all_are_counted():
    progress = Progress("Reading", 0, 0)
    for start in range(0, 100_000, 10_000):
        rows = range(start, start + 10_000)
        progress = with_failed(
            progress, [Failure(f"{row}.csv", f"Line {row}: this is no row.") for row in rows]
        )
    assert progress.failed == tuple(
        Failure(f"{row}.csv", f"Line {row}: this is no row.") for row in range(KEPT)
    )
    assert progress.failed_kinds == (LeftOut("this is no row.", 100_000, ("0.csv", "1.csv", "2.csv")),)
    report = IngestReport("c", "m", 0, 0, progress.failed, 1.0, failed_kinds=progress.failed_kinds)
    assert report.failed_count == 100_000


def test_one_failure_of_a_kind_keeps_its_names_and_numbers_until_there_is_another():
    first = Failure("t.csv", "2 lines (2, 3): the file is not among the files: a.jpg, b.jpg.")
    alone = counted([first])
    assert alone == (LeftOut(first.reason, 1, ("t.csv",)),)
    kind = "… lines (…, …): the file is not among the files: …, …"
    other = Failure("u.csv", first.reason.replace("2, 3", "4, 5"))
    assert counted([other], alone) == counted([first, other])
    assert [(one.count, one.reason.startswith(kind[:30])) for one in counted([other], alone)] == [(2, True)]


def test_what_failed_before_is_counted_too():
    progress = Progress("Reading", 0, 0, failed=(Failure("a", "Old."),))
    assert with_failed(progress, [Failure("b", "New.")]).failed_kinds == (
        LeftOut("Old.", 1, ("a",)),
        LeftOut("New.", 1, ("b",)),
    )
    assert with_failed(progress, []) is progress


def test_kinds_are_bounded():
    kinds = counted(Failure("x", f"reason {'y' * number}") for number in range(1_000))
    assert len(kinds) == MOST_KINDS + 1
    assert (kinds[-1].reason, kinds[-1].count) == (OTHERS, 1_000 - MOST_KINDS)
