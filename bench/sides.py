"""The two sides, both in one Asterisk: our call flow, and a plain dialplan that does the same."""

from dataclasses import dataclass
from pathlib import Path

from bench.measure import Script
from store.database import open_database
from store.media import Media
from store.models import PhoneNumber
from store.prompts import add_prompt
from tests.running_switch import CHECKOUT, RunningSwitch
from tests.sip.audio import read_wav, speech_like, write_wav

START_S, SPEECH_S, END_S = 2.0, 3.0, 1.0
PLAIN_NUMBER = "0399999999"
LISTENING_NUMBER = "0399999998"
TONE = CHECKOUT / "asterisk-conf" / "sounds" / "tone.wav"
"""Our flow plays it before it records; so does the plain dialplan here."""


@dataclass(frozen=True)
class Side:
    """What is compared: a name, and what a caller does there."""

    name: str
    extension: str

    def script(self, speech_s: float = SPEECH_S) -> Script:
        return Script(self.extension, START_S + tone_s(), END_S, speech_s)


PLAIN = Side("plain", PLAIN_NUMBER)


@dataclass(frozen=True)
class Sounds:
    """The files of both sides, in a folder of the benchmark's own."""

    folder: Path

    @property
    def start(self) -> Path:
        return self.folder / "start.wav"

    @property
    def end(self) -> Path:
        return self.folder / "end.wav"

    @property
    def recordings(self) -> Path:
        """Where the plain dialplan records."""
        return self.folder / "recordings"

    def make(self) -> None:
        """Write prompts of 2 s and 1 s."""
        self.recordings.mkdir(parents=True)
        write_wav(self.start, speech_like(START_S, seed=2))
        write_wav(self.end, speech_like(END_S, seed=3))

    def clear_recordings(self) -> int:
        """Remove what the plain dialplan recorded; how many files there were."""
        files = list(self.recordings.glob("*.wav"))
        for file in files:
            file.unlink()
        return len(files)


def tone_s() -> float:
    """Length of the tone before a recording, in seconds."""
    return len(read_wav(TONE)) / 8000


def plain_dialplan(sounds: Sounds, listening_s: float) -> str:
    """Extra dialplan: the plain side, and a number that only plays, for `listening_s`."""
    start, end, tone = sounds.start.with_suffix(""), sounds.end.with_suffix(""), TONE.with_suffix("")
    rounds = "&".join([str(start)] * round(listening_s / START_S))
    return f"""\
[from-trunk](+)
exten => {PLAIN_NUMBER},1,Answer()
 same => n,Playback({start}&{tone})
 same => n,Record({sounds.recordings}/${{UNIQUEID}}.wav,0,50,kq)
 same => n,Playback({end})
 same => n,Hangup()
exten => {LISTENING_NUMBER},1,Answer()
 same => n,Playback({rounds})
 same => n,Hangup()
"""


async def prepare_instance(switch: RunningSwitch, sounds: Sounds) -> Side:
    """Give the demo's voice number the prompts of the benchmark; our side to call."""
    number = switch.voice_number
    database = open_database(switch.database_url, busy_timeout_s=20)
    media = Media(switch.var / "media")
    prompts: dict[str, str] = {}
    try:
        async with database.session() as session:
            row = await session.get(PhoneNumber, number["id"])
            assert row is not None
            for file in (sounds.start, sounds.end):
                prompt = await add_prompt(
                    session, media, row.account_id, row.id, f"bench {file.stem}", file.read_bytes()
                )
                prompts[file.stem] = prompt.id
    finally:
        await database.close()
    rule = await switch.ask(
        "POST",
        "/api/v1/rules",
        json={
            "number_id": number["id"],
            "name": "bench",
            "start_prompt_id": prompts["start"],
            "end_prompt_id": prompts["end"],
        },
    )
    setting = {"enabled": True, "rule_id": rule["id"]}
    await switch.ask("PUT", f"/api/v1/numbers/{number['id']}/rusurepo", json=setting)
    return Side("ours", f"0{number['e164'][3:]}")
