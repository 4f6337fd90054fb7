"""Slack's Web API: chat.postMessage and the three calls of an external upload.

Errors come as `ok: false` at status 200, as from the real one.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.doubles.far_side import FarSide, bearer, content_of

LONGEST_TEXT = 40_000
TOKEN = "xoxb-1234-slack-token-of-a-test"
CHANNEL = "C0123ABCD"
FOREIGN_CHANNEL = "C0FOREIGN"
ARCHIVED_CHANNEL = "C0ARCHIVE"


class SlackError(Exception):
    """Answered as `ok: false`."""


@dataclass
class Upload:
    """A file on its way: announced, stored, shared."""

    name: str
    length: int
    content: bytes | None = None
    shared: bool = False


class SlackDouble(FarSide):
    """`accepted` has a dict per message (`text`, `ts` …) and per shared file (`file`, `thread_ts` …)."""

    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}
        self.scopes = {"chat:write", "files:write"}
        super().__init__()

    @property
    def base_url(self) -> str:
        return f"{self.url}/api"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/api/{method}", self._method)
        router.add_post("/upload/v1/{file_id}", self._upload)

    async def _method(self, request: web.Request) -> web.Response:
        methods = {
            "chat.postMessage": ("chat:write", True, self._post_message),
            "files.getUploadURLExternal": ("files:write", False, self._announce),
            "files.completeUploadExternal": ("files:write", True, self._complete),
        }
        try:
            if request.match_info["method"] not in methods:
                raise SlackError("unknown_method")
            scope, takes_json, method = methods[request.match_info["method"]]
            given = await _arguments(request, takes_json)
            token = bearer(request) or str(given.get("token", ""))
            if not token:
                raise SlackError("not_authed")
            if token != TOKEN:
                raise SlackError("invalid_auth")
            if scope not in self.scopes:
                raise SlackError("missing_scope")
            return web.json_response({"ok": True, **method(given)})
        except SlackError as error:
            return web.json_response({"ok": False, "error": str(error)})

    def _post_message(self, given: dict[str, Any]) -> dict[str, Any]:
        channel = _channel(given.get("channel"))
        text = given.get("text")
        if not isinstance(text, str) or not text.strip():
            raise SlackError("no_text")
        if len(text) > LONGEST_TEXT:
            raise SlackError("msg_too_long")
        ts = f"1724000000.{len(self.accepted):06}"
        self.accepted.append({**given, "channel": channel, "text": text, "ts": ts})
        return {"channel": channel, "ts": ts, "message": {"text": text}}

    def _announce(self, given: dict[str, Any]) -> dict[str, Any]:
        length = str(given.get("length", ""))
        if not given.get("filename") or not length.isdecimal() or not int(length):
            raise SlackError("missing_argument")
        file_id = f"F{len(self.uploads):08}"
        self.uploads[file_id] = Upload(str(given["filename"]), int(length))
        return {"upload_url": f"{self.url}/upload/v1/{file_id}", "file_id": file_id}

    async def _upload(self, request: web.Request) -> web.Response:
        upload = self.uploads.get(request.match_info["file_id"])
        if upload is None or upload.content is not None:
            return web.Response(status=404)
        content = await _file_of(request)
        if len(content) != upload.length:
            return web.Response(status=400, text="length mismatch")
        upload.content = content
        return web.Response(text=f"OK - {len(content)}")

    def _complete(self, given: dict[str, Any]) -> dict[str, Any]:
        listed = given.get("files")
        files = json.loads(listed) if isinstance(listed, str) else listed
        if not isinstance(files, list) or not files:
            raise SlackError("missing_argument")
        channel = _channel(given.get("channel_id") or given.get("channels"))
        thread = given.get("thread_ts")
        if thread and thread not in {taken.get("ts") for taken in self.accepted}:
            raise SlackError("thread_not_found")
        for file in files:
            upload = self.uploads.get(file.get("id"))
            if upload is None or upload.content is None or upload.shared:
                raise SlackError("file_not_found")
            upload.shared = True
            self.accepted.append(
                {
                    "file": file["id"],
                    "name": upload.name,
                    "content": upload.content,
                    "channel": channel,
                    "thread_ts": thread,
                    "comment": given.get("initial_comment"),
                }
            )
        return {"files": [{"id": file["id"], "title": file.get("title", "")} for file in files]}


def _channel(given: Any) -> str:
    match given:
        case "C0123ABCD":
            return CHANNEL
        case "C0FOREIGN":
            raise SlackError("not_in_channel")
        case "C0ARCHIVE":
            raise SlackError("is_archived")
        case _:
            raise SlackError("channel_not_found")


async def _arguments(request: web.Request, takes_json: bool) -> dict[str, Any]:
    if request.content_type == "application/json":
        if not takes_json:
            raise SlackError("invalid_arguments")
        try:
            given = json.loads(await request.text())
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(given, dict):
            raise SlackError("json_not_object")
        return given
    if request.content_type not in {
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/octet-stream",
    }:
        raise SlackError("invalid_post_type")
    return {**request.query, **(await request.post())}


async def _file_of(request: web.Request) -> bytes:
    if request.content_type != "multipart/form-data":
        return await request.read()
    form = await request.post()
    (part,) = [part for part in form.values() if isinstance(part, web.FileField)]
    return content_of(part)
