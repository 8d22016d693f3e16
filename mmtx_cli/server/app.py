"""Routes of the server."""

import sys
import traceback
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mmtx_cli.config.cross_checks import text_target
from mmtx_cli.io.standard_streams import plain_text
from mmtx_cli.server.access import AccessMiddleware
from mmtx_cli.server.limits import RefusedRequestError
from mmtx_cli.server.service import Service

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def make_app(service: Service, names: tuple[str, ...]) -> Starlette:
    """Return the application.

    Args:
        service: Captions files.
        names: Names of this machine that browsers may use.
    """

    async def caption(request: Request) -> Response:
        return JSONResponse(await service.caption(request))

    async def health(request: Request) -> Response:
        return JSONResponse(state(service))

    routes = [
        Route("/caption", caption, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        *(Route(path, static(*file), methods=["GET"]) for path, file in FILES.items()),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(AccessMiddleware, names=names)],
        exception_handlers={
            RefusedRequestError: refused,  # type: ignore[dict-item]
            HTTPException: not_served,  # type: ignore[dict-item]
            Exception: failed,
        },
        lifespan=service.running,
    )


def static(name: str, media_type: str) -> Any:
    """Return an endpoint with the content of a file of the page."""
    content = (PAGE / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return endpoint


def state(service: Service) -> dict[str, Any]:
    """Return what the page and monitoring need to know."""
    model, limits = service.model, service.limits
    heads = [node for node in model.run.head.values() if node]
    reads_text = "text" in model.modalities or model.reader.preparation.prompt is not None
    return {
        "status": "ok",
        "model": Path(str(model.run.ckpt)).name,
        "modalities": model.modalities,
        "reads_text": reads_text,
        "explains": service.explains,
        "resize_mode": model.reader.preparation.resize_mode,
        "answers": any(text_target(node) == "answers" for node in heads),
        "max_upload_bytes": limits.upload_bytes,
        "max_seconds": limits.media_seconds,
        "requests": service.requests,
        "answered": service.answered,
        "batches": service.batcher.batches,
    }


async def refused(request: Request, error: RefusedRequestError) -> Response:
    """Answer a request that is refused."""
    headers = {"Connection": "close"} if error.close else {}
    if error.status == 503:
        headers["Retry-After"] = "1"
    return JSONResponse({"error": "\n".join(error.faults)}, error.status, headers)


async def not_served(request: Request, error: HTTPException) -> Response:
    """Answer a request for another path or method."""
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    hint = "; available: GET /, GET /health, POST /caption"
    return JSONResponse({"error": message + hint}, error.status_code, error.headers)


async def failed(request: Request, error: Exception) -> Response:
    """Answer a request that failed through a fault of the server, which is printed here only."""
    lines = "".join(traceback.format_exception(error))
    print(plain_text(lines), file=sys.stderr)
    return JSONResponse({"error": "the server failed; its terminal shows why"}, 500)
