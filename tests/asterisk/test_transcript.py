"""What a caller says becomes text: a real call, the real libvosk, a model that comes while all runs."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asterisk.conftest import Line
from tests.asterisk.test_message import reach_tone
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import SipCaller
from tests.speech import MODELS, WORDS, WORDS_AS_TEXT, spoken

pytestmark = pytest.mark.asterisk


@pytest.fixture
def model_link(running: RunningSwitch) -> Iterator[Path]:
    """Where the instance looks for a model; there is none before and after."""
    link = running.var / "models" / "current"
    link.parent.mkdir(exist_ok=True)
    yield link
    link.unlink(missing_ok=True)
    until(lambda: "文字起こし待ち" in transcription(running)["reason"], 10, "the model is gone")


def transcription(switch: RunningSwitch) -> Json:
    found: Json = next(part for name, part in switch.parts().items() if name.endswith(".transcribe"))
    return found


def put_model(link: Path) -> None:
    link.symlink_to(MODELS / "ja-words-16k")


async def test_what_a_caller_says_becomes_text(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str, model_link: Path
) -> None:
    until(lambda: "no model" in transcription(switch)["reason"], 10, "the service says that it has no model")
    told = transcription(switch)
    assert told["ready"]
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(array("h", spoken(WORDS).tolist()))
    await call.press("#")
    await call.ended(10)
    message = await switch.message_of(caller_number)
    assert message["transcript"] == {"state": "waiting", "text": None}

    put_model(model_link)

    async def text() -> str | None:
        (found,) = await switch.messages_of(caller_number)
        said: str | None = found["transcript"]["text"]
        return said

    # Whatever other callers said before comes first.
    assert await eventually(text, 90, "a text") == WORDS_AS_TEXT
    assert "transcribed" in await switch.journal_of(caller_number)
    until(lambda: transcription(switch) == {**told, "reason": ""}, 10, "nothing is wrong any more")
