"""A caller leaves a message: real SIP, real RTP, the real Asterisk, the API."""

import asyncio
import wave
from array import array
from io import BytesIO

import pytest

from tests.asterisk.conftest import END_HZ, HOLIDAY_HZ, START_HZ, TONE_HZ, Line
from tests.running_switch import Json, RunningSwitch, eventually
from tests.sip import AUDIO, OutgoingCall, Refused, SipCaller, Sound, silence_of, speech_like, tone, tone_of
from tests.sip.audio import Samples, rms, share_of

pytestmark = pytest.mark.asterisk

ANSWER_S = 5.0
AFTER_CALLS = {"message_kept", "reported", "devices_told", "transcribed", "notified"}
"""What others note beside the end of a call, at their own pace."""


async def reach_tone(phone: SipCaller, switch: RunningSwitch, line: Line, number: str) -> OutgoingCall:
    """Call, hear the start prompt and the tone out."""
    call = await phone.invite(switch.uri(line.dialled), number)
    await call.answered(ANSWER_S)
    await call.hear(tone_of(TONE_HZ), 10)
    await call.hear(silence_of(0.1), 5)
    return call


def hertz_heard(sound: Sound) -> list[int]:
    """Which of our tones were heard, in order."""
    order: list[int] = []
    for packet in sound.packets:
        if packet.loud:
            best = max((START_HZ, HOLIDAY_HZ, TONE_HZ, END_HZ), key=lambda hz: share_of(packet.samples, hz))
            if share_of(packet.samples, best) > 0.5 and order[-1:] != [best]:
                order.append(best)
    return order


async def audio_of(switch: RunningSwitch, message: Json) -> Samples:
    with wave.open(BytesIO(await switch.download(f"/api/v1/messages/{message['id']}/audio"))) as wav:
        assert (wav.getframerate(), wav.getsampwidth(), wav.getnchannels()) == (8000, 2, 1)
        return array("h", wav.readframes(wav.getnframes()))


async def test_prompt_speech_hash_prompt_message(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(tone(440, 3.0))
    await call.press("#")
    ending = await call.ended(10)
    assert ending.by == "switch"
    assert hertz_heard(call.sound) == [START_HZ, TONE_HZ, END_HZ]

    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    assert message["number"] == line.e164
    assert message["source"] == "control_plane"
    assert message["transcript"] == {"state": "waiting", "text": None}
    assert 2.6 < message["duration_s"] < 3.9
    samples = await audio_of(switch, message)
    assert abs(len(samples) / 8000 - message["duration_s"]) < 0.01
    loud = [at for at in range(0, len(samples) - 160, 160) if rms(samples[at : at + 160]) > 500]
    assert 2.8 < len(loud) * 0.02 < 3.1
    middle = samples[len(samples) // 2 - 4000 : len(samples) // 2 + 4000]
    assert share_of(middle, 440) > 0.8

    journal = await switch.journal_of(caller_number)
    assert "message_kept" in journal
    assert [event for event in journal if event not in AFTER_CALLS] == [
        "arrived",
        "rule_consulted",
        "answered",
        "lined_up",
        "start_prompt_ended",
        "tone_ended",
        "recording_started",
        "recording_ended",
        "end_prompt_ended",
        "ended",
    ]


async def test_hash_skips_the_start_prompt(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await phone.invite(switch.uri(line.dialled), caller_number)
    await call.answered(ANSWER_S)
    await call.hear(AUDIO, 5)
    await call.press("#")
    heard = await call.hear(tone_of(TONE_HZ), 5)
    assert heard.loud.seconds < 1.2
    await call.hear(silence_of(0.1), 5)
    await call.speak(speech_like(2.0))
    await call.press("#")
    await call.ended(10)
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    assert 1.7 < message["duration_s"] < 2.9


async def test_fifty_seconds_are_fifty_seconds(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    talking = asyncio.create_task(call.speak(speech_like(60.0)))
    await call.hear(tone_of(END_HZ), 60)
    await call.ended(10)
    await asyncio.gather(talking, return_exceptions=True)
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "limit"
    assert 49.8 <= message["duration_s"] <= 50.5


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("start prompt", False),
        ("tone", False),
        ("at once in the recording", False),
        ("after half a second", False),
        ("after two seconds", True),
        ("during the end prompt", True),
    ],
)
async def test_hang_up_at_every_step(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str, moment: str, kept: bool
) -> None:
    call = await phone.invite(switch.uri(line.dialled), caller_number)
    await call.answered(ANSWER_S)
    speech_s = {"after half a second": 0.5, "after two seconds": 2.0, "during the end prompt": 2.0}
    if moment == "start prompt":
        await call.hear(AUDIO, 5)
    else:
        await call.hear(tone_of(TONE_HZ), 10)
    if moment not in {"start prompt", "tone"}:
        await call.hear(silence_of(0.1), 5)
    if moment in speech_s:
        await call.speak(speech_like(speech_s[moment]))
    if moment == "during the end prompt":
        await call.press("#")
        await call.hear(tone_of(END_HZ), 5)
    await call.hang_up()

    ended = await switch.finished_call_of(caller_number)
    messages = await switch.messages_of(caller_number)
    assert len(messages) == (1 if kept else 0)
    expected = "message" if kept else "hung_up" if moment in {"start prompt", "tone"} else "no_message"
    assert ended["result"] == expected
    if kept:
        assert messages[0]["ended_by"] == ("hash" if moment == "during the end prompt" else "hangup")
        assert 1.7 < messages[0]["duration_s"] < 2.9
    events = [event for event in await switch.journal_of(caller_number) if event not in AFTER_CALLS]
    assert events.count("ended") == 1
    assert events[-1] == "ended"


async def test_hash_at_once_is_no_message(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.press("#")
    await call.hear(tone_of(END_HZ), 5)
    await call.ended(10)
    assert (await switch.finished_call_of(caller_number))["result"] == "no_message"
    assert await switch.messages_of(caller_number) == []
    assert "nothing_said" in await switch.journal_of(caller_number)


async def test_no_packet_at_all(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await phone.invite(switch.uri(line.dialled), caller_number, send_rtp=False)
    await call.answered(ANSWER_S)
    await call.ended(30)
    assert (await switch.finished_call_of(caller_number))["result"] == "no_message"
    assert await switch.messages_of(caller_number) == []


async def test_a_trunk_that_sends_nothing_while_the_caller_thinks(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(tone(440, 2.0))
    call.pause_rtp(5.0)
    # Nobody says good-bye to who only makes a pause.
    with pytest.raises(TimeoutError):
        await call.hear(AUDIO, 5.0)
    await call.speak(tone(520, 2.0))
    await call.press("#")
    await call.hear(tone_of(END_HZ), 5)
    await call.ended(10)
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    samples = await audio_of(switch, message)
    assert share_of(samples[4000:12000], 440) > 0.8
    assert share_of(samples[-12000:-6000], 520) > 0.8


async def test_silence_ends_the_message(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(speech_like(2.0))
    await call.hear(tone_of(END_HZ), 20)
    await call.ended(10)
    assert (await switch.message_of(caller_number))["ended_by"] == "silence"


async def test_twenty_at_a_time(switch: RunningSwitch, line: Line, phone: SipCaller) -> None:
    numbers = [f"0701234{place:04}" for place in range(20)]

    async def leave(number: str) -> None:
        call = await reach_tone(phone, switch, line, number)
        await call.speak(speech_like(3.0))
        await call.press("#")
        assert (await call.ended(10)).by == "switch"
        assert hertz_heard(call.sound) == [START_HZ, TONE_HZ, END_HZ]

    async with asyncio.TaskGroup() as all_of_them:
        for number in numbers:
            all_of_them.create_task(leave(number))
    for number in numbers:
        message = await switch.message_of(number)
        assert message["ended_by"] == "hash"
        # On a busy machine the callers themselves are late to press.
        assert 2.6 < message["duration_s"] < 8.0


async def test_a_change_of_rule_takes_effect_for_the_next_call(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    path = f"/api/v1/numbers/{line.number_id}/rusurepo"
    try:
        await switch.ask("PUT", path, json={"enabled": True, "rule_id": line.holiday_rule})
        call = await phone.invite(switch.uri(line.dialled), caller_number)
        await call.answered(ANSWER_S)
        await call.hear(tone_of(TONE_HZ), 10)
        assert hertz_heard(call.sound)[0] == HOLIDAY_HZ
        await call.hang_up()
    finally:
        await switch.ask("PUT", path, json={"enabled": True, "rule_id": line.usual_rule})


async def test_a_number_that_is_nobodys(switch: RunningSwitch, phone: SipCaller) -> None:
    unknown = await phone.invite(switch.uri("0399990000"), "0901234567")
    with pytest.raises(Refused) as refused:
        await unknown.answered(ANSWER_S)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("display_name", "headers", "kind"),
    [
        ("Anonymous", {}, "withheld"),
        (
            "Anonymous",
            {"Privacy": "id", "P-Asserted-Identity": "<sip:+819011112222@127.0.0.1>"},
            "withheld",
        ),
        ("Coin line/payphone", {}, "payphone"),
        ("Unavailable", {}, "unavailable"),
    ],
)
async def test_callers_without_a_number(
    switch: RunningSwitch,
    line: Line,
    phone: SipCaller,
    display_name: str,
    headers: dict[str, str],
    kind: str,
) -> None:
    known = {message["id"] for message in await switch.messages()}
    call = await phone.invite(switch.uri(line.dialled), None, display_name=display_name, headers=headers)
    await call.answered(ANSWER_S)
    await call.hear(tone_of(TONE_HZ), 10)
    await call.hear(silence_of(0.1), 5)
    await call.speak(speech_like(1.5))
    await call.press("#")
    await call.ended(10)

    async def unknown() -> list[Json]:
        return [one for one in await switch.messages() if one["id"] not in known]

    new = await eventually(unknown, 10, "the message")
    assert [(one["caller"], one["caller_kind"]) for one in new] == [(None, kind)]


async def test_over_tcp(switch: RunningSwitch, line: Line, caller_number: str) -> None:
    async with SipCaller(transport="tcp") as phone:
        call = await reach_tone(phone, switch, line, caller_number)
        await call.speak(speech_like(1.5))
        await call.press("#")
        await call.ended(10)
    assert (await switch.message_of(caller_number))["ended_by"] == "hash"
