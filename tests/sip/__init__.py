"""A SIP phone for tests, with real RTP. Begin with `caller.SipCaller`; the rest is what it is made of."""

from tests.sip.audio import read_wav, silence, speech_like, tone, write_wav
from tests.sip.call import Call, IncomingCall, OutgoingCall
from tests.sip.caller import SipCaller
from tests.sip.digest import Credentials
from tests.sip.errors import CallEnded, Ending, Refused
from tests.sip.listening import AUDIO, PACKET, Sound, keys, silence_of, tone_of

__all__ = [
    "AUDIO",
    "PACKET",
    "Call",
    "CallEnded",
    "Credentials",
    "Ending",
    "IncomingCall",
    "OutgoingCall",
    "Refused",
    "SipCaller",
    "Sound",
    "keys",
    "read_wav",
    "silence",
    "silence_of",
    "speech_like",
    "tone",
    "tone_of",
    "write_wav",
]
