"""What the tests of recorded calls share: a number that records, two who talk, and what was recorded."""

import asyncio
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

from store.database import open_database
from store.models import PhoneNumber
from tests.asterisk.conftest import START_HZ, Line
from tests.asterisk.test_callers import registered
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import AUDIO, Call, IncomingCall, OutgoingCall, SipCaller, tone
from tests.sip.audio import RATE, Samples, rms, share_of

OUTSIDE_HZ, INSIDE_HZ, EARLY_HZ, PAUSED_HZ = 450, 950, 300, 2300
LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class Heard:
    """A recording's two channels."""

    left: Samples
    right: Samples

    @property
    def seconds(self) -> float:
        return len(self.left) / RATE

    def seconds_of(self, hertz: int) -> tuple[float, float]:
        """For how long each channel has a tone and nothing louder."""
        return _seconds_of(self.left, hertz), _seconds_of(self.right, hertz)


def _seconds_of(samples: Samples, hertz: int) -> float:
    pieces = [samples[first : first + RATE // 20] for first in range(0, len(samples), RATE // 20)]
    return sum(rms(piece) > 500 and share_of(piece, hertz) > 0.6 for piece in pieces) / 20


def heard_in(wav: bytes) -> Heard:
    with wave.open(BytesIO(wav)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 2)
        both = array("h", file.readframes(file.getnframes()))
    return Heard(both[0::2], both[1::2])


async def set_recording(switch: RunningSwitch, line: Line, **changes: object) -> Json:
    """Record both directions with an announcement of 1.5 s at `START_HZ`, but for `changes`; the prompt."""
    prompts = (await switch.ask("GET", f"/api/v1/prompts?number_id={line.number_id}"))["items"]
    (prompt,) = [one for one in prompts if one["name"] == "start"]
    wanted = {"inbound": True, "outbound": True, "announcement": True, "prompt_id": prompt["id"], **changes}
    await switch.ask("PUT", f"/api/v1/numbers/{line.number_id}/recording", json=wanted)

    def told() -> bool:
        shown = switch.asterisk_says(f"database show record/{line.e164}")
        return all(
            (f"/{key} " in shown) == bool(wanted[key]) for key in ("inbound", "outbound", "announcement")
        )

    until(told, 10, "Asterisk was told what is recorded")
    shown: Json = prompt
    return shown


@asynccontextmanager
async def called_out(
    switch: RunningSwitch, line: Line, dialled: str
) -> AsyncIterator[tuple[IncomingCall, OutgoingCall]]:
    """Whoever a device of ours calls in the number's name, having just answered, and the device."""
    port = int(switch.environment["DENWABAN_TRUNK_URI"].rpartition(":")[2])
    choice = await _choice_of(switch, line)
    async with registered(switch) as device, SipCaller(local_port=port) as carrier:
        inside = await device.invite(switch.uri(f"*{choice:02d}{dialled}"))
        outside = await carrier.incoming(10)
        await outside.answer()
        yield outside, inside
        await inside.hang_up()
        await outside.ended(10)


async def _choice_of(switch: RunningSwitch, line: Line) -> int:
    """With which two digits a device chooses the number."""
    database = open_database(switch.database_url)
    try:
        async with database.session() as session:
            return (await session.get_one(PhoneNumber, line.number_id)).line or 0
    finally:
        await database.close()


@asynccontextmanager
async def connected(
    switch: RunningSwitch, line: Line, caller_number: str
) -> AsyncIterator[tuple[Call, Call]]:
    """A caller and a device of ours that has just answered: the announcement begins now."""
    async with registered(switch) as device, SipCaller() as phone:
        outside = await phone.invite(switch.uri(line.dialled), caller_number)
        inside = await device.incoming(10)
        await inside.answer()
        await outside.answered(5)
        yield outside, inside
        await outside.hang_up()
        await inside.ended(10)


async def transfer(call: Call, uri: str) -> None:
    """Hand the other party on to whoever is at `uri` (REFER, blind)."""
    phone, peer = call._phone, call._peer
    request = call.dialog.request("REFER", phone.via())
    request.headers.add("Contact", phone.contact(call.dialog.local.uri.user))
    request.headers.add("Refer-To", f"<{uri}>")
    response = await phone.transact(request, peer, 5)
    assert response.status == 202


async def talk(outside: Call, inside: Call, seconds: float) -> None:
    """Both at once, each with its own tone."""
    await asyncio.gather(
        outside.speak(tone(OUTSIDE_HZ, seconds)),
        inside.speak(tone(INSIDE_HZ, seconds)),
    )


async def through_the_announcement(outside: Call, inside: Call) -> None:
    """The party outside speaks while it is told; ours hears it only afterwards."""
    early = asyncio.create_task(outside.speak(tone(EARLY_HZ, 1.0)))
    await inside.speak(tone(EARLY_HZ, 1.0))
    await early
    hearing = asyncio.create_task(inside.hear(AUDIO, 10))
    while not hearing.done():
        await outside.speak(tone(OUTSIDE_HZ, 0.2))
    await hearing


async def noted(switch: RunningSwitch, call_id: str, event: str, times: int = 1) -> None:
    """Wait until the dialplan has written so many lines of an event."""
    slip = switch.call_spool / f"{call_id}.slip"

    async def written() -> bool:
        return slip.read_text().count(f"\n{event}=") >= times

    await eventually(written, 10, f"{event} in the slip")


async def renewed(switch: RunningSwitch, call_id: str) -> bool:
    """Whether the recording of a call has a second file."""
    return (switch.call_spool / f"{call_id}-2.raw").exists()


async def recordings_of(switch: RunningSwitch, call_id: str) -> list[Json]:
    found: list[Json] = (await switch.ask("GET", f"/api/v1/recordings?call_id={call_id}"))["items"]
    return found


async def recording_of(switch: RunningSwitch, call_id: str, limit_s: float = 20.0) -> tuple[Json, Heard]:
    """Wait for the only recording of a call; and its sound."""
    (shown,) = await eventually(lambda: recordings_of(switch, call_id), limit_s, "the recording")
    return shown, heard_in(await switch.download(f"/api/v1/recordings/{shown['id']}/audio"))


async def events_of(switch: RunningSwitch, call_id: str) -> list[str]:
    journal = await switch.ask("GET", f"/api/v1/calls/{call_id}/journal")
    return [one["event"] for one in journal["items"] if one["event"].startswith("recording")]


ANNOUNCED_HZ = START_HZ
