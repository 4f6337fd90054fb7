"""Tones that number their packets: what a recording of them lacks is seen."""

from array import array

import pytest

from bench.numbered import INSIDE_HZ, LEVELS, OUTSIDE_HZ, payloads, track, tracks
from tests.sip.audio import FRAME_SAMPLES, Samples, decode_ulaw, silence

FRAME_S = 0.020


def said(hertz: int, numbers: list[int]) -> Samples:
    """These packets of a side, one after the other."""
    sound: Samples = array("h")
    for number in numbers:
        sound.extend(decode_ulaw(payloads(hertz)[number % LEVELS]))
    return sound


def test_every_packet_of_both_sides_is_another() -> None:
    every = [*payloads(OUTSIDE_HZ), *payloads(INSIDE_HZ)]
    assert len(set(every)) == 2 * LEVELS


@pytest.mark.parametrize("before", [0, 1, 77, FRAME_SAMPLES, 1000])
def test_a_whole_track_lacks_nothing(before: int) -> None:
    """Wherever it begins, and more than once around."""
    sound = array("h", bytes(2 * before)) + said(OUTSIDE_HZ, list(range(7, 7 + 3 * LEVELS)))
    found = track(sound + silence(0.1), OUTSIDE_HZ)
    assert (found.packets, found.missing) == (3 * LEVELS, 0)
    assert found.seconds == pytest.approx(3 * LEVELS * FRAME_S)


@pytest.mark.parametrize(
    ("sound", "packets", "missing"),
    [
        pytest.param(said(INSIDE_HZ, [1, 2, 4, 5]), 5, 1, id="one is left out"),
        pytest.param(said(INSIDE_HZ, [1, 2]) + silence(FRAME_S) + said(INSIDE_HZ, [4]), 4, 1, id="silence"),
        pytest.param(
            said(INSIDE_HZ, [1, 2]) + silence(FRAME_S) + said(INSIDE_HZ, [3]), 4, 1, id="put between"
        ),
        pytest.param(said(INSIDE_HZ, [1, 2]) + silence(0.007) + said(INSIDE_HZ, [3]), 4, 1, id="a moment"),
        pytest.param(said(INSIDE_HZ, [49, 0, 5]), 7, 4, id="around the end"),
        pytest.param(said(OUTSIDE_HZ, [1, 2, 3]), 0, 0, id="the other side"),
        pytest.param(silence(1.0), 0, 0, id="nothing"),
    ],
)
def test_what_a_track_lacks(sound: Samples, packets: int, missing: int) -> None:
    found = track(sound, INSIDE_HZ)
    assert (found.packets, found.missing) == (packets, missing)


def test_the_sides_are_told_apart() -> None:
    outside, inside = said(OUTSIDE_HZ, [0, 1, 2]), said(INSIDE_HZ, [5, 6, 7])
    both = array("h", [sample for pair in zip(outside, inside, strict=True) for sample in pair])
    left, right = tracks(both.tobytes() + b"\x00")
    assert (left.packets, right.packets) == (3, 3)
    swapped = tracks(both[1:].tobytes())
    assert (swapped[0].packets, swapped[1].packets) == (0, 0)
