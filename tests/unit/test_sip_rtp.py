"""RTP packets, digits, and what a listener makes of them."""

import contextlib
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sip.audio import encode_ulaw, frames, silence, tone
from tests.sip.listening import AUDIO, PACKET, HeardPacket, Sound, silence_of, tone_of
from tests.sip.rtp import NotRtp, RtpPacket, Stream, digit_payloads, parse_event, parse_rtp

pytestmark = pytest.mark.unit

PACKETS = st.builds(
    RtpPacket,
    st.integers(0, 127),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=200),
    st.booleans(),
)


@given(PACKETS)
def test_a_packet_survives(packet: RtpPacket) -> None:
    assert parse_rtp(packet.pack()) == packet


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NotRtp):
        parse_rtp(data)


def test_sources_extension_and_padding_are_skipped() -> None:
    plain = RtpPacket(0, 1, 2, 3, b"audio")
    header, payload = plain.pack()[:12], plain.pack()[12:]
    dressed = bytes([0xB1]) + header[1:] + b"csrc" + b"\0\0\0\1" + b"extn" + payload + b"\0\0\3"
    assert parse_rtp(dressed) == plain


def test_a_digit_grows_and_ends_three_times() -> None:
    events = [parse_event(payload) for payload in digit_payloads("#", 120)]
    assert {event.digit for event in events} == {"#"}
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 960, 960, 960, 960]
    assert [event.end for event in events] == [False] * 6 + [True] * 3


def test_a_stream_marks_beginnings_and_keeps_time() -> None:
    stream = Stream(ssrc=9, sequence=0xFFFF, timestamp=0xFFFFFFFF - 159)
    first, second = parse_rtp(stream.audio(0, b"a")), parse_rtp(stream.audio(0, b"b"))
    stream.pause()
    third = parse_rtp(stream.audio(0, b"c"))
    assert [one.marker for one in (first, second, third)] == [True, False, True]
    assert [one.sequence for one in (first, second, third)] == [0xFFFF, 0, 1]
    assert [one.timestamp for one in (first, second, third)] == [0xFFFFFFFF - 159, 0, 320]


def test_a_digits_packets_bear_the_time_it_began() -> None:
    stream = Stream(ssrc=9, sequence=1, timestamp=1600)
    digit = [
        parse_rtp(stream.event(101, payload, first=number == 0))
        for number, payload in enumerate(digit_payloads("1", 40))
    ]
    after = parse_rtp(stream.audio(0, b"a"))
    assert {packet.timestamp for packet in digit} == {1600}
    assert [packet.marker for packet in digit] == [True, False, False, False, False]
    assert (after.sequence, after.timestamp) == (6, 1600 + 5 * 160)


def heard(samples: "array[int]", begin_s: float = 0.0, sequence: int = 0) -> list[HeardPacket]:
    return [
        HeardPacket(begin_s + 0.02 * n, 160 * (sequence + n), sequence + n, 0, encode_ulaw(frame))
        for n, frame in enumerate(frames(samples))
    ]


def test_listens_for_the_end_of_a_prompt() -> None:
    packets = heard(tone(440, 0.2) + silence(0.4))
    over = silence_of(0.3)
    assert not over([], 9.0)
    assert not over(heard(silence(1)), 9.0)
    assert not over(packets, 0.47)
    assert over(packets, 0.49)
    assert over(packets[:3], math.inf)


def test_listens_for_a_tone() -> None:
    wanted = tone_of(1000)
    assert not wanted(heard(tone(440, 0.2)), 0.2)
    assert not wanted(heard(tone(1000, 0.06)), 0.06)
    assert wanted(heard(tone(440, 0.2) + tone(1000, 0.1)), 0.3)


def test_comfort_noise_is_a_packet_but_no_audio() -> None:
    quiet = heard(silence(0.1))
    assert PACKET(quiet, 0.1)
    assert not AUDIO(quiet, 0.1)


def test_sound_is_laid_out_by_its_time() -> None:
    packets = heard(tone(440, 0.1))
    holed = Sound([packets[0], packets[3], packets[2]])
    samples = holed.samples()
    assert len(samples) == 4 * 160
    assert not any(samples[160:320])
    assert any(samples[320:480])
    assert Sound(packets).frequency_hz() == pytest.approx(440, abs=12)


def test_finds_late_and_lost_packets() -> None:
    early, late = heard(tone(440, 0.1)), heard(tone(440, 0.1), begin_s=0.2, sequence=7)
    sound = Sound(early + late)
    assert [(round(gap.at, 2), round(gap.seconds, 2)) for gap in sound.gaps()] == [(0.2, 0.12)]
    assert sound.lost() == 2


def test_reads_the_digits_that_were_pressed() -> None:
    packets = [
        HeardPacket(0, 1600 * number, 0, 101, payload)
        for number, digit in enumerate("12#")
        for payload in digit_payloads(digit, 60)
    ]
    assert Sound(packets).digits() == "12#"
