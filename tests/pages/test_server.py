"""The middleware adds its one line to the app's page, and leaves every other answer as it is."""

from __future__ import annotations

import asyncio

import pytest

from pages.ui.server import TellServer


def answered(
    accept: bytes, content_type: bytes, *parts: bytes, encoding: bytes = b"gzip", path: str = "/Search"
) -> tuple:
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        length = str(sum(map(len, parts))).encode()
        headers = [(b"content-type", content_type), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    messages = []

    async def send(message):
        messages.append(message)

    headers = [(b"accept", accept), (b"accept-encoding", encoding)]
    asyncio.run(TellServer(app)({"type": "http", "path": path, "headers": headers}, None, send))
    body = b"".join(message.get("body", b"") for message in messages)
    return seen, dict(messages[0]["headers"]), body


def test_a_page_is_told_where_the_server_is():
    seen, headers, body = answered(b"text/html,*/*", b"text/html; charset=utf-8", b"<html><he", b"ad></head>")
    assert body.startswith(b"<html><head><script>(page=>")
    assert b'("/Search")</script>' in body
    assert headers[b"content-length"] == str(len(body)).encode()
    assert b"accept-encoding" not in dict(seen["headers"])


@pytest.mark.parametrize(
    ("accept", "content_type"), [(b"*/*", b"text/html"), (b"text/html", b"application/json")]
)
def test_other_answers_stay_as_they_are(accept, content_type):
    _, headers, body = answered(accept, content_type, b"<head>", b"rest")
    assert body == b"<head>rest"
    assert headers[b"content-length"] == b"10"


def test_a_path_cannot_end_the_script():
    _, _, body = answered(b"text/html", b"text/html", b"<head>", path="/</script><script>alert(1)</script>")
    assert body.count(b"</script>") == 1
