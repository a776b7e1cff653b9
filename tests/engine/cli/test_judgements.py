"""`judgements`: marks come and go, and measure a run."""

from __future__ import annotations

from tests.helpers.command_line import document, error_line
from tests.helpers.data import generated_photos
from tests.helpers.workspaces import make_settings


def test_judgements_come_and_go_and_measure_a_run(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    document(cli(data_dir, "ingest", generated_photos(tmp_path / "in", 3), "--collection", "some", "--json"))
    asked = ("judgements", "--collection", "some", "--json")
    assert document(cli(data_dir, *asked)) == {
        **{"collection": "some", "questions": 0, "judgements": 0, "right": 0, "wrong": 0},
        **{"imported": None, "exported": None, "run": None},
    }
    qrels, topics, run, out = (tmp_path / name for name in ("qrels", "topics", "run", "out.zip"))
    qrels.write_text("1 0 0000.jpg 1\n1 0 0001.jpg 0\n2 0 0002.jpg 1\n2 0 gone.jpg 1\n")
    topics.write_text("1\ta question\n2\tanother one\n")
    run.write_text("1 Q0 0001.jpg 1 0.9 t\n1 Q0 0000.jpg 2 0.8 t\n")
    given = ("--qrels", qrels, "--topics", topics)
    assert "line 4: there is no item" in error_line(cli(data_dir, *asked, *given))
    done = document(cli(data_dir, *asked, *given, "--skip-unknown", "--run", run, "--export", out))
    assert (done["questions"], done["judgements"], done["right"], done["wrong"]) == (2, 3, 2, 1)
    assert (done["imported"]["stored"], done["imported"]["left_out"]) == (3, 1)
    assert done["imported"]["faults"] == [{"line": 4, "reason": "there is no item “gone.jpg”"}]
    assert (done["run"]["queries"], done["run"]["unanswered"]) == (2, 1)
    assert done["run"]["metrics"]["mrr"] == 0.25 and done["run"]["metrics"]["hit@5"] == 0.5
    again = document(cli(data_dir, *asked, "--qrels", out))
    assert again["imported"]["stored"] == 3 and again["judgements"] == 3
    said = cli(data_dir, *asked[:-1], "--qrels", qrels, "--topics", topics, "--skip-unknown", "--run", run)
    assert "line 4 left out: there is no item" in said.stdout and "mrr  0.250" in said.stdout


def test_a_folder_of_beir_is_taken_with_its_questions(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    document(cli(data_dir, "ingest", generated_photos(tmp_path / "in", 2), "--collection", "some", "--json"))
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    asked = ("judgements", "--collection", "some", "--qrels", folder)
    assert "has no folder qrels" in error_line(cli(data_dir, *asked))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t0000.jpg\t2\n")
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "a question"}\n')
    said = cli(data_dir, *asked).stdout
    assert f"1 judgements of 1 questions imported from {folder / 'qrels' / 'test.tsv'}" in said
