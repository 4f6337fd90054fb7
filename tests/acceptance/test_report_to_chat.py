"""From a telephone call to the chat: what a caller says arrives there, as text and as sound."""

import io
import wave
from array import array
from pathlib import Path

import pytest

from tests.doubles import slack
from tests.doubles.slack import SlackDouble
from tests.running_switch import RunningSwitch, eventually, running_switch
from tests.sip import SipCaller, silence_of
from tests.speech import MODELS, WORDS, WORDS_AS_TEXT, spoken

pytestmark = pytest.mark.acceptance

CALLER = "09012345678"


async def tell_the_chat(switch: RunningSwitch) -> str:
    """留守レポ ON for the demo's number, its rule with a chat; the number as it is dialled."""
    notification = await switch.ask("POST", "/api/v1/notification-rules", json={"name": "営業部"})
    service = {"kind": "slack", "fields": {"token": slack.TOKEN, "channel_id": slack.CHANNEL}}
    path = f"/api/v1/notification-rules/{notification['id']}/services"
    await switch.ask("POST", path, json=service)
    number = switch.voice_number
    rules = await switch.ask("GET", "/api/v1/rules")
    rule = next(rule for rule in rules["items"] if rule["number_id"] == number["id"])
    change = {"notification_rule_id": notification["id"]}
    await switch.ask("PATCH", f"/api/v1/rules/{rule['id']}", json=change)
    setting = {"enabled": True, "rule_id": rule["id"]}
    await switch.ask("PUT", f"/api/v1/numbers/{number['id']}/rusurepo", json=setting)
    return f"0{number['e164'][3:]}"


async def test_text_and_sound_of_a_call_reach_the_chat(tmp_path: Path) -> None:
    async with SlackDouble() as chat, SipCaller() as phone:
        settings = {
            "DENWABAN_SLACK_URL": chat.base_url,
            "DENWABAN_VOSK_MODEL": str(MODELS / "ja-words-16k"),
        }
        with running_switch(tmp_path / "var", **settings) as switch:
            dialled = await tell_the_chat(switch)
            call = await phone.invite(switch.uri(dialled), CALLER)
            await call.answered(10)
            await call.press("#")
            await call.hear(silence_of(0.3), 20)
            await call.speak(array("h", spoken(WORDS).tolist()))
            await call.press("#")
            await call.ended(20)

            async def both() -> bool:
                return len(chat.accepted) == 2

            await eventually(both, 30, "text and sound in the chat")
            text, file = chat.accepted
            assert WORDS_AS_TEXT in text["text"]
            assert CALLER in text["text"]
            assert file["thread_ts"] == text["ts"]
            message = await switch.message_of(CALLER)
            with wave.open(io.BytesIO(file["content"])) as sound:
                assert abs(sound.getnframes() / 8000 - message["duration_s"]) < 0.01

            async def story() -> bool:
                return "notified" in await switch.journal_of(CALLER)

            await eventually(story, 10, "the journal tells of the delivery")
