"""App notification: lamps and texts at a real phone, registered at the real Asterisk."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from store.database import open_database
from store.jobs import hasten
from tests.asterisk.conftest import TONE_HZ, Line
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import SipCaller, silence_of, tone, tone_of
from tests.sip.message import Request

pytestmark = pytest.mark.asterisk


def registrar(switch: RunningSwitch) -> str:
    return f"sip:127.0.0.1:{switch.sip_port}"


@pytest.fixture
async def app(switch: RunningSwitch) -> AsyncIterator[SipCaller]:
    """A softphone of the account, known to be logged in."""
    device = switch.ready["devices"][0]
    async with SipCaller() as phone:
        await phone.register(device["username"], device["password"], registrar(switch))
        await logged_in(switch, device["username"])
        yield phone
        await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)


async def logged_in(switch: RunningSwitch, username: str) -> None:
    """Wait until the portal shows the device's login."""
    devices = (await switch.ask("GET", "/api/v1/devices"))["items"]
    device_id = next(device["id"] for device in devices if device["username"] == username)

    async def logins() -> list[Json]:
        found: list[Json] = (await switch.ask("GET", f"/api/v1/devices/{device_id}/registrations"))["items"]
        return found

    await eventually(logins, 15, "the login is seen")


async def lamp(phone: SipCaller, new: int, old: int = 0, limit_s: float = 15.0) -> None:
    """Wait for the lamp to show these counts."""
    wanted = f"Voice-Message: {new}/{old} (0/0)"
    async with asyncio.timeout(limit_s):
        while True:
            notify = await phone.received("NOTIFY", limit_s)
            assert notify.headers.get("Event") == "message-summary"
            text = notify.body.decode()
            assert ("Messages-Waiting: yes" in text) == bool(int(re.findall(r"(\d+)/", text)[0]))
            if wanted in text:
                return


async def text_about(phone: SipCaller, number: str, limit_s: float = 15.0) -> Request:
    """Wait for the text about this caller's message; those about earlier ones may come first."""
    async with asyncio.timeout(limit_s):
        while True:
            text = await phone.received("MESSAGE", limit_s)
            if text.body.decode().splitlines()[0] == f"留守レポ: {number}":
                return text


async def counts(switch: RunningSwitch) -> tuple[int, int]:
    """How many messages of the account are unread and read."""
    messages = await switch.messages()
    read = sum(message["read"] for message in messages)
    return len(messages) - read, read


async def leave_message(switch: RunningSwitch, line: Line, number: str) -> Json:
    async with SipCaller() as caller:
        call = await caller.invite(switch.uri(line.dialled), number)
        await call.answered(5)
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hear(silence_of(0.1), 5)
        await call.speak(tone(440, 1.5))
        await call.press("#")
        await call.ended(10)
    return await switch.message_of(number)


async def report_now(switch: RunningSwitch, message: Json) -> None:
    """As the transcription does when it is ready."""
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            await hasten(session, "report_message", message["id"])
    finally:
        await database.close()


async def test_lamp_and_text(switch: RunningSwitch, line: Line, app: SipCaller, caller_number: str) -> None:
    unread, read = await counts(switch)
    message = await leave_message(switch, line, caller_number)
    await lamp(app, unread + 1, read)
    await report_now(switch, message)
    text = await text_about(app, caller_number)
    assert text.sender.uri.user == line.dialled
    assert text.headers.get("Content-Type") == "text/plain"
    assert "(文字起こし待ち)" in text.body.decode()
    assert len(text.pack()) <= 1300
    assert "devices_told" in await switch.journal_of(caller_number)

    # Whoever registers later is told too; a new Asterisk, which knows nothing, is told everything.
    before = switch.kill("asterisk")
    until(lambda: switch.ready["pids"]["asterisk"] not in {None, before}, 20, "Asterisk is started again")
    switch.wait_ready()
    device = switch.ready["devices"][1]
    async with SipCaller() as late:
        await late.register(device["username"], device["password"], registrar(switch))
        await lamp(late, unread + 1, read)
        await switch.ask("PATCH", f"/api/v1/messages/{message['id']}", json={"read": True})
        await lamp(late, unread, read + 1)
        await switch.ask("DELETE", f"/api/v1/messages/{message['id']}")
        await lamp(late, unread, read)
        await late.register(device["username"], device["password"], registrar(switch), expires_s=0)


async def test_signals_wait_while_the_control_plane_is_away(
    switch: RunningSwitch, line: Line, app: SipCaller, caller_number: str
) -> None:
    unread, read = await counts(switch)
    message = await leave_message(switch, line, caller_number)
    await lamp(app, unread + 1, read)
    switch.kill("controller")
    await switch.ask("DELETE", f"/api/v1/messages/{message['id']}")
    await lamp(app, unread, read, limit_s=30)
