"""TREC's files: what is written is read again, what is malformed is named by its line and the reason."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TrecError
from engine.evaluation import trec
from engine.evaluation.trec import (
    Faults,
    parse_qrels,
    parse_run,
    parse_topics,
    ranked_by,
    write_qrels,
    write_run,
)

HEAD, OBJECT = "query-id\tcorpus-id\tscore", '{"query-id": "q", "corpus-id": "d", "score": 1}'


def qrels_of(text: str | bytes) -> tuple[list[tuple], Faults]:
    faults = Faults()
    data = text.encode() if isinstance(text, str) else text
    rows = [(row.line, row.qid, row.docid, row.relevance) for row in parse_qrels(io.BytesIO(data), faults)]
    return rows, faults


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 d1 1\nq2 0 d2 0\n",
        "q1\t0\td1\t1\r\nq2\t0\td2\t0\r\n",
        "\ufeffq1   0  d1 \t 1\nq2 Q0 d2 0",
        "  q1 0 d1 +1  \nq2 anything d2 -0",
    ],
)
def test_qrels_are_read_with_any_space_line_end_and_mark(text):
    rows, faults = qrels_of(text)
    assert rows == [(1, "q1", "d1", 1), (2, "q2", "d2", 0)] and not faults.total


def test_blank_lines_count_and_say_nothing():
    rows, faults = qrels_of("\n\nq1 0 d1 1\n   \nq2 0 d2 2\n\n")
    assert [row[0] for row in rows] == [3, 5] and not faults.total


def test_names_with_spaces_are_read_where_tabs_part_the_columns():
    rows, _ = qrels_of("q1\t0\ta red bird.jpg\t1\n")
    assert rows == [(1, "q1", "a red bird.jpg", 1)]


def test_a_negative_relevance_is_wrong():
    assert [row[-1] for row in qrels_of("q 0 a -1\nq 0 b -2\nq 0 c 3")[0]] == [0, 0, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"q1 0 d1", "it has 3 columns and not the 4"),
        (b"q1", "it has 1 column and not the 4"),
        (b"q1 0 a red bird.jpg 1", "it has 6 columns and not the 4"),
        (b"q1 0 d1 yes", "the relevance “yes” is not a number"),
        (b"q1 0 d1 1e999", "not a number"),
        (b"q1 0 d1 1_0", "not a number"),
        ("q1 0 d1 ١".encode(), "not a number"),
        (b"q1 0 d1 " + b"9" * 5000, "not a number"),
        (b"q1 0 d1 10.5", "the relevance is 10.5; it goes from 0 to 10"),
        (b"\xff\xfeq\x001\x00", "it is not UTF-8 text"),
        (b"q" * 40_000, "longer than 32,768 bytes"),
        (b"q1 0 d1 \x1b[31m", "is not a number"),
    ],
)
def test_a_malformed_line_is_named_with_its_reason(line, reason):
    rows, faults = qrels_of(b"q0 0 d0 1\n" + line + b"\nq2 0 d2 1\n")
    assert [row[0] for row in rows] == [1, 3] and faults.total == 1
    [fault] = faults.first
    assert fault.line == 2 and reason in fault.reason
    assert str(fault).isprintable() and len(str(fault)) < 200


def test_only_the_first_faults_are_named_and_the_rest_counted():
    _, faults = qrels_of("bad\n" * 1234)
    assert faults.total == 1234 and [fault.line for fault in faults.first] == [1, 2, 3, 4, 5]
    with pytest.raises(TrecError, match=r"1,234 lines of the qrels.*line 1: .*line 5: .*; and 1,229 more"):
        trec.refuse(faults, "qrels file")


def test_a_file_of_too_many_lines_is_refused_before_its_end(monkeypatch):
    monkeypatch.setattr(trec, "MAX_LINES", 100)
    read = []

    class Endless(io.RawIOBase):
        def readline(self, size: int = -1) -> bytes:
            read.append(size)
            return b"q 0 d 1\n"

    with pytest.raises(TrecError, match="more than 100 lines"):
        list(parse_qrels(Endless(), Faults()))
    assert len(read) == 101 and max(read) < 100_000


def test_a_line_without_an_end_is_never_held_whole():
    class Huge(io.RawIOBase):
        left, longest = 50_000_000, 0

        def readline(self, size: int = -1) -> bytes:
            assert 0 < size < 100_000
            piece = b"x" * min(size, self.left)
            self.left -= len(piece)
            return piece

    file, faults = Huge(), Faults()
    assert list(parse_qrels(file, faults)) == []
    assert faults.total == 1 and "longer than" in faults.first[0].reason and file.left == 0


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq 1\td 1\t2.0\nq2\td2\t0.25\n",
        "Query_ID  corpus-id  score\nq2 d2 0.25\n",
        "corpus-id\tscore\tother\tquery-id\r\nd2\t0.25\tx\tq2\r\n",
        '{"query-id": "q2", "corpus-id": "d2", "score": 0.25}\n',
        "qid\tdocid\trelevance\nq2\td2\t2.5e-1\n",
    ],
)
def test_qrels_with_named_columns_are_read(text):
    rows, faults = qrels_of(text)
    assert not faults.total and rows[-1][1:] == ("q2", "d2", 0.25)
    if len(rows) > 1:
        assert rows[0] == (2, "q 1", "d 1", 2) and isinstance(rows[0][-1], int)


def test_grades_go_to_ten_and_may_be_decimals():
    rows, faults = qrels_of("q 0 a 10\nq 0 b 0.5\nq 0 c 3.0\nq 0 d -0.5\n")
    assert [row[-1] for row in rows] == [10, 0.5, 3, 0] and not faults.total
    assert write_qrels([("q", "a", 10), ("q", "b", 0.5)]) == "q 0 a 10\nq 0 b 0.5\n"


@pytest.mark.parametrize(
    ("head", "line"),
    [
        *((HEAD, line) for line in ("q1\tonly two", "{", "q1\t\t1")),
        *(
            ('{"query-id": "q", "corpus-id": "d", "score": 1}', line)
            for line in (
                '{"query-id": "q1", "score": 1}',
                '{"query-id": [], "corpus-id": "d", "score": 1}',
                "{",
            )
        ),
    ],
)
def test_a_row_without_all_named_columns_is_named(head, line):
    _, faults = qrels_of(f"{head}\n{line}\n")
    assert faults.total == 1 and faults.first[0].line == 2
    assert "it has not all of query-id, corpus-id, score" in faults.first[0].reason


@pytest.mark.parametrize(
    "head", ["query_id\ttext", "_id\tquery", "qid\tquestion", "id\ttitle", "topic\tquery"]
)
def test_a_header_of_topics_is_never_a_question(head):
    assert parse_topics([head, "q1\tis an id a query?"]) == {"q1": "is an id a query?"}


def test_topics_of_beir_are_read_and_a_faulty_line_is_named():
    lines = ['{"_id": "q1", "text": "a bird", "metadata": {"url": "x"}}', '{"_id": 7, "text": "a dog"}']
    assert parse_topics(lines) == {"q1": "a bird", "7": "a dog"}
    with pytest.raises(TrecError, match="line 3: it has not all of _id, text"):
        parse_topics([*lines, '{"text": "no id"}'])


def test_topics():
    assert parse_topics([b"\xef\xbb\xbfq1\ta red  bird\r\n", b"\n", b"q2\tone\ttwo\n"]) == {
        "q1": "a red bird",
        "q2": "one two",
    }
    with pytest.raises(TrecError, match="line 2: “no tab” is not an id, a tab and a question"):
        parse_topics(["q1\tx", "no tab"])
    with pytest.raises(TrecError, match="line 3: the id “q1” had another question before"):
        parse_topics(["q1\tx", "q1\tx", "q1\ty"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q1 Q0 d2 1 0.5", "it has 5 columns and not the 6"),
        ("q1 Q0 d2 first 0.5 tag", "the rank “first” is not an integer"),
        ("q1 Q0 d2 1 high tag", "the score “high” is not a number"),
        ("q1 Q0 d2 1 nan tag", "not a number"),
        ("q1 Q0 d2 1 inf tag", "not a number"),
        ("q1 Q0 d2 1 1e999 tag", "not a number"),
        ("q1 Q0 d2 1 1e99 tag", "not a number"),
        ("q1 Q0 d1 2 0.1 tag", "“d1” is there twice for “q1”"),
    ],
)
def test_a_malformed_run_is_refused_with_the_line(line, reason):
    with pytest.raises(TrecError, match=f"line 2: .*{reason}"):
        parse_run(["q1 Q0 d1 1 0.9 tag", line])


def test_an_empty_run_is_refused():
    with pytest.raises(TrecError, match="empty"):
        parse_run(["\n"])


def test_a_run_is_ordered_by_score_then_document_and_not_by_rank():
    run = parse_run(["q Q0 a 1 .5 t", "q Q0 b 2 5e-1 t", "q Q0 c 3 0.9 t", "r Q0 z 1 -3 t"])
    assert ranked_by(run) == {"q": ["c", "b", "a"], "r": ["z"]}


def test_scores_that_float32_cannot_tell_apart_are_equal_as_in_trec_eval():
    run = parse_run(["q Q0 a 1 0.50000000002 t", "q Q0 b 2 0.50000000001 t"])
    assert ranked_by(run) == {"q": ["b", "a"]}


def test_our_order_is_trec_evals():
    """A document's place shows in the reciprocal rank when it alone is relevant."""
    import pytrec_eval

    rng = np.random.default_rng(0)
    scores = {f"d{n}": float(rng.choice([0.1, 0.5, 0.5 + 1e-10, 0.7])) for n in range(30)} | {"é": 0.5}
    run = parse_run([f"q Q0 {docid} 1 {score!r} t" for docid, score in scores.items()])
    for rank, docid in enumerate(ranked_by(run)["q"], start=1):
        judge = pytrec_eval.RelevanceEvaluator({"q": {docid: 1}}, {"recip_rank"})
        assert judge.evaluate({"q": scores})["q"]["recip_rank"] == pytest.approx(1 / rank, abs=1e-12)


@given(
    st.lists(st.floats(-2, 2, width=32) | st.floats(-2, 2) | st.sampled_from([0.0, -0.0, 0.5]), max_size=30)
)
def test_a_written_run_is_read_in_the_order_of_its_ranks(scores):
    scores.sort(reverse=True)
    rows = [("q", f"d{rank}", rank, score, "my tag") for rank, score in enumerate(scores, start=1)]
    text = write_run(reversed(rows))
    assert ranked_by(parse_run(text.splitlines() or ["q Q0 d 1 1 t"])).get("q") == (
        [row[1] for row in rows] or ["d"]
    )
    for line, row in zip(text.splitlines(), rows, strict=True):
        qid, q0, docid, rank, score, tag = line.split(" ")
        assert (qid, q0, docid, int(rank), tag) == ("q", "Q0", row[1], row[2], "my_tag")
        assert float(score) == pytest.approx(row[3], abs=1e-5)


def test_scores_that_fall_are_written_as_they_are():
    text = write_run([("q", "a", 1, 0.75, "t"), ("q", "b", 2, -0.5, "t"), ("r", "a", 1, 2.0, "t")])
    assert text == "q Q0 a 1 0.75 t\nq Q0 b 2 -0.5 t\nr Q0 a 1 2 t\n"


def test_qrels_and_topics_are_written_in_one_order_and_read_again():
    rows = [("q2", "b", 1), ("q1", "z", 0), ("q1", "a", 3)]
    text = write_qrels(rows)
    assert text == write_qrels(rows[::-1]) == "q1 0 a 3\nq1 0 z 0\nq2 0 b 1\n"
    assert [row[1:] for row in qrels_of(text)[0]] == sorted(rows)
    topics = {"q2": "two\nlines\tand é", "q1": "one"}
    assert trec.write_topics(topics) == "q1\tone\nq2\ttwo lines and é\n"
    assert parse_topics(trec.write_topics(topics).splitlines()) == {"q1": "one", "q2": "two lines and é"}


@pytest.mark.parametrize("value", [1.0, 0.5, 1e-45, 0.0, -0.0, -1e-45, -0.7])
def test_the_next_smaller_float32(value):
    value = float(np.float32(value))
    assert trec._below(value) == float(np.nextafter(np.float32(value), np.float32(-math.inf)))
