"""Which requests a server answers: a page of another origin must not be able to use it.

A browser sends requests of any page to a local server. It names the page in ``Origin``, and the
host that the page was loaded from in ``Host``: a page whose own name is made to point to this
machine (DNS rebinding) is recognized by it. An IP address cannot be rebound.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer: the page loads nothing from elsewhere, and nothing may embed it."""


def host_of(netloc: str) -> str | None:
    """Return the host in ``HOST`` or ``HOST:PORT``, in lower case; None if it is malformed."""
    try:
        parts = urlsplit(f"//{netloc}")
        host = parts.hostname
        parts.port  # noqa: B018 # raises if it is no port
    except ValueError:
        return None
    return None if parts.path or parts.username is not None else host


def is_own(host: str | None, names: Iterable[str]) -> bool:
    """Return True for an IP address, ``localhost`` and the given names."""
    if host is None:
        return False
    try:
        ip_address(host)
        return True
    except ValueError:
        return host == "localhost" or host in names


def refusal(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    """Return why a request is not answered, or None if it is.

    Args:
        headers: Its headers, in lower case.
        names: Names of this machine that browsers may use.
    """
    netloc = headers.get("host", "")
    if not is_own(host_of(netloc), names):
        return f"Host {netloc!r} is not this server; add it to allowed_hosts"
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"{x}://{netloc.lower()}" for x in SCHEMES):
        return f"requests of pages of another origin ({origin!r}) are not answered"
    if origin is None and headers.get("sec-fetch-site") == "cross-site":
        return "requests of pages of another origin are not answered"
    return None


SCHEMES = ("http", "https")


class AccessMiddleware:
    """Refuses requests of other origins, and adds the security headers to every answer."""

    def __init__(self, app: Callable[..., Any], names: Iterable[str]) -> None:
        self.app, self.names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        raw = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        fault = refusal(dict(raw), self.names)
        if sum(name == "host" for name, _ in raw) != 1:
            fault = "a request must have one Host"

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        if fault is not None:
            answer = JSONResponse({"error": fault}, 403, {"Connection": "close"})
            await answer(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)
