"""Numbers, rules, prompts, devices, tokens, reports and revisions, on both databases."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from store import devices, numbers, prompts, reports, revisions, rules, tokens
from store.database import Database
from store.e164 import E164
from store.errors import Conflict, InUse, NotAudio, NotFound, Unusable
from store.media import Media
from store.models import Device, NumberUse, Role, Token
from store.pages import PageRequest
from store.sealing import unseal
from tests.furnishing import SECRET_KEY, Furnished, wav

pytestmark = pytest.mark.integration


async def test_rusurepo_takes_rule_and_switch_together(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        before = await revisions.current(session)
        await numbers.set_rusurepo(session, ours.account_id, ours.number_id, True, ours.rule_id)
    async with database.session() as session:
        number = await numbers.get_number(session, ours.account_id, ours.number_id)
        assert number.rusurepo is not None
        assert (number.rusurepo.enabled, number.rusurepo.rule_id) == (True, ours.rule_id)
        assert await revisions.current(session) == before + 1


@pytest.mark.parametrize("wrong", ["none", "theirs", "unknown"])
async def test_rusurepo_needs_a_rule_of_the_number(
    database: Database, ours: Furnished, theirs: Furnished, wrong: str
) -> None:
    rule_id = {"none": None, "theirs": theirs.rule_id, "unknown": "0" * 32}[wrong]
    with pytest.raises(Unusable) as refused:
        async with database.session() as session:
            await numbers.set_rusurepo(session, ours.account_id, ours.number_id, True, rule_id)
    assert refused.value.field == "rule_id"
    async with database.session() as session:
        number = await numbers.get_number(session, ours.account_id, ours.number_id)
        assert number.rusurepo is not None
        assert number.rusurepo.enabled is False


async def test_refused_change_bumps_nothing(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        before = await revisions.current(session)
    with pytest.raises(Unusable):
        async with database.session() as session:
            await numbers.set_rusurepo(session, ours.account_id, ours.number_id, True, None)
    async with database.session() as session:
        assert await revisions.current(session) == before


async def test_bumps_at_once_are_all_counted(database: Database) -> None:
    async def bump() -> int:
        async with database.session() as session:
            return await revisions.bump(session)

    assert sorted(await asyncio.gather(*(bump() for _ in range(8)))) == list(range(1, 9))


async def test_chosen_rule_is_not_deleted(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        await numbers.set_rusurepo(session, ours.account_id, ours.number_id, False, ours.rule_id)
    with pytest.raises(InUse) as refused:
        async with database.session() as session:
            await rules.delete_rule(session, ours.account_id, ours.rule_id)
    assert [(use.kind, use.id) for use in refused.value.used_by] == [("number", ours.number_id)]
    async with database.session() as session:
        await numbers.set_rusurepo(session, ours.account_id, ours.number_id, False, None)
        await rules.delete_rule(session, ours.account_id, ours.rule_id)
    async with database.session() as session:
        with pytest.raises(NotFound):
            await rules.get_rule(session, ours.account_id, ours.rule_id)


async def test_deleting_and_choosing_a_rule_at_once_leaves_no_broken_choice(
    database: Database, ours: Furnished
) -> None:
    async def choose() -> None:
        async with database.session() as session:
            await numbers.set_rusurepo(session, ours.account_id, ours.number_id, True, ours.rule_id)

    async def delete() -> None:
        async with database.session() as session:
            await rules.delete_rule(session, ours.account_id, ours.rule_id)

    outcomes = await asyncio.gather(choose(), delete(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] in ([Unusable], [InUse])


async def test_rules_of_other_numbers_prompts_are_refused(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        number = await numbers.add_number(session, ours.account_id, E164("+81312345679"), NumberUse.FAX)
    for number_id, start in ((number.id, ours.prompt_ids[0]), (ours.number_id, theirs.prompt_ids[0])):
        with pytest.raises(Unusable) as refused:
            async with database.session() as session:
                await rules.create_rule(session, ours.account_id, number_id, "x", start, ours.prompt_ids[1])
        assert refused.value.field == "start_prompt_id"
    with pytest.raises(Unusable) as refused:
        async with database.session() as session:
            await rules.create_rule(session, ours.account_id, theirs.number_id, "x", *ours.prompt_ids)
    assert refused.value.field == "number_id"


async def test_change_rule(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        await rules.create_rule(session, ours.account_id, ours.number_id, "夜間", *ours.prompt_ids)
    async with database.session() as session:
        changed = await rules.change_rule(session, ours.account_id, ours.rule_id, name="休日")
        assert (changed.name, changed.start_prompt_id) == ("休日", ours.prompt_ids[0])
    with pytest.raises(Conflict, match="name_taken"):
        async with database.session() as session:
            await rules.change_rule(session, ours.account_id, ours.rule_id, name="夜間")
    with pytest.raises(Unusable):
        async with database.session() as session:
            await rules.change_rule(session, ours.account_id, ours.rule_id, end_prompt_id="0" * 32)


async def test_nothing_of_another_account_is_found(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        for reading in (
            numbers.get_number(session, ours.account_id, theirs.number_id),
            rules.get_rule(session, ours.account_id, theirs.rule_id),
            prompts.get_prompt(session, ours.account_id, theirs.prompt_ids[0]),
            devices.get_device(session, ours.account_id, theirs.device_id),
            tokens.revoke_token(session, ours.account_id, theirs.token_id),
        ):
            with pytest.raises(NotFound):
                await reading
        listed = await numbers.list_numbers(session, ours.account_id, PageRequest())
        assert [number.id for number in listed.items] == [ours.number_id]


async def test_number_is_given_once(database: Database, ours: Furnished, theirs: Furnished) -> None:
    with pytest.raises(Conflict, match="number_taken"):
        async with database.session() as session:
            await numbers.add_number(session, theirs.account_id, ours.e164, NumberUse.VOICE)


async def test_device_password_is_kept_sealed(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        device, password = await devices.create_device(session, SECRET_KEY, ours.account_id, "taro01")
    async with database.session() as session:
        kept = await session.get_one(Device, device.id)
        assert password not in kept.sealed_password
        assert unseal(kept.sealed_password, SECRET_KEY) == password
        _, newer = await devices.rotate_password(session, SECRET_KEY, ours.account_id, device.id)
    async with database.session() as session:
        kept = await session.get_one(Device, device.id)
        assert unseal(kept.sealed_password, SECRET_KEY) == newer != password
    with pytest.raises(Conflict, match="username_taken"):
        async with database.session() as session:
            await devices.create_device(session, SECRET_KEY, ours.account_id, "taro01")


async def test_token_identifies_until_revoked(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        identity = await tokens.identify(session, ours.token)
        assert identity == tokens.Identity(ours.token_id, Role.ADMINISTRATOR, ours.account_id)
        assert await tokens.identify(session, ours.token + "x") is None
        token = await session.get_one(Token, ours.token_id)
        assert ours.token not in (token.digest, tokens.masked(token))
        await tokens.revoke_token(session, None, ours.token_id)
    async with database.session() as session:
        assert await tokens.identify(session, ours.token) is None
        with pytest.raises(NotFound):
            await tokens.revoke_token(session, None, ours.token_id)


async def test_administrator_without_account_is_impossible(database: Database, ours: Furnished) -> None:
    for role, account_id in (
        (Role.ADMINISTRATOR, None),
        (Role.ADMINISTRATOR, "unknown"),
        (Role.OPERATOR, ours.account_id),
    ):
        async with database.session() as session:
            with pytest.raises(Unusable):
                await tokens.issue_token(session, role, account_id)
    with pytest.raises(IntegrityError):
        async with database.session() as session:
            session.add(Token(role=Role.ADMINISTRATOR, account_id=None, digest="x"))


async def test_equal_prompts_share_a_file(database: Database, media: Media, ours: Furnished) -> None:
    async with database.session() as session:
        again = await prompts.add_prompt(session, media, ours.account_id, ours.number_id, "同じ", wav(1.5))
        first = await prompts.get_prompt(session, ours.account_id, ours.prompt_ids[0])
    assert (again.sha256, again.duration_s) == (first.sha256, 1.5)
    assert media.path(prompts.media_name(again.sha256)).read_bytes() == wav(1.5)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", wav()[:40], wav(0), b"\x00" * 100, wav().replace(b"fmt ", b"xxxx")]
)
def test_prompt_that_is_no_telephone_wav_is_refused(content: bytes) -> None:
    with pytest.raises(NotAudio):
        prompts.wav_duration_s(content)


async def test_last_report_counts(database: Database) -> None:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    await reports.report(database, "a.pbx", True, details={"calls": 3})
    await reports.report(database, "b.pbx", True)
    await reports.report(database, "a.pbx", False, "x" * 900, {}, at)
    async with database.session() as session:
        first, second = await reports.read_all(session)
    assert (first.part, first.ready, len(first.reason), first.details, first.reported_at) == (
        "a.pbx", False, 500, {}, at,
    )  # fmt: skip
    assert (second.part, second.ready) == ("b.pbx", True)
