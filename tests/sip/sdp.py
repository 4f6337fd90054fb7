"""What two ends agree on for one audio stream (RFC 4566, RFC 3264). Pure."""

import re
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

PCMU, PCMA = 0, 8
TELEPHONE_EVENT = 101
NAMES = {PCMU: "PCMU/8000", PCMA: "PCMA/8000"}
_MIRRORED: dict[Direction, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}


class NoAudio(ValueError):
    """The description holds no audio stream that we could take."""


@dataclass(frozen=True)
class Audio:
    """One end's audio stream: where it listens and what it takes, best first."""

    host: str
    port: int
    formats: tuple[int, ...] = (PCMU,)
    event_format: int | None = TELEPHONE_EVENT
    direction: Direction = "sendrecv"
    kinds: tuple[str, ...] = field(default=("audio",))
    """The kinds of all streams offered; `image` is T.38."""

    def pack(self, version: int = 1) -> bytes:
        """The session description; `version` grows with each new offer."""
        formats = [*self.formats, *([self.event_format] if self.event_format is not None else [])]
        lines = [
            "v=0",
            f"o=- 1 {version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {' '.join(map(str, formats))}",
            *(f"a=rtpmap:{one} {NAMES[one]}" for one in self.formats),
        ]
        if self.event_format is not None:
            lines += [
                f"a=rtpmap:{self.event_format} telephone-event/8000",
                f"a=fmtp:{self.event_format} 0-16",
            ]
        return "\r\n".join([*lines, "a=ptime:20", f"a={self.direction}", ""]).encode()


def fax_offer(host: str, port: int, version: int) -> bytes:
    """A session description that offers T.38 in place of audio."""
    lines = (
        "v=0",
        f"o=- 1 {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=image {port} udptl t38",
        "a=T38FaxVersion:0",
        "a=T38MaxBitRate:14400",
        "a=T38FaxRateManagement:transferredTCF",
        "a=T38FaxMaxDatagram:1400",
        "a=T38FaxUdpEC:t38UDPRedundancy",
    )
    return "\r\n".join([*lines, ""]).encode()


def parse_audio(body: bytes) -> Audio:
    """The first audio stream of a description. Raises NoAudio where there is none or it was refused."""
    session, *streams = re.split(r"(?m)^(?=m=)", body.decode(errors="replace").replace("\r\n", "\n"))
    audio = next((one for one in streams if one.startswith("m=audio ")), None)
    if audio is None:
        raise NoAudio("no audio stream")
    words = audio.splitlines()[0].split()
    port, numbers = int(words[1].split("/")[0]), [int(word) for word in words[3:] if word.isdecimal()]
    address = _first(r"(?m)^c=IN IP4 ([^\s/]+)", audio, session)
    if not port or not address:
        raise NoAudio("the audio stream was refused" if not port else "no address")
    event = _first(r"(?im)^a=rtpmap:(\d+) telephone-event/8000", audio)
    return Audio(
        address,
        port,
        tuple(number for number in numbers if number in NAMES),
        int(event) if event else None,
        _direction(_first(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)\b", audio, session)),
        tuple(one[2:].split()[0] for one in streams),
    )


def agree(ours: Audio, theirs: Audio) -> Audio:
    """Our answer to their offer: their order of codecs, their numbers, the direction mirrored.

    Raises NoAudio where no codec is common.
    """
    common = tuple(one for one in theirs.formats if one in ours.formats)
    if not common:
        raise NoAudio("no common codec")
    direction = _MIRRORED.get(theirs.direction, theirs.direction)
    return Audio(ours.host, ours.port, common[:1], theirs.event_format, direction)


def _first(pattern: str, *texts: str) -> str:
    found = (re.search(pattern, text) for text in texts)
    return next((match[1] for match in found if match), "")


def _direction(word: str) -> Direction:
    match word:
        case "sendonly" | "recvonly" | "inactive":
            return word
    return "sendrecv"
