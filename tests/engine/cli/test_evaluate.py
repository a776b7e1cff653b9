"""`evaluate`: its JSON, its words and its files."""

from __future__ import annotations

import pytest

from tests.helpers.command_line import document

EVALUATE = {
    *("collection", "model", "queries", "metrics", "reranked", "delta", "wins", "losses"),
    *("ties", "truth", "direction", "questions_in_all", "documents", "reranker", "rerank_top", "ceiling"),
    *("captured", "pairs", "median_ms_per_question", "seconds", "worse", "unasked", "balance"),
}


def test_evaluate(data_dir, cli):
    arguments = ("evaluate", "--collection", "photos", "--k", 1, "--k", 12, "--json")
    measured = document(cli(data_dir, *arguments))
    assert set(measured) == EVALUATE
    assert set(measured["metrics"]) == {
        *(f"{name}@{k}" for name in ("hit", "recall", "precision", "map") for k in (1, 12)),
        *("mrr", "ndcg@10"),
    }
    assert measured["queries"] == 12 and measured["metrics"]["recall@12"] == 1
    assert measured["reranked"] is measured["delta"] is measured["wins"] is measured["losses"] is None


def test_evaluate_with_a_treatment(data_dir, cli):
    asked = ("evaluate", "--collection", "photos")
    measured = document(cli(data_dir, *asked, "--balance", "interleaved", "--json"))
    assert (measured["balance"], measured["documents"]) == ("interleaved", 24)
    assert "modalities mixed, in the order: raw" in cli(data_dir, *asked, "--balance", "raw").stdout
    done = cli(data_dir, *asked, "--balance", "sideways")
    assert done.returncode == 2 and "interleaved" in done.stderr and "Traceback" not in done.stderr
    done = cli(data_dir, *asked, "--balance", "centred")
    assert done.returncode == 1 and "12 texts" in done.stderr and done.stdout == ""


@pytest.mark.slow
def test_evaluate_with_a_reranker_writes_its_files(data_dir, cli, tmp_path):
    csv, export = tmp_path / "q.csv", tmp_path / "all.zip"
    asked = ("evaluate", "--collection", "photos", "--rerank", "pocket-reranker", "--rerank-top", 4)
    measured = document(cli(data_dir, *asked, "--limit", 5, "--csv", csv, "--export", export, "--json"))
    assert set(measured) == EVALUATE
    assert (measured["queries"], measured["questions_in_all"], measured["pairs"]["scored"]) == (5, 12, 20)
    assert measured["reranked"].keys() == measured["metrics"].keys() == measured["delta"].keys()
    assert measured["wins"] + measured["ties"] + measured["losses"] == 5
    assert len(csv.read_text().splitlines()) == 6 and export.read_bytes()[:2] == b"PK"
    said = cli(data_dir, *asked, "--limit", 5)
    assert "reranked: the first 4 by pocket-reranker" in said.stdout and "ceiling: hit@4" in said.stdout
