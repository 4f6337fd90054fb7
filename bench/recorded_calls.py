"""`python -m bench.recorded_calls [--calls 100]`: so many recorded calls at once, and what they cost.

SIPp calls and SIPp answers: the caller plays a tone, who answers sends everything back, so that both sides
of every recording must hold the tone. An announcement comes before. Printed are the processor time of
Asterisk and of the control plane, and how many recordings are whole on both sides.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from bench.measure import cpu_between, cpu_seconds
from settings.tools import tool_command
from tests.running_switch import Json, RunningSwitch, eventually, free_ports, running_switch, until
from tests.sip import SipCaller, tone
from tests.sip.audio import encode_ulaw, rms, share_of

TONE_HZ = 440
TALK_S = 20
STARTS_PER_S = 5
WHOLE = 0.9
"""How much of the talk must be heard on each side; the announcement takes its part of it before."""

QUIETLY = ("-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin")
CONTROL = ("controller", "after_calls")

CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:0901000[call_number]@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:bench@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=bench 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:0901000[call_number]@[local_ip]:[local_port]>;tag=[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec rtp_stream="{tone},-1,0,PCMU/8000"/></action></nop>
  <pause milliseconds="{milliseconds}"/>
  <send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:0901000[call_number]@[local_ip]:[local_port]>;tag=[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""

ANSWERER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="answerer">
  <recv request="INVITE" rrs="true"/>
  <send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:bench@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=bench 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


def main() -> None:
    """Measure once and print; exit status 1 where a recording is missing or not whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    calls: int = parser.parse_args().calls
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder, running_switch(Path(folder) / "var") as switch:
        whole = asyncio.run(measure(switch, Path(folder), calls))
    sys.exit(0 if whole == calls else 1)


async def measure(switch: RunningSwitch, folder: Path, calls: int) -> int:
    """Call, wait for the recordings, print; how many are whole."""
    dialled = await record_everything(switch)
    answering, calling, media = free_ports(3)
    await register(switch, answering)
    pids = {name: switch.pid(name) for name in ("asterisk", *CONTROL)}
    before, began = cpu_seconds(pids), time.monotonic()
    with answerer(folder, answering, media, calls):
        failed = await asyncio.to_thread(call, switch, folder, dialled, calling, calls)
    recordings = await eventually(lambda: kept(switch, calls), 120, f"{calls} recordings")
    used, elapsed_s = cpu_between(before, cpu_seconds(pids)), time.monotonic() - began
    control_s = sum(used[name] for name in CONTROL)
    whole = [await is_whole(switch, recording) for recording in recordings]
    print(f"{calls} calls at once, {TALK_S} s each, all announced and recorded; {failed} failed")
    print(f"recordings whole on both sides: {sum(whole)} of {len(recordings)}")
    print(
        f"processor time in {elapsed_s:.0f} s: Asterisk {used['asterisk']:.1f} s, control {control_s:.1f} s"
    )
    print(f"control : Asterisk = {control_s / used['asterisk']:.2f}")
    return sum(whole)


async def record_everything(switch: RunningSwitch) -> str:
    """The demo account's number rings at once, announces and records; how it is dialled."""
    number = switch.voice_number
    path = f"/api/v1/numbers/{number['id']}"
    await switch.ask("PUT", f"{path}/rusurepo", json={"enabled": False, "rule_id": None})
    prompts = (await switch.ask("GET", f"/api/v1/prompts?number_id={number['id']}"))["items"]
    shortest = min(prompts, key=lambda prompt: prompt["duration_s"])
    wanted = {"inbound": True, "outbound": False, "announcement": True, "prompt_id": shortest["id"]}
    await switch.ask("PUT", f"{path}/recording", json=wanted)

    async def told() -> bool:
        shown = switch.asterisk_says(f"database show record/{number['e164']}")
        rule = switch.asterisk_says(f"database show number/{number['e164']}/rusurepo")
        return "/announcement" in shown and "off" in rule

    await eventually(told, 20, "Asterisk was told")
    return f"0{number['e164'][3:]}"


async def register(switch: RunningSwitch, port: int) -> None:
    """Let the first device be where SIPp will answer."""
    device = switch.ready["devices"][0]
    async with SipCaller(local_port=port) as phone:
        registrar = f"sip:127.0.0.1:{switch.sip_port}"
        await phone.register(device["username"], device["password"], registrar, expires_s=600)


@contextmanager
def answerer(folder: Path, port: int, media: int, calls: int) -> Iterator[None]:
    """SIPp answers on `port` and sends all sound back."""
    (folder / "answerer.xml").write_text(ANSWERER)
    options = ["-sf", "answerer.xml", "-p", str(port), "-mp", str(media), "-rtp_echo", "-l", str(2 * calls)]
    quiet = subprocess.DEVNULL
    command = [*tool_command("sipp"), *options, *QUIETLY]
    process = subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet)
    try:
        until(lambda: taken(port), 20, "SIPp answers")
        yield
    finally:
        process.kill()
        process.wait()


def taken(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def call(switch: RunningSwitch, folder: Path, dialled: str, port: int, calls: int) -> int:
    """Make all calls, so that they are there at once; how many failed."""
    held_s = TALK_S + calls / STARTS_PER_S
    (folder / "tone.ulaw").write_bytes(encode_ulaw(tone(TONE_HZ, 1.0)))
    scenario = CALLER.replace("{tone}", str(folder / "tone.ulaw"))
    (folder / "caller.xml").write_text(scenario.replace("{milliseconds}", str(round(held_s * 1000))))
    options = ["-sf", "caller.xml", "-s", dialled, "-p", str(port), "-m", str(calls), "-l", str(calls)]
    options += ["-r", str(STARTS_PER_S), "-min_rtp_port", "46000", "-max_rtp_port", "47999"]
    command = [*tool_command("sipp"), f"127.0.0.1:{switch.sip_port}", *options, *QUIETLY]
    quiet = subprocess.DEVNULL
    # SIPp says with 1 that a call failed.
    done = subprocess.run(command, cwd=folder, stdout=quiet, stderr=quiet, timeout=held_s + 120, check=False)
    return 0 if done.returncode == 0 else 1


async def kept(switch: RunningSwitch, calls: int) -> list[Json]:
    """All recordings, once there are as many as calls."""
    items: list[Json] = []
    cursor = ""
    while True:
        page = await switch.ask("GET", f"/api/v1/recordings?limit=100{cursor}")
        items += page["items"]
        if not page["next"]:
            return items if len(items) >= calls else []
        cursor = f"&cursor={page['next']}"


async def is_whole(switch: RunningSwitch, recording: Json) -> bool:
    """The tone is on both sides, for nearly all of the time."""
    wav = await switch.download(f"/api/v1/recordings/{recording['id']}/audio")
    with wave.open(BytesIO(wav)) as file:
        both = array("h", file.readframes(file.getnframes()))
    heard = [_seconds_of_tone(both[side::2]) for side in (0, 1)]
    return bool(recording["complete"]) and min(heard) >= WHOLE * recording["duration_s"]


def _seconds_of_tone(samples: "array[int]") -> float:
    step = 800
    pieces = (samples[first : first + step] for first in range(0, len(samples), step))
    return sum(rms(piece) > 500 and share_of(piece, TONE_HZ) > 0.6 for piece in pieces) / 10


if __name__ == "__main__":
    main()
