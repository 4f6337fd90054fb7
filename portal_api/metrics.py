"""`/metrics`: how the switch is doing, in Prometheus' text format, for operators only."""

import ipaddress
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from portal_api.following import TAIL
from portal_api.health import read_readiness
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource, short_session
from store.models import JobState, Role, now
from store.overview import calls_up, jobs_undone
from store.tokens import identify

resource = Resource("稼働状況", prefix="")

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Requests:
    """Counts requests by route, never by path: ids would make a series each."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count = Counter(
            "denwaban_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._duration = Histogram(
            "denwaban_http_request_duration_seconds",
            "From a request's headers to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )

    def note(self, method: str, route: str, status: int, took_s: float) -> None:
        method = method if method in METHODS else "other"
        self._count.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(took_s)


REQUESTS = web.AppKey("requests", Requests)


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request; one that its client left counts as 499."""
    began, status = time.monotonic(), 499
    try:
        response = await handler(request)
        status = response.status
    finally:
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "none"
        request.app[REQUESTS].note(request.method, name, status, time.monotonic() - began)
    return response


@resource.get("/metrics", "Prometheus形式の計測値。同じ機械からか、運用者のトークンで", produces="text/plain")
async def get_metrics(ask: Ask) -> web.Response:
    if not _is_here(ask.request) and not await _is_operator(ask):
        raise Problem("forbidden", "同じ機械からか、運用者のトークンが必要です。")
    text = generate_latest(ask.request.app[REQUESTS].registry) + generate_latest(await _state(ask))
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _state(ask: Ask) -> CollectorRegistry:
    """What is at this moment; without a database only what can be known without."""
    registry = CollectorRegistry()

    def gauge(name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"denwaban_{name}", told, labels, registry=registry)

    readiness = await read_readiness(ask.parts)
    gauge("ready", "1 where a call would be taken and its message kept.").set(readiness.ready)
    part_ready = gauge("part_ready", "1 where the part is ready.", "part")
    for part in readiness.parts:
        part_ready.labels(part.part).set(part.ready)
    gauge("event_streams", "Streams of events that are open.").set(ask.request.app[TAIL].streams)
    at = now()
    calls = gauge("calls_up", "Calls that have not ended.", "node")
    jobs = gauge("jobs", "Jobs that are not done.", "kind", "state")
    late = gauge("jobs_late_seconds", "How long the longest waiting job has been due.", "kind")
    try:
        async with short_session(ask.parts.database, ask.parts.database_timeout_s) as session:
            up, undone = await calls_up(session, at), await jobs_undone(session)
    except Problem:
        return registry
    for node in {ask.parts.node, *up}:
        calls.labels(node).set(up.get(node, 0))
    for one in undone:
        jobs.labels(one.kind, one.state.value).set(one.count)
        if one.state is JobState.WAITING:
            late.labels(one.kind).set(max(0.0, (at - one.oldest_due).total_seconds()))
    return registry


def _is_here(request: web.Request) -> bool:
    """Whether the request comes from this machine, and not through a proxy on it."""
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = request.remote
    return peer is not None and ipaddress.ip_address(peer.partition("%")[0]).is_loopback


async def _is_operator(ask: Ask) -> bool:
    scheme, _, secret = ask.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return False
    async with ask.session() as session:
        identity = await identify(session, secret.strip())
    return identity is not None and identity.role is Role.OPERATOR
