"""Session descriptions and digest authentication."""

import pytest

from tests.sip.digest import Challenge, Credentials, authorization, parse_challenge
from tests.sip.sdp import PCMA, PCMU, Audio, NoAudio, agree, parse_audio

pytestmark = pytest.mark.unit

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8 0 96\r\nc=IN IP4 192.0.2.2\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\n"
)
T38 = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=image 4000 udptl t38\r\n"


def test_reads_an_offer() -> None:
    assert parse_audio(OFFER) == Audio("192.0.2.2", 4000, (PCMA, PCMU), 96, "sendonly")


def test_packs_what_it_reads() -> None:
    audio = Audio("192.0.2.1", 4000, (PCMU, PCMA), 101, "recvonly")
    assert parse_audio(audio.pack()) == audio


def test_agrees_on_the_offers_first_common_codec() -> None:
    ours = Audio("192.0.2.9", 5000, (PCMU,))
    assert agree(ours, parse_audio(OFFER)) == Audio("192.0.2.9", 5000, (PCMU,), 96, "recvonly")


@pytest.mark.parametrize("body", [b"", T38, OFFER.replace(b"audio 4000", b"audio 0")])
def test_refuses_what_has_no_audio(body: bytes) -> None:
    with pytest.raises(NoAudio):
        parse_audio(body)


def test_refuses_what_has_no_common_codec() -> None:
    with pytest.raises(NoAudio):
        agree(Audio("192.0.2.9", 5000, (PCMU,)), Audio("192.0.2.1", 4000, (PCMA,)))


def test_answers_a_challenge_as_rfc_2617_shows() -> None:
    header = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    challenge = parse_challenge(header)
    answer = authorization(
        challenge, Credentials("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", "0a4f113b"
    )
    assert 'response="6629fae49393a05397450978507c4ef1"' in answer
    assert "qop=auth, nc=00000001" in answer
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in answer


def test_answers_a_challenge_without_quality_of_protection() -> None:
    answer = authorization(Challenge("r", "n"), Credentials("u", "p"), "REGISTER", "sip:h", "c")
    assert "cnonce" not in answer
    assert "qop" not in answer
