"""Proves downloads against a hub on this machine: whole, resumed, cancelled, refused, and never hanging."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from huggingface_hub.errors import OfflineModeIsEnabled

from engine.errors import HubError, NotDownloadedError, UnknownModelError, WeightsError
from engine.models.hub import download, fetch
from engine.models.hub.download import Download, Downloads, probe
from engine.models.hub.fetch import needed_files
from engine.models.hub.files import find
from engine.settings import PROJECT_DIR
from tests.helpers.fake_hub import commit, etag, refused_address, serve, silent_server, write_model

MODEL, WEIGHTS = "org/tiny", "model.safetensors"
TOKEN = "hf_thisMustNeverBeShown"
VALUES = 1_000_000  # 4 MB


@pytest.fixture
def hub(tmp_path):
    with serve(tmp_path / "hub") as hub:
        write_model(hub.root / MODEL, VALUES)
        yield hub


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "hub"


@pytest.fixture
def env(tmp_path):
    """Return what a child's environment is, apart from where the hub is."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    return {**clean, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}


@pytest.fixture
def downloads(hub, env):
    made = Downloads(env={**env, "HF_ENDPOINT": hub.address}, local=lambda: ["org/here"])
    yield made
    made.close()


def ended(downloads: Downloads, model: str = MODEL, revision: str | None = None) -> Download:
    result = downloads.wait(downloads.start(model, revision).id, 240)
    assert not result.active
    return result


def failure(downloads: Downloads, model: str = MODEL, revision: str | None = None) -> str:
    result = ended(downloads, model, revision)
    assert result.state == "failed", result
    assert isinstance(result.failure, HubError | WeightsError)
    return result.error


def until(holds, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def partials(cache: Path) -> list[Path]:
    return list(cache.glob("models--*/blobs/*.incomplete"))


def started(downloads: Downloads, cache: Path, model: str = MODEL) -> Download:
    """Start a download and wait until some of the weights have arrived."""
    one = downloads.start(model)
    until(lambda: sum(path.stat().st_size for path in partials(cache)) > 300_000)
    return one


# whole


def test_a_model_arrives_whole_and_is_found(hub, downloads, cache):
    write_model(hub.root / MODEL, VALUES, **{"tokenizer.json": "{}", "README.md": "", "picture.png": "no"})
    with pytest.raises(NotDownloadedError):
        find(MODEL, cache_dir=cache)
    result = ended(downloads)
    assert (result.state, result.error, result.files) == ("done", "", 4)
    assert result.done_bytes == result.total_bytes > 4 * VALUES
    found = find(MODEL, cache_dir=cache)
    assert found.revision == commit(hub.root / MODEL)
    assert (found.folder / WEIGHTS).read_bytes() == (hub.root / MODEL / WEIGHTS).read_bytes()
    assert not (found.folder / "picture.png").exists()
    assert partials(cache) == []


def test_huggingface_hub_finds_what_was_downloaded(downloads, cache):
    from huggingface_hub import hf_hub_download, snapshot_download

    assert ended(downloads).state == "done"
    folder = find(MODEL, cache_dir=cache).folder
    assert Path(snapshot_download(MODEL, cache_dir=cache, local_files_only=True)) == folder
    assert Path(hf_hub_download(MODEL, WEIGHTS, cache_dir=cache, local_files_only=True)) == folder / WEIGHTS


@pytest.mark.slow
def test_what_huggingface_hub_downloaded_is_not_fetched_again(hub, downloads, cache, env):
    program = f"from huggingface_hub import snapshot_download; snapshot_download({MODEL!r})"
    there = {**env, "HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", program], env=there, check=True, capture_output=True)
    hub.asked.clear()
    assert ended(downloads).state == "done"
    assert hub.content() == []
    assert find(MODEL, cache_dir=cache)


@pytest.mark.parametrize("revision", ["refs/pr/7", "v1.0", "commit"])
def test_another_revision_arrives_under_its_name(hub, downloads, cache, revision):
    folder = write_model(hub.root / "elsewhere" / "pr", 10, seed=7)
    asked = commit(folder) if revision == "commit" else revision
    hub.revisions[MODEL, revision] = folder
    assert ended(downloads, MODEL, asked).state == "done"
    assert find(MODEL, asked, cache_dir=cache).revision == commit(folder)
    with pytest.raises(NotDownloadedError):
        find(MODEL, cache_dir=cache)


@pytest.mark.slow
def test_a_new_commit_replaces_the_old_one_only_when_it_is_whole(hub, downloads, cache):
    assert ended(downloads).state == "done"
    old = find(MODEL, cache_dir=cache)
    write_model(hub.root / MODEL, VALUES, seed=1)
    hub.bytes_per_second = 500_000
    started(downloads, cache)
    assert find(MODEL, cache_dir=cache) == old
    downloads.close()
    hub.bytes_per_second = None
    assert ended(downloads).state == "done"
    assert find(MODEL, cache_dir=cache).revision == commit(hub.root / MODEL) != old.revision


def test_what_a_model_refers_to_comes_with_it(hub, downloads, cache):
    base, adapter = write_model(hub.root / "org/base", 20), write_model(hub.root / "org/adapter", 5)
    (adapter / WEIGHTS).rename(adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert ended(downloads, "org/adapter").state == "done"
    assert find("org/adapter", cache_dir=cache).id == "org/adapter"
    assert find("org/base", cache_dir=cache).revision == commit(base)


@pytest.mark.parametrize(
    ("there", "left_out"),
    [
        ("config.json model.safetensors tokenizer.json vocab.txt modeling.py chat_template.jinja", ""),
        ("config.json model.safetensors", "pytorch_model.bin model.fp16.safetensors flax_model.msgpack"),
        ("config.json model.safetensors", "tf_model.h5 onnx/model.onnx openvino/o.bin m.gguf .gitattributes"),
        ("config.json model-00001-of-00002.safetensors model.safetensors.index.json", "x.safetensors.png"),
        ("config.json model.safetensors.index.json", "pytorch_model.bin.index.json consolidated.safetensors"),
        ("config.json pytorch_model.bin", "optimizer.pt training_args.bin rng_state_0.pth scheduler.pt"),
        ("config.json pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin", "rust_model.ot"),
        ("modules.json 0_CLIPModel/pytorch_model.bin 1_Dense/model.safetensors", "1_Dense/pytorch_model.bin"),
        ("config.json adapter_model.safetensors spk_dict.pt", "checkpoint-10/model.safetensors"),
        ("config.json model.safetensors adapter_model.safetensors audio.safetensors", "original/x.pth a.pdf"),
    ],
)
def test_only_what_loading_needs_is_fetched(there, left_out):
    if "model.safetensors.index.json" in there and "model-00001" not in there:
        there += " model-00001-of-00001.safetensors"
    assert needed_files([*there.split(), *left_out.split()]) == there.split()


# resumed


@pytest.mark.slow
def test_a_dropped_download_goes_on_from_where_it_was(hub, downloads, cache):
    hub.drops = [1_500_000, 1_000_000, 0, 0, 0]  # goes on while it brings something; then it is dead
    assert "connection to 127.0.0.1" in failure(downloads)
    assert 0 < hub.content()[1].start < hub.content()[2].start  # within one download, too
    kept = partials(cache)[0].stat().st_size
    assert 0 < kept < 4 * VALUES
    with pytest.raises(NotDownloadedError, match=r"partly here \(missing: model\.safetensors\)"):
        find(MODEL, cache_dir=cache)
    hub.asked.clear()
    result = ended(downloads)
    assert (result.state, result.done_bytes) == ("done", result.total_bytes)
    assert [one.start for one in hub.content()] == [kept]
    assert hub.content()[0].sent == (hub.root / MODEL / WEIGHTS).stat().st_size - kept
    assert find(MODEL, cache_dir=cache)


@pytest.mark.slow
def test_a_cancelled_download_ends_at_once_and_can_go_on(hub, downloads, cache):
    hub.bytes_per_second = 1_000_000
    one = started(downloads, cache)
    until(lambda: downloads.get(one.id).bytes_per_second > 0)
    child = downloads._children[one.id]
    downloads.cancel(one.id)
    child.wait(60)
    now = downloads.get(one.id)
    assert (now.state, now.error, now.bytes_per_second) == ("cancelled", "", 0)
    assert 0 < now.done_bytes < now.total_bytes
    kept = partials(cache)[0].stat().st_size
    hub.bytes_per_second = None
    until(lambda: hub.content())  # the first answer's end is noted
    hub.asked.clear()
    again = ended(downloads)
    assert again.id != one.id and again.state == "done"
    assert [two.start for two in hub.content()] == [kept]
    assert downloads.get(one.id) is None  # the new one took its place


@pytest.mark.slow
def test_a_hub_that_ignores_ranges_gives_the_file_anew(hub, downloads, cache):
    hub.bytes_per_second = 2_000_000
    downloads.cancel(started(downloads, cache).id)
    hub.bytes_per_second, hub.ignores_ranges = None, True
    result = ended(downloads)
    assert (result.state, result.done_bytes) == ("done", result.total_bytes)
    assert find(MODEL, cache_dir=cache)


@pytest.mark.slow
def test_a_part_that_is_longer_than_the_file_is_thrown_away(hub, downloads, cache):
    hub.bytes_per_second = 2_000_000
    downloads.cancel(started(downloads, cache).id)
    partials(cache)[0].write_bytes(b"x" * 8 * VALUES)
    hub.bytes_per_second = None
    assert ended(downloads).state == "done"
    assert find(MODEL, cache_dir=cache)


@pytest.mark.slow
def test_content_that_is_not_what_was_announced_is_thrown_away(hub, downloads, cache):
    hub.tamper = True
    assert re.search(r"model\.safetensors of org/tiny arrived with another content", failure(downloads))
    assert partials(cache) == []
    hub.tamper = False
    assert ended(downloads).state == "done"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "other bytes"])
def test_a_damaged_file_in_the_cache_is_fetched_anew(downloads, cache, damage):
    assert ended(downloads).state == "done"
    path = find(MODEL, cache_dir=cache).folder / WEIGHTS
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"x" * size)
    with pytest.raises(NotDownloadedError, match=r"model\.safetensors \("):
        find(MODEL, cache_dir=cache)
    result = ended(downloads)
    assert (result.state, result.done_bytes) == ("done", result.total_bytes)
    assert find(MODEL, cache_dir=cache)


def test_a_server_that_falls_silent_is_given_up(hub, downloads):
    hub.hang = True
    assert "connection to 127.0.0.1" in failure(downloads)


# one at a time


def test_the_same_model_is_downloaded_once(hub, downloads):
    hub.hang = True
    barrier, ids = threading.Barrier(8), []

    def press():
        barrier.wait()
        ids.append(downloads.start(MODEL).id)

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1
    assert [one.id for one in downloads.list()] == ids[:1]
    assert downloads.start(MODEL, "v2").id != ids[0]
    downloads.dismiss(ids[0])
    assert downloads.get(ids[0])  # it is going on
    downloads.cancel(ids[0])
    downloads.dismiss(ids[0])
    assert downloads.get(ids[0]) is None
    assert downloads.wait(ids[0], 0) is None
    downloads.cancel("no such download")


@pytest.mark.slow
def test_two_processes_share_what_one_of_them_fetches(hub, env, cache):
    hub.bytes_per_second = 4_000_000
    both = [Downloads(env={**env, "HF_ENDPOINT": hub.address}) for _ in range(2)]
    ids = [one.start(MODEL).id for one in both]
    assert {one.wait(id_, 240).state for one, id_ in zip(both, ids, strict=True)} == {"done"}
    assert len(hub.content()) == 1
    assert find(MODEL, cache_dir=cache)


def test_the_child_ends_with_its_parent(hub, env, cache):
    hub.hang = True
    program = (
        "import time; from engine.models.hub.download import Downloads; "
        f"Downloads().start({MODEL!r}); time.sleep(600)"
    )
    there = {**env, "HF_ENDPOINT": hub.address, "HF_HUB_DOWNLOAD_TIMEOUT": "600"}
    parent = subprocess.Popen([sys.executable, "-c", program], env=there, cwd=PROJECT_DIR)
    try:
        name = etag(hub.root / MODEL / WEIGHTS)
        until(lambda: (cache / "models--org--tiny" / "blobs" / f"{name}.incomplete").exists())
        lock = FileLock(cache / ".locks" / "models--org--tiny" / f"{name}.lock")  # the child holds it
        with pytest.raises(Timeout):
            lock.acquire(timeout=0)
    finally:
        parent.kill()
        parent.wait()
    lock.acquire(timeout=60)
    lock.release()


# refused


def test_a_model_that_the_hub_does_not_show(hub, downloads):
    text = failure(downloads, "org/nowhere")
    assert re.search(r"127\.0\.0\.1:\d+ shows no model org/nowhere.*private or gated.*HF_TOKEN", text)
    hub.private.add(MODEL)
    assert f"shows no model {MODEL}" in failure(downloads)


def test_what_can_be_no_id_is_refused_before_anybody_is_asked(hub, downloads):
    with pytest.raises(UnknownModelError, match="neither a folder here nor an id"):
        downloads.start("../x")
    assert downloads.list() == [] and hub.asked == []


def test_a_gated_model_says_how_to_be_let_in(hub, downloads):
    hub.gated.add(MODEL)
    assert re.search(
        r"is gated\. Accept its licence at 127\.0\.0\.1:\d+/org/tiny, set HF_TOKEN", failure(downloads)
    )


@pytest.mark.parametrize("revision", ["v9", "refs/pr/9", "0" * 40])
def test_a_revision_that_there_is_not_is_named(downloads, revision):
    assert f"org/tiny has no revision '{revision}'" in failure(downloads, MODEL, revision)


def test_a_hub_that_is_down_is_told(hub, downloads):
    hub.status = 503
    assert "answers HTTP 503" in failure(downloads)


def test_a_model_without_usable_weights_is_told(hub, downloads):
    (hub.root / MODEL / WEIGHTS).rename(hub.root / MODEL / "model.gguf")
    assert "has no weights that can be used here" in failure(downloads)
    assert hub.content() == []


def test_too_small_a_disk_is_told_before_anything_arrives(hub, downloads, cache):
    hub.announced[WEIGHTS] = 10**15
    text = failure(downloads)
    assert re.search(r"org/tiny needs 1,000,000\.0 GB more\. The disk of .* has [\d.,]+ GB free", text)
    assert not list(cache.glob("models--*"))


def test_a_cache_that_cannot_be_made_is_told(hub, env, tmp_path):
    (tmp_path / "home").write_text("a file")
    text = failure(Downloads(env={**env, "HF_ENDPOINT": hub.address}))
    assert re.search(r"home.* cannot be written \(.+\)\. Allow it, or set HF_HOME", text)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("../../../outside.json", "done"),  # left out, as what is in a hidden folder
        ("a/../../../../outside.json", "done"),
        ("/outside.json", "failed"),
        ("c:outside.json", "failed"),
        ("a\\..\\outside.json", "failed"),
    ],
)
def test_names_that_leave_the_cache_are_never_written(hub, downloads, tmp_path, name, state):
    hub.announced[name] = 1
    result = ended(downloads)
    assert result.state == state
    assert state == "done" or "does not answer like a model hub" in result.error
    assert not [path for path in tmp_path.rglob("*") if "outside" in path.name]


def test_a_child_that_dies_is_told(hub, downloads, cache):
    hub.hang = True
    one = downloads.start(MODEL)
    until(lambda: partials(cache))
    downloads._children[one.id].kill()
    assert "ended unexpectedly (exit status -9)" in downloads.wait(one.id, 60).error


def answered(status: int, error_code: str = "") -> Exception:
    """Return the error that huggingface_hub makes of an answer."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status

    headers = {"X-Error-Code": error_code} if error_code else {}
    request = httpx2.Request("GET", "http://hub/api/models/org/tiny")
    with pytest.raises(HfHubHTTPError) as error:
        hf_raise_for_status(httpx2.Response(status, headers=headers, request=request))
    return error.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: answered(404, "RepoNotFound"), "shows no model"),
        (lambda: answered(403, "GatedRepo"), "is gated"),
        (lambda: answered(404, "RevisionNotFound"), "has no revision 'main'"),
        (lambda: answered(404, "EntryNotFound"), "answers HTTP 404"),
        (lambda: answered(403), "to this account"),
        (lambda: answered(500), "answers HTTP 500"),
        (lambda: OSError(errno.ENOSPC, "secret"), "is full"),
        (lambda: PermissionError(errno.EACCES, "secret"), "cannot be written (Permission denied)"),
        (lambda: OSError("secret"), "connection to hub was lost"),
        (lambda: OfflineModeIsEnabled("secret"), "HF_HUB_OFFLINE is set"),
        (lambda: ImportError("secret", name="hf_thing"), "not installed: hf_thing"),
        (lambda: ImportError("secret"), "not installed: unknown"),
    ],
)
def test_every_error_becomes_a_sentence_without_its_text(error, words):
    event = fetch._error_event(error())
    text = str(download._failure({"event": "error", **event}, Download("1", MODEL), "hub"))
    assert words in text and "secret" not in text


def test_a_fault_in_the_app_does_not_leave_a_download_running(downloads, monkeypatch):
    monkeypatch.setattr(download, "_parsed", lambda line: {"event": "error", "kind": "no such kind"})
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert "failed by a fault in Gapscope" in failure(downloads)
    for thread in threading.enumerate():  # it raises after it has told
        if thread.name == "download":
            thread.join(60)


# the token


def test_a_token_opens_what_is_gated_and_goes_only_to_the_hub(hub, env, cache):
    hub.gated.add(MODEL)
    hub.tokens.add(TOKEN)
    downloads = Downloads(env={**env, "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN})
    assert ended(downloads).state == "done"
    assert all(one.has_token for one in hub.asked if "/resolve/" in one.path)
    assert hub.content() and not any(one.has_token for one in hub.content())


def test_a_wrong_token_is_told(hub, env):
    downloads = Downloads(env={**env, "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN})
    assert "does not know the token in HF_TOKEN" in failure(downloads)


@pytest.mark.parametrize("case", ["whole", "wrong", "dropped", "tampered"])
def test_the_token_is_never_shown(hub, env, case, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    said, parse = [], download._parsed
    monkeypatch.setattr(download, "_parsed", lambda line: said.append(line) or parse(line))
    hub.tokens |= set() if case == "wrong" else {TOKEN}
    hub.drops, hub.tamper = [0] * 3 * (case == "dropped"), case == "tampered"
    downloads = Downloads(env={**env, "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_DEBUG": "1"})
    result = ended(downloads)
    assert result.state == ("done" if case == "whole" else "failed")
    assert all(json.loads(line) for line in said) and said
    shown = f"{said} {result} {result.error} {caplog.text}"
    assert TOKEN not in shown and "s3cr3t" not in shown


# out of reach


@pytest.mark.parametrize("kind", ["refused", "silent", "no name", "no address"])
def test_a_hub_out_of_reach_is_told_within_five_seconds(env, kind):
    with silent_server() as silent:
        address = {
            "refused": refused_address(),
            "silent": silent,
            "no name": "http://no-such-host.invalid",
            "no address": "nonsense",
        }[kind]
        downloads = Downloads(env={**env, "HF_ENDPOINT": address}, local=lambda: ["org/here"])
        clicked = time.monotonic()
        text = failure(downloads)
        assert time.monotonic() - clicked < 30  # not the minutes that the libraries retry for
    assert re.search(r"The model hub at \S+ does not answer.*on this machine: org/here\.", text)


def test_a_name_that_takes_for_ever_to_look_up_does_not_hold_the_probe(monkeypatch):
    ended_ = threading.Event()
    monkeypatch.setattr(download, "_answers", lambda _: ended_.wait(60))
    with pytest.raises(HubError, match="does not answer"):
        probe(MODEL, "http://black.hole", list, deadline_seconds=0.2)
    ended_.set()


def test_a_password_in_the_address_is_not_shown():
    with pytest.raises(HubError) as error:
        probe(MODEL, refused_address().replace("://", "://user:pa55@"), list)
    assert "pa55" not in str(error.value)


def test_a_download_can_be_cancelled_while_the_hub_is_asked(env):
    with silent_server() as silent:
        downloads = Downloads(env={**env, "HF_ENDPOINT": silent})
        one = downloads.start(MODEL)
        assert one.state == "probing"
        downloads.cancel(one.id)
        assert downloads.wait(one.id, 60).state == "cancelled"


def test_offline_mode_is_told(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set.*on this machine: org/here"):
        probe(MODEL, "http://127.0.0.1:9", lambda: ["org/here"])
