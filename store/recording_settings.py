"""What of a number's calls is recorded, and what the other party hears before."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, Unusable
from store.models import NumberUse, PhoneNumber, Prompt, RecordingSetting
from store.numbers import get_number


@dataclass(frozen=True)
class RecordingChoice:
    """What an administrator chooses for a number."""

    inbound: bool = False
    outbound: bool = False
    announcement: bool = False
    prompt_id: str | None = None
    transcribe: bool = False


@dataclass(frozen=True)
class WantedRecording:
    """A number with the option, as the dialplan must know it. `prompt` is the announcement's SHA-256."""

    e164: str
    inbound: bool
    outbound: bool
    prompt_id: str | None
    prompt: str | None


def offers_recording(number: PhoneNumber) -> bool:
    """Whether the option is sold with the number, and the number is one for voice."""
    return number.use is NumberUse.VOICE and number.sells_recording


async def get_recording_setting(session: AsyncSession, account_id: str, number_id: str) -> RecordingChoice:
    """Give what is set; all off where nothing was set yet. Raises NotFound."""
    await get_number(session, account_id, number_id)
    return _chosen(await session.get(RecordingSetting, number_id))


async def set_recording(
    session: AsyncSession, account_id: str, number_id: str, choice: RecordingChoice
) -> RecordingChoice:
    """Set what is recorded of the number's calls, from the next call on.

    Raises NotFound, Conflict `option_not_sold`, Unusable `prompt_required` for an announcement without a
    prompt, Unusable `not_found` for a prompt that is not this number's.
    """
    await revisions.bump(session)
    number = await get_number(session, account_id, number_id)
    if not offers_recording(number):
        raise Conflict("option_not_sold")
    if choice.announcement and choice.prompt_id is None:
        raise Unusable("prompt_id", "prompt_required")
    if choice.prompt_id is not None:
        prompt = await session.get(Prompt, choice.prompt_id)
        if prompt is None or prompt.number_id != number_id:
            raise Unusable("prompt_id", "not_found")
    setting = await session.get(RecordingSetting, number_id) or RecordingSetting(number_id=number_id)
    for name, value in vars(choice).items():
        setattr(setting, name, value)
    session.add(setting)
    await session.flush()
    return _chosen(setting)


def _chosen(setting: RecordingSetting | None) -> RecordingChoice:
    if setting is None:
        return RecordingChoice()
    return RecordingChoice(
        inbound=setting.inbound,
        outbound=setting.outbound,
        announcement=setting.announcement,
        prompt_id=setting.prompt_id,
        transcribe=setting.transcribe,
    )


async def wanted_recordings(session: AsyncSession) -> list[WantedRecording]:
    """Every number that has the option, with its setting and what it announces."""
    rows = await session.execute(
        select(PhoneNumber, RecordingSetting, Prompt.sha256)
        .outerjoin(RecordingSetting, RecordingSetting.number_id == PhoneNumber.id)
        .outerjoin(Prompt, Prompt.id == RecordingSetting.prompt_id)
        .order_by(PhoneNumber.e164)
    )
    wanted = []
    for number, setting, sha256 in rows:
        if not offers_recording(number):
            continue
        choice = _chosen(setting)
        announced = choice.announcement
        wanted.append(
            WantedRecording(
                e164=number.e164,
                inbound=choice.inbound,
                outbound=choice.outbound,
                prompt_id=choice.prompt_id if announced else None,
                prompt=sha256 if announced else None,
            )
        )
    return wanted
