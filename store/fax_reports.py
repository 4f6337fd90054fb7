"""What is told of a fax, in words: the same for every way it goes."""

from sqlalchemy.ext.asyncio import AsyncSession

from store.e164 import E164, national
from store.message_reports import JAPAN, NO_CALLER, MessageReport
from store.models import Fax, FaxDirection, FaxState, PhoneNumber
from store.phonebook_names import read_names

TITLES = {
    FaxState.RECEIVED: "FAX受信",
    FaxState.PARTIAL: "FAX受信(途中まで)",
    FaxState.SENT: "FAX送信完了",
    FaxState.FAILED: "FAX送信失敗",
}


async def report_of_fax(session: AsyncSession, fax: Fax, portal_url: str | None) -> MessageReport:
    """Describe the fax as it is now. `portal_url` ends without a slash."""
    number = await session.get(PhoneNumber, fax.number_id)
    others = [fax.other_party] if fax.other_party else []
    names = await read_names(session, fax.account_id, others)
    return describe_fax(fax, number, names.get(fax.other_party or ""), portal_url)


def describe_fax(
    fax: Fax, number: PhoneNumber | None, name: str | None, portal_url: str | None
) -> MessageReport:
    """Put a fax into words. Pure."""
    other = national(E164(fax.other_party)) if fax.other_party else NO_CALLER[fax.other_party_kind]
    who = f"{name}({other})" if name else other
    ours = national(E164(number.e164)) if number else "不明"
    came = fax.direction is FaxDirection.IN
    pages = f"{fax.pages_done}" if came or fax.pages is None else f"{fax.pages_done}/{fax.pages}"
    facts = [
        ("送信元" if came else "送信先", who),
        ("FAX番号", ours),
        ("日時", f"{(fax.ended_at or fax.started_at).astimezone(JAPAN):%Y/%m/%d %H:%M:%S}"),
        ("ページ", pages),
    ]
    if fax.remote_station:
        facts.append(("相手局", fax.remote_station))
    if not came and fax.file_name:
        facts.append(("文書", fax.file_name))
    if fax.state is FaxState.FAILED and fax.result_code:
        facts.append(("コード", fax.result_code))
    link = f"{portal_url}/faxes/{fax.id}" if portal_url else None
    return MessageReport(f"{TITLES.get(fax.state, 'FAX')}: {who}", tuple(facts), fax.result_text or "", link)
