"""What a telephone says of itself in User-Agent: the system it runs on, and the app. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum


class System(StrEnum):
    IOS = "ios"
    ANDROID = "android"
    WINDOWS = "windows"
    MACOS = "macos"
    LINUX = "linux"
    DESK_PHONE = "desk_phone"
    UNKNOWN = "unknown"


LABELS = {
    System.IOS: "iOS",
    System.ANDROID: "Android",
    System.WINDOWS: "Windows",
    System.MACOS: "macOS",
    System.LINUX: "Linux",
    System.DESK_PHONE: "IP電話機",
    System.UNKNOWN: "不明",
}
SIGNS = (
    (System.IOS, r"iphone|ipad|\bios\b|linphoneios"),
    (System.ANDROID, r"android|galaxy|pixel \d|xperia|aquos|huawei|xiaomi"),
    (System.WINDOWS, r"windows|win32|win64|microsip"),
    (System.MACOS, r"mac ?os|os x|osx|darwin|macintosh"),
    (System.LINUX, r"linux|ubuntu|debian|fedora"),
    (
        System.DESK_PHONE,
        r"yealink|grandstream|snom|polycom|polyedge|panasonic|cisco|fanvil|gigaset|htek|atcom|aastra|mitel|saxa",
    ),
)
"""The first that fits: Android apps name Linux too."""


@dataclass(frozen=True)
class Agent:
    system: System
    app: str
    """Without its version; empty where nothing was said."""

    @property
    def label(self) -> str:
        return LABELS[self.system]


def read_agent(text: str) -> Agent:
    """`LinphoneAndroid/5.2.5 (Galaxy S21) LinphoneSDK/5.3` is the app LinphoneAndroid on Android."""
    system = next((kind for kind, signs in SIGNS if re.search(signs, text, re.I)), System.UNKNOWN)
    first = re.split(r"[/(]|\s+(?:rv|v)?\d", text.strip(), maxsplit=1)[0]
    return Agent(system, first.strip()[:60])
