"""留守レポ: the start prompt, the caller's message, the end prompt."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pbx.asterisk.call import HASH, Call, Recording
from pbx.errors import AsteriskAway, AsteriskRefused, PbxError
from pbx.routing.limits import MESSAGE_S

KeepMessage = Callable[[Call, Recording], Coroutine[Any, Any, bool]]
"""Takes a recording into the store; False when nothing was said."""


@dataclass(frozen=True)
class Greeting:
    """What the caller hears: names of sounds without suffix."""

    start: Path
    tone: Path
    end: Path


async def rusurepo(call: Call, greeting: Greeting, keep: KeepMessage) -> bool:
    """Take a message. True when one was kept.

    `#` during the start prompt goes on to the tone. Raises HungUp when the caller leaves before the
    recording; from then on the message counts, not the caller.
    """
    # Asterisk goes from one to the next by itself: even if we die now, the caller is recorded and thanked.
    await call.line_up({"start_prompt": greeting.start, "tone": greeting.tone}, {"end_prompt": greeting.end})
    await call.heard_out("start_prompt", skip_on=HASH)
    await call.heard_out("tone", skip_on=HASH)
    recording = await call.recorded(limit_s=MESSAGE_S)
    async with asyncio.TaskGroup() as both:
        both.create_task(_say_good_bye(call, greeting.end))
        kept = both.create_task(keep(call, recording), name="keep")
    return kept.result()


async def _say_good_bye(call: Call, end_prompt: Path) -> None:
    """Best effort: the message is safe without it."""
    try:
        await call.play("end_prompt", end_prompt)
        await call.hang_up()
    except (PbxError, AsteriskAway, AsteriskRefused):
        pass
