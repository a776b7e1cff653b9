"""Tells the browser where the server is, so that a reloaded page does not ask at wrong addresses.

Streamlit's client, opened at /Search, first looks for its server below /Search and logs two 404
errors before it asks at the root; a client that is told the address asks once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import streamlit as st

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
# The address is what the browser's path has before this page's: a proxy may have put something there.
_TOLD = (
    "<head><script>(page=>{const path=location.pathname;window.__streamlit={BACKEND_BASE_URL:location.origin+"
    '(path.endsWith(page)?path.slice(0,-page.length):"")+"/"}})(PAGE)</script>'
)
# Without these the answer comes whole and as plain text, as it must to be added to.
_DROPPED = {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}


class TellServer:
    """ASGI middleware that adds one line of script to the head of the app's own HTML page."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[..., Any], send: Send) -> None:
        headers = list(scope.get("headers", ()))
        wants_page = any(key == b"accept" and b"text/html" in value for key, value in headers)
        if scope["type"] != "http" or not wants_page:
            await self.app(scope, receive, send)
            return
        kept = [(key, value) for key, value in headers if key not in _DROPPED]
        await self.app({**scope, "headers": kept}, receive, _Page(send, _page_path(scope)))


class _Page:
    """Collects one answer; if it is HTML, adds the line and mends the length."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._path = path
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif message["type"] != "http.response.body" or self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        page = json.dumps(self._path).replace("<", "\\u003c")
        body = self._body.replace(b"<head>", _TOLD.replace("PAGE", page).encode(), 1)
        headers = [(key, value) for key, value in start["headers"] if key.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _page_path(scope: Message) -> str:
    """Return the path without `server.baseUrlPath`, which is part of the server's address."""
    base = f"/{st.get_option('server.baseUrlPath').strip('/')}".rstrip("/")
    return scope["path"].removeprefix(base) or "/"


def _is_html(message: Message) -> bool:
    return any(
        key.lower() == b"content-type" and value.startswith(b"text/html") for key, value in message["headers"]
    )
