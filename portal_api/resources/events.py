"""`/events`: what happens in the account, as server-sent events."""

from aiohttp import web
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from portal_api.following import TAIL, Stream
from portal_api.problems import Problem, field_error
from portal_api.routing import Ask, Resource
from portal_api.schemas import Query
from store.events import AREAS, is_complete_after, newest_id
from store.tokens import identify

resource = Resource("出来事")

LARGEST_ID = 2**63 - 1


class EventQuery(Query):
    kinds: str | None = Field(
        default=None,
        max_length=100,
        description="コンマで区切って call、message、recording、fax、registration、delivery。既定はすべて",
    )
    after: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST_ID,
        description="このidより後から。Last-Event-IDヘッダーがあればそちら。どちらもなければ今から",
    )

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: str | None) -> str | None:
        if kinds is not None and not set(kinds.split(",")) <= set(AREAS):
            raise PydanticCustomError("kinds", f"{'、'.join(AREAS)} から選んでください。")
        return kinds

    def areas(self) -> list[str]:
        return self.kinds.split(",") if self.kinds else []


@resource.get("/events", "起きたことを順に受け取る(Server-Sent Events)", produces="text/event-stream")
async def follow_events(ask: Ask, account_id: str, query: EventQuery) -> web.StreamResponse:
    if ask.request.method == "HEAD":
        return web.Response(content_type="text/event-stream")
    asked_for = _last_event_id(ask.request) if "Last-Event-ID" in ask.request.headers else query.after
    tail = ask.request.app[TAIL]
    with tail.follow(account_id):
        async with ask.session() as session:
            newest = await newest_id(session)
            after = newest if asked_for is None else asked_for
            complete = asked_for is None or await is_complete_after(session, asked_for)
        stream = Stream(ask.request, ask.session, account_id, query.areas())
        # An id that never was (of a database put back, say) would let everything go by.
        return await stream.send(min(after, newest), complete, tail, lambda: _still_welcome(ask))


def _last_event_id(request: web.Request) -> int:
    given = request.headers["Last-Event-ID"]
    if not (given.isascii() and given.isdecimal()) or int(given) > LARGEST_ID:
        raise Problem("invalid_query", errors=[field_error("Last-Event-ID", "int_parsing")])
    return int(given)


async def _still_welcome(ask: Ask) -> bool:
    """Whether the token still opens the API."""
    secret = ask.request.headers.get("Authorization", "").partition(" ")[2].strip()
    try:
        async with ask.session() as session:
            return await identify(session, secret) is not None
    except Problem:
        # A database that is away is no reason.
        return True
