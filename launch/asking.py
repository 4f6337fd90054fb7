"""HTTP to the processes of this machine, by the standard library: the launcher lives as long as the switch,
and a client library would be most of its memory.
"""

import asyncio
import base64
import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

WAIT_S = 3.0

_direct = build_opener(ProxyHandler({}))


async def ask(url: str, method: str = "GET", user: str = "", password: str = "") -> tuple[int, Any]:
    """The status and the JSON of the answer, None where there is none. Raises OSError, ValueError."""
    request = Request(url, method=method)
    if user:
        known = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {known}")
    return await asyncio.to_thread(_asked, request)


def _asked(request: Request) -> tuple[int, Any]:
    try:
        with _direct.open(request, timeout=WAIT_S) as answer:
            status, body = answer.status, answer.read()
    except HTTPError as refused:
        with refused:
            status, body = refused.code, refused.read()
    except HTTPException as broken:
        raise OSError(f"{type(broken).__name__}: {broken}") from broken
    return status, json.loads(body) if body else None
