"""`make demo`: a real call leaves a spoken message, and the API shows it.

Takes the running instance that `var/ready.json` tells of, or starts one and stops it at the end.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from scripts.softphone import PhoneFailed, Softphone, softphone
from settings import Settings, SettingsRefused, read_settings
from settings.environment import CURRENT_MODEL

Json = dict[str, Any]
T = TypeVar("T")

CALLER = "+819012345678"
SPEECH = Path(__file__).with_name("demo_caller.wav")
MODEL = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "models" / "ja-words-16k"
"""Understands some 70 words of the synthesised voice that speaks here, and nobody else."""

TOOLS = Path(".cache/tools.json")
JAPAN = timezone(timedelta(hours=9))
START_TIMEOUT_S = 120.0
PROMPT_TIMEOUT_S = 45.0
END_TIMEOUT_S = 30.0
MESSAGE_TIMEOUT_S = 30.0
TRANSCRIPT_TIMEOUT_S = 10.0

ENDED_BY = {
    "hash": "# が押された",
    "limit": "50秒に達した",
    "hangup": "相手が切った",
    "silence": "無音が続いた",
    "error": "録音の異常",
}
CALLER_KINDS = {
    "number": "番号通知",
    "withheld": "非通知",
    "payphone": "公衆電話",
    "unavailable": "表示圏外",
}
TRANSCRIPT_STATES = {
    "waiting": "文字起こし待ち",
    "done": "文字起こし済み",
    "empty": "言葉なし",
    "failed": "文字起こし失敗",
}


class DemoFailed(Exception):
    """The demo cannot be shown; the message says why, in Japanese."""


class Api:
    """The customer API of one account."""

    def __init__(self, http: aiohttp.ClientSession, address: str, token: str) -> None:
        self._http = http
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}"}

    async def fetch(self, path: str) -> bytes:
        """One answer of `/api/v1` as it is. Raises DemoFailed."""
        url = f"{self.address}/api/v1{path}"
        try:
            async with self._http.get(url, headers=self._headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise DemoFailed(f"APIが応答しません: {failure}") from failure
        if response.status != 200:
            raise DemoFailed(f"GET {url} の応答が {response.status} でした: {body[:300].decode()}")
        return body

    async def items(self, path: str) -> list[Json]:
        """The first page of a list. Raises DemoFailed."""
        items: list[Json] = json.loads(await self.fetch(path))["items"]
        return items

    async def alive(self) -> bool:
        """Whether anything answers there."""
        try:
            async with self._http.get(f"{self.address}/openapi.json") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


async def until(ask: Callable[[], Awaitable[T | None]], timeout_s: float, what: str) -> T:
    """Ask again and again until there is an answer. Raises DemoFailed."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        answer = await ask()
        if answer is not None:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise DemoFailed(f"{timeout_s:.0f}秒待ちましたが、{what}。")
        await asyncio.sleep(0.2)


def voice_number(ready: Json) -> str:
    """The demo's number for calls, E.164."""
    numbers: list[str] = [number["e164"] for number in ready["numbers"] if number["use"] == "voice"]
    if not numbers:
        raise DemoFailed("ready.json に通話用の番号がありません")
    return numbers[0]


def call_of_ours(calls: list[Json], caller: str, dialled_at: datetime) -> Json | None:
    """The call that `caller` made since `dialled_at`."""
    return next(
        (
            call
            for call in calls
            if call["other_party"] == caller and datetime.fromisoformat(call["started_at"]) >= dialled_at
        ),
        None,
    )


def described(message: Json, address: str) -> str:
    """A message in words for the person who watches."""
    started = datetime.fromisoformat(message["started_at"]).astimezone(JAPAN)
    transcript = message["transcript"]
    state = TRANSCRIPT_STATES.get(transcript["state"], transcript["state"])
    kind = message["caller_kind"]
    lines = {
        "発信者": message["caller"] or CALLER_KINDS.get(kind, kind),
        "着信番号": message["number"],
        "日時": f"{started:%Y年%m月%d日 %H時%M分%S秒}",
        "長さ": f"{message['duration_s']:.1f}秒",
        "終わり方": ENDED_BY.get(message["ended_by"], message["ended_by"]),
        "文字": transcript["text"] or f"({state})",
        "音声": f"{address}/api/v1/messages/{message['id']}/audio",
    }
    return "\n".join(f"  {name}: {value}" for name, value in lines.items())


async def call_and_speak(phone: Softphone, api: Api, ready: Json) -> str:
    """Make the call from dialling to hang-up; returns the call's id."""
    number = voice_number(ready)
    dialled_at = datetime.now(JAPAN) - timedelta(seconds=2)
    print(f"{CALLER} から {number} に電話をかけます ...")
    await phone.call(number, ready["sip"]["host"], ready["sip"]["port"])
    print("つながりました。案内を聞いています ...")

    async def our_call() -> str | None:
        call = call_of_ours(await api.items("/calls"), CALLER, dialled_at)
        return str(call["id"]) if call else None

    call_id = await until(our_call, 10, "通話がAPIに現れません")

    async def recording() -> bool | None:
        entries = await api.items(f"/calls/{call_id}/journal")
        return True if any(entry["event"] == "recording_started" for entry in entries) else None

    await until(recording, PROMPT_TIMEOUT_S, "録音が始まりません")
    print("発信音が鳴りました。話しています ...")
    await phone.speak(SPEECH)
    await phone.press("#")
    print("# を押しました。終わりの案内を聞いています ...")
    await phone.wait_for("CALL_CLOSED", END_TIMEOUT_S)
    print("電話が切れました。")
    return call_id


def keep(copy: Path, audio: bytes) -> None:
    """Leave a copy for the person to listen to."""
    copy.write_bytes(audio)
    print(f"録音の写し: {copy}")


async def show_message(api: Api, call_id: str, copy: Path) -> None:
    """Print the message of a call, with its text if that comes soon, and keep its audio as `copy`."""

    async def message() -> Json | None:
        messages = await api.items("/messages")
        return next((one for one in messages if one["call_id"] == call_id), None)

    found = await until(message, MESSAGE_TIMEOUT_S, "伝言がAPIに現れません")

    async def transcribed() -> Json | None:
        current = await message()
        return current if current and current["transcript"]["state"] in {"done", "empty", "failed"} else None

    with suppress(DemoFailed):
        found = await until(transcribed, TRANSCRIPT_TIMEOUT_S, "文字起こしが終わりません")
    print("\n伝言をお預かりしました。\n" + described(found, api.address) + "\n")
    keep(copy, await api.fetch(f"/messages/{found['id']}/audio"))


@contextmanager
def some_model(settings: Settings) -> Iterator[None]:
    """Where no model is, the tests' small one as long as the demo lasts; the switch notices by itself."""
    link = settings.models / CURRENT_MODEL
    if not settings.embedded or settings.vosk_model != link or os.path.lexists(link):
        yield
        return
    print(
        "音声認識モデルがないため、デモの間だけ試験用の小さなモデルを使います\n"
        "(このデモの合成音声の約70語専用です。本物の声には make model で取得したものを)。"
    )
    settings.models.mkdir(parents=True, exist_ok=True)
    link.symlink_to(MODEL)
    try:
        yield
    finally:
        if link.is_symlink() and link.readlink() == MODEL:
            link.unlink()


@asynccontextmanager
async def running_instance(settings: Settings, http: aiohttp.ClientSession) -> AsyncIterator[Json]:
    """What ready.json tells of the instance that runs, or of one started for this."""
    path = settings.var / "ready.json"

    async def ready() -> Json | None:
        try:
            told: Json = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return told if await Api(http, told["api"], told["token"]).alive() else None

    told = await ready()
    if told:
        yield told
        return
    print("電話番を起動します ...")
    settings.var.mkdir(parents=True, exist_ok=True)
    log_path = settings.var / "demo-launch.log"
    with log_path.open("wb") as log:
        # In a session of its own, Ctrl-C reaches this program first, which then stops it in order.
        launched = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "launch", stdout=log, stderr=log, start_new_session=True
        )

    async def started() -> Json | None:
        if launched.returncode is not None:
            said = log_path.read_text(errors="replace")[-2000:]
            raise DemoFailed(f"起動に失敗しました:\n{said}")
        return await ready()

    try:
        yield await until(started, START_TIMEOUT_S, f"起動しません ({log_path} を見てください)")
    finally:
        if launched.returncode is None:
            launched.terminate()
            print("電話番を止めます ...")
            await launched.wait()


def baresip_tool() -> Json:
    """How to start baresip, from tools.json."""
    tools: Json = json.loads(TOOLS.read_text()) if TOOLS.exists() else {}
    if "baresip" not in tools:
        raise DemoFailed("電話機(baresip)がありません。`make demo` で実行してください")
    found: Json = tools["baresip"]
    return found


async def demo(settings: Settings) -> None:
    """Show the whole way of a message. Raises DemoFailed, PhoneFailed."""
    telephone = baresip_tool()
    folder = Path(tempfile.mkdtemp(prefix="denwaban-demo-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(some_model(settings))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        ready = await stack.enter_async_context(running_instance(settings, http))
        api = Api(http, ready["api"], ready["token"])
        async with softphone(telephone, folder / "phone", CALLER, ready["sip"]["host"]) as phone:
            call_id = await call_and_speak(phone, api, ready)
        if phone.heard:
            kept = settings.var / "demo-heard.wav"
            shutil.copyfile(phone.heard, kept)
            print(f"発信者に聞こえた音: {kept}")
        await show_message(api, call_id, settings.var / "demo-message.wav")


def main() -> int:
    """Run the demo; 1 when it could not be shown."""
    try:
        asyncio.run(demo(read_settings(os.environ, Path.cwd())))
    except (DemoFailed, PhoneFailed, SettingsRefused) as failure:
        print(f"デモを続けられません: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
