"""Chatwork API v2: messages and files of a room."""

from aiohttp import web

from tests.doubles.far_side import FarSide, content_of

TOKEN = "0123456789abcdef0123456789abcdef"
ROOM = "123456789"
FOREIGN_ROOM = "987654321"
LONGEST_BODY = 65_535
LARGEST_FILE = 5 * 1024 * 1024


class ChatworkDouble(FarSide):
    """`accepted` has a dict per message (`room`, `body`) and per file (`room`, `name`, `content` …)."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v2"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v2/rooms/{room}/messages", self._message)
        router.add_post("/v2/rooms/{room}/files", self._file)

    async def _message(self, request: web.Request) -> web.Response:
        refusal = _refusal(request)
        if refusal:
            return refusal
        if request.content_type != "application/x-www-form-urlencoded":
            return _error(400, "Invalid content type.")
        form = await request.post()
        body = str(form.get("body", ""))
        if not 1 <= len(body) <= LONGEST_BODY or set(form) - {"body", "self_unread"}:
            return _error(400, "Invalid body.")
        if str(form.get("self_unread", "0")) not in {"0", "1"}:
            return _error(400, "Invalid self_unread.")
        self.accepted.append({"room": request.match_info["room"], "body": body})
        return web.json_response({"message_id": str(len(self.accepted))}, headers=_rates())

    async def _file(self, request: web.Request) -> web.Response:
        refusal = _refusal(request)
        if refusal:
            return refusal
        if request.content_type != "multipart/form-data":
            return _error(400, "Invalid content type.")
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField) or set(form) - {"file", "message"}:
            return _error(400, "file is required.")
        content = content_of(file)
        if len(content) > LARGEST_FILE:
            return _error(413, "File is too large.")
        self.accepted.append(
            {
                "room": request.match_info["room"],
                "name": file.filename,
                "type": file.content_type,
                "content": content,
                "message": form.get("message"),
            }
        )
        return web.json_response({"file_id": len(self.accepted)}, headers=_rates())


def _refusal(request: web.Request) -> web.Response | None:
    if request.headers.get("x-chatworktoken") != TOKEN:
        return _error(401, "Invalid API token")
    if request.match_info["room"] == FOREIGN_ROOM:
        return _error(403, "You don't have permission to send message to this room")
    if request.match_info["room"] != ROOM:
        return _error(404, "Room not found")
    return None


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"errors": [text]}, status=status, headers=_rates())


def _rates() -> dict[str, str]:
    return {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "299", "x-ratelimit-reset": "1800000000"}
