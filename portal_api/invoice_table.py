"""An invoice as CSV, for spreadsheets and for programs that add it up again."""

import csv
import io
from collections.abc import Iterable, Sequence

from portal_api.archives import harmless
from portal_api.schemas import JAPAN
from store.invoice_content import InvoiceContent, Section, rate_label
from store.models import Charge

SECTIONS = {
    Section.BASIC: "基本料",
    Section.OPTION: "オプション",
    Section.INITIAL: "初期費用",
    Section.CALL: "通話料",
    Section.USAGE: "従量",
    Section.DEPOSIT: "チャージ",
    Section.ADJUSTMENT: "調整",
}
LINE_COLUMNS = ("種別", "区分", "内容", "詳細", "数量", "単位", "単価", "金額(税抜)", "税率", "消費税額")
CALL_COLUMNS = (
    "通話ID",
    "開始日時",
    "発信番号",
    "端末",
    "発信先の種類",
    "料金表の行",
    "料金の名前",
    "秒数",
    "単位数",
    "金額(税抜)",
    "税率",
    "種別",
)


def invoice_table(content: InvoiceContent) -> bytes:
    """Lines (明細), then the sums per rate (税率別合計), then what is to be paid (請求金額)."""
    rows: list[Sequence[str | int]] = [LINE_COLUMNS]
    for line in content.lines:
        price = "" if line.unit_price is None else line.unit_price
        rate = rate_label(line.tax_percent)
        what = (SECTIONS[line.section], harmless(line.label), harmless(line.detail))
        rows.append(("明細", *what, line.quantity, harmless(line.unit), price, line.amount, rate, ""))
    for one in content.tax_sums:
        rows.append(("税率別合計", "", "", "", "", "", "", one.net, rate_label(one.percent), one.tax))
    if content.untaxed:
        rows.append(("税率別合計", "", "", "", "", "", "", content.untaxed, rate_label(None), 0))
    rows.append(("請求金額", "", harmless(content.number), "", "", "", "", content.total, "", ""))
    return _written(rows)


def call_table(charges: Iterable[Charge], numbers: dict[str, str], devices: dict[str, str]) -> bytes:
    """Every charge of the month. `numbers` and `devices` are names by id; who is gone has none."""
    rows: list[Sequence[str | int]] = [CALL_COLUMNS]
    for one in charges:
        rows.append(
            (
                one.call_id,
                f"{one.at.astimezone(JAPAN):%Y-%m-%d %H:%M:%S}",
                numbers.get(one.number_id or "", ""),
                harmless(devices.get(one.device_id or "", "")),
                one.destination_class,
                one.line.replace(":+", ":"),
                harmless(one.label),
                one.seconds,
                one.units,
                one.amount,
                rate_label(one.tax_percent),
                one.kind.value,
            )
        )
    return _written(rows)


def _written(rows: Iterable[Sequence[str | int]]) -> bytes:
    """Begins with a byte order mark, or Excel would not take it for UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")
