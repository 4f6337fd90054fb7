"""What browsers are told: security headers, who may ask from another site, and answers made small."""

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from portal_api.routing import PARTS

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Phone numbers and voices belong in no shared cache; a browser may keep what it asks about again.
    "Cache-Control": "private, no-cache",
}
HTTPS_ONLY = "max-age=31536000"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    "Authorization, Content-Type, If-Match, If-None-Match, If-Range, Range, "
    "Idempotency-Key, Last-Event-ID, X-Request-Id"
)
RESPONSE_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotent-Replayed, Retry-After, X-Request-Id"
)
PREFLIGHT_KEPT_S = 600
LEAST_COMPRESSED_BYTES = 1024
COMPRESSED = re.compile(r"application/(?:[a-z]+\+)?json|text/(?:html|csv|plain)")
ACCEPTS_GZIP = re.compile(
    r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q\s*=\s*(?!0(?:\.0{1,3})?\s*(?:,|$))[01.]+\d*\s*)?(?=,|$)"
)


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer has, where the handler has not said otherwise."""
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if request.secure or request.headers.get("X-Forwarded-Proto") == "https":
        response.headers.setdefault("Strict-Transport-Security", HTTPS_ONLY)
    origins = request.app[PARTS].api.cors_origins
    if origins:
        vary = response.headers.get("Vary")
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        origin = request.headers.get("Origin", "")
        if origin and (origin in origins or "*" in origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"


@web.middleware
async def answer_preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say what another site's page may send. `add_headers` says whether it may at all."""
    asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asked or not request.app[PARTS].api.cors_origins:
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_KEPT_S),
        },
    )


@web.middleware
async def compress(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send text of some length as gzip to who takes it."""
    response = await handler(request)
    if not isinstance(response, web.Response) or not COMPRESSED.fullmatch(response.content_type):
        return response
    response.headers.add("Vary", "Accept-Encoding")
    body = response.body
    long = isinstance(body, bytes) and len(body) >= LEAST_COMPRESSED_BYTES
    if long and ACCEPTS_GZIP.search(request.headers.get("Accept-Encoding", "").lower()):
        response.enable_compression(web.ContentCoding.gzip)
    return response
