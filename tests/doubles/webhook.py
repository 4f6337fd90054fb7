"""A customer's own server: checks the signature, and takes each id once."""

import hmac
import json
import time

from aiohttp import web

from tests.doubles.far_side import FarSide

SECRET = "webhook-secret-of-a-test"
OLDEST_S = 300


class WebhookDouble(FarSide):
    """`accepted` has each body; `repeats` the ids that came again."""

    def __init__(self) -> None:
        self.repeats: list[str] = []
        super().__init__()

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/denwaban?of=customer%2F1"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/denwaban", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        if request.raw_path != "/denwaban?of=customer%2F1":
            return web.Response(status=404)
        body = await request.read()
        stamp = request.headers.get("X-Denwaban-Timestamp", "")
        expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
        signed = hmac.compare_digest(request.headers.get("X-Denwaban-Signature", ""), f"v1={expected}")
        if not signed or not stamp.isdecimal() or abs(time.time() - int(stamp)) > OLDEST_S:
            return web.Response(status=401)
        if request.content_type != "application/json":
            return web.Response(status=415)
        told = json.loads(body)
        if told["id"] != request.headers.get("X-Denwaban-Id"):
            return web.Response(status=400)
        if told["id"] in {earlier["id"] for earlier in self.accepted}:
            self.repeats.append(told["id"])
        else:
            self.accepted.append(told)
        return web.Response(status=204)
