"""`/invoices` and `/payments`: 請求明細, its breakdown (内訳), CSV and PDF, and how it is paid."""

import asyncio
from datetime import date
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from portal_api.audio import INVOICE, AudioQuery, disposition, send_pdf
from portal_api.card_free import CardFree
from portal_api.invoice_table import call_table, invoice_table
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Name, PageOf, PageQuery, Timestamp, plain_text
from store import invoices, payments
from store.billing_month import BillingMonth, parse_month
from store.invoice_content import CallSum, InvoiceContent, InvoiceLine, Section, TaxSum
from store.models import Invoice as InvoiceRow
from store.models import InvoiceKind, PaymentKind, PaymentState
from store.models import Payment as PaymentRow

resource = Resource("請求明細")

KINDS = "invoice=請求書、correction=修正(元の請求書は変わらない)"
LATIN = str.maketrans({"/": "-", "\\": "-"})


def _month(text: str) -> str:
    try:
        return str(parse_month(text))
    except ValueError:
        raise PydanticCustomError("month", "請求月は2026-11の形で指定してください。") from None


Month = Annotated[str, StringConstraints(max_length=7), AfterValidator(_month)]
Yen = Annotated[int, Field(ge=-(10**12), le=10**12)]


class Invoice(BaseModel):
    """発行済みの請求書。発行後に変わることはない"""

    id: str
    number: str = Field(description="請求書番号")
    kind: InvoiceKind = Field(description=KINDS)
    month: str = Field(description="請求月。前月26日から当月25日まで", examples=["2026-11"])
    issued_on: date
    due_on: date = Field(description="お支払期限")
    customer_name: str = Field(description="宛名")
    total: int = Field(description="請求金額(円、税込)")
    corrects_id: str | None = Field(description="修正した請求書")
    digest: str = Field(description="内容のSHA-256。改ざんの検出に使える")
    issued_at: Timestamp

    @classmethod
    def of(cls, row: InvoiceRow) -> Self:
        return cls(
            id=row.id,
            number=row.number,
            kind=row.kind,
            month=row.month,
            issued_on=row.issued_on,
            due_on=row.due_on,
            customer_name=row.customer_name,
            total=row.total,
            corrects_id=row.corrects_id,
            digest=row.digest,
            issued_at=row.created_at,
        )


class InvoiceOfAnybody(Invoice):
    account_id: str

    @classmethod
    def of(cls, row: InvoiceRow) -> Self:
        return cls(**Invoice.of(row).model_dump(mode="python"), account_id=row.account_id)


class Invoices(PageOf[Invoice]):
    """請求書の1ページ。新しい順"""


class InvoicesOfAll(PageOf[InvoiceOfAnybody]):
    """全アカウントの請求書の1ページ。新しい順"""


class InvoiceWithBreakdown(Invoice):
    """請求書とその内訳。金額は税抜、taxは消費税額(税率ごとに1回だけ端数を切り捨てる)"""

    period_from: date
    period_to: date
    payment_kind: PaymentKind
    issuer_name: str
    issuer_number: str = Field(description="適格請求書発行事業者の登録番号")
    lines: list[InvoiceLine]
    tax_sums: list[TaxSum] = Field(description="税率ごとの合計と消費税額。percentが0は免税")
    untaxed: int = Field(description="不課税(チャージ)の合計")
    calls_by_number: list[CallSum]
    calls_by_device: list[CallSum]
    reason: str = Field(description="修正の理由")

    @classmethod
    def showing(cls, row: InvoiceRow) -> Self:
        content = InvoiceContent.model_validate(row.content)
        return cls(
            **Invoice.of(row).model_dump(mode="python"),
            period_from=content.period_from,
            period_to=content.period_to,
            payment_kind=content.payment_kind,
            issuer_name=content.issuer.name,
            issuer_number=content.issuer.number,
            lines=content.lines,
            tax_sums=content.tax_sums,
            untaxed=content.untaxed,
            calls_by_number=content.calls_by_number,
            calls_by_device=content.calls_by_device,
            reason=content.reason,
        )


class InvoiceQuery(PageQuery):
    """検索条件。請求月を指定しないと、直近14か月分"""

    month_from: Month | None = Field(default=None, description="この請求月以降", examples=["2025-10"])
    month_to: Month | None = Field(default=None, description="この請求月まで", examples=["2026-11"])
    total_from: Yen | None = Field(default=None, description="請求金額がこの額以上")
    total_to: Yen | None = Field(default=None, description="請求金額がこの額以下")
    name: (
        Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(plain_text)] | None
    ) = Field(default=None, description="宛名の一部")

    def wanted(self) -> invoices.InvoiceFilter:
        return invoices.InvoiceFilter(
            _parsed(self.month_from), _parsed(self.month_to), self.total_from, self.total_to, self.name
        )


class AdjustmentGiven(Body):
    label: Name = Field(description="内容")
    amount: int = Field(ge=-100_000_000, le=100_000_000, description="差額(円、税抜)。減額は負の数")
    tax_percent: Annotated[int, Field(ge=0, le=99)] | None = Field(description="税率。0は免税、nullは不課税")


class CorrectionGiven(CardFree):
    reason: Name = Field(description="修正の理由。書類に載る")
    lines: list[AdjustmentGiven] = Field(min_length=1, max_length=100, description="元の請求書との差額")


class CorrectionOrdered(BaseModel):
    """発行は数秒後。この id で請求書の一覧に現れる"""

    id: str


class Payment(BaseModel):
    id: str
    invoice_id: str
    kind: PaymentKind
    amount: int
    state: PaymentState = Field(
        description="waiting=お支払い待ち、processing=処理中、paid=済み、failed=できなかった"
    )
    due_on: date
    attempts: int = Field(description="カードで試みた回数")
    reminders: int = Field(description="お支払いのお願いを送った回数")
    reason_code: str | None
    reason: str | None
    paid_at: Timestamp | None

    @classmethod
    def of(cls, row: PaymentRow) -> Self:
        return cls(
            id=row.id,
            invoice_id=row.invoice_id,
            kind=row.kind,
            amount=row.amount,
            state=row.state,
            due_on=row.due_on,
            attempts=row.attempts,
            reminders=row.reminders,
            reason_code=row.reason_code,
            reason=row.reason,
            paid_at=row.paid_at,
        )


class Payments(PageOf[Payment]):
    """お支払いの1ページ。新しい順"""


class PaymentQuery(PageQuery):
    state: PaymentState | None = None


class PaymentOutcome(CardFree):
    """銀行から届いた結果"""

    outcome: Literal["paid", "failed"]
    reason: Annotated[str, StringConstraints(max_length=200), AfterValidator(plain_text)] = Field(
        default="", description="failedの理由"
    )


def _parsed(month: str | None) -> BillingMonth | None:
    return parse_month(month) if month else None


@resource.get("/invoices", "請求明細の一覧。直近14か月分、検索では保存している7年分")
async def list_invoices(ask: Ask, account_id: str, query: InvoiceQuery) -> Invoices:
    async with ask.session() as session:
        page = await invoices.list_invoices(
            session, account_id, query.wanted(), query.page(), ask.parts.clock()
        )
    return Invoices(items=[Invoice.of(row) for row in page.items], next=page.next_text)


@resource.get("/invoices:all", "全アカウントの請求書を、年月・金額・宛名で探す", operator_only=True)
async def list_all_invoices(ask: Ask, query: InvoiceQuery) -> InvoicesOfAll:
    async with ask.session() as session:
        page = await invoices.list_invoices(session, None, query.wanted(), query.page(), ask.parts.clock())
    return InvoicesOfAll(items=[InvoiceOfAnybody.of(row) for row in page.items], next=page.next_text)


@resource.get("/invoices/{invoice_id}", "請求書とその内訳")
async def get_invoice(ask: Ask, account_id: str, invoice_id: str) -> InvoiceWithBreakdown:
    async with ask.session() as session:
        return InvoiceWithBreakdown.showing(await invoices.get_invoice(session, account_id, invoice_id))


@resource.get("/invoices/{invoice_id}/pdf", "請求書のPDF(適格請求書)", produces="application/pdf")
async def get_invoice_pdf(
    ask: Ask, account_id: str, invoice_id: str, query: AudioQuery
) -> web.StreamResponse:
    async with ask.session() as session:
        invoice = await invoices.get_invoice(session, account_id, invoice_id)
    name = f"{_file_name(invoice)}.pdf" if query.download else None
    path = ask.parts.media.path(invoice.pdf)
    return await send_pdf(
        ask.request, path, invoice.pdf_sha256, name, INVOICE, missing="invoice_file_missing"
    )


@resource.get("/invoices/{invoice_id}/csv", "請求書の明細のCSV", produces="text/csv")
async def get_invoice_csv(ask: Ask, account_id: str, invoice_id: str) -> web.Response:
    async with ask.session() as session:
        invoice = await invoices.get_invoice(session, account_id, invoice_id)
    table = invoice_table(InvoiceContent.model_validate(invoice.content))
    return _csv(table, f"{_file_name(invoice)}.csv", "invoice.csv")


@resource.get("/invoices/{invoice_id}/calls.csv", "請求書の通話料の内訳のCSV", produces="text/csv")
async def get_invoice_calls(ask: Ask, account_id: str, invoice_id: str) -> web.Response:
    async with ask.session() as session:
        invoice = await invoices.get_invoice(session, account_id, invoice_id)
        charges = list(await session.scalars(invoices.charges_of(invoice)))
        numbers, devices = await invoices.names_of(session, account_id)
    table = await asyncio.to_thread(call_table, charges, numbers, devices)
    return _csv(table, f"{_file_name(invoice)}_通話.csv", "calls.csv")


@resource.post(
    "/invoices/{invoice_id}/corrections",
    "請求書の修正を発行する。元の請求書は変わらない",
    status=202,
    operator_only=True,
)
async def correct_invoice(
    ask: Ask, account_id: str, invoice_id: str, body: CorrectionGiven
) -> CorrectionOrdered:
    lines = [
        InvoiceLine(
            section=Section.ADJUSTMENT, label=line.label, amount=line.amount, tax_percent=line.tax_percent
        )
        for line in body.lines
    ]
    by = f"token:{ask.identity.token_id}"
    async with ask.session() as session:
        invoice = await invoices.get_invoice(session, account_id, invoice_id)
        if invoice.kind is not InvoiceKind.INVOICE:
            raise Problem("not_the_original")
        return CorrectionOrdered(id=await invoices.order_correction(session, invoice, lines, body.reason, by))


@resource.get("/payments", "お支払いの状況")
async def list_payments(ask: Ask, account_id: str, query: PaymentQuery) -> Payments:
    async with ask.session() as session:
        page = await payments.list_payments(session, account_id, query.state, query.page())
    return Payments(items=[Payment.of(row) for row in page.items], next=page.next_text)


@resource.post("/payments/{payment_id}:outcome", "口座振替・銀行振込の結果を記録する", operator_only=True)
async def note_payment(ask: Ask, account_id: str, payment_id: str, body: PaymentOutcome) -> Payment:
    async with ask.session() as session:
        noted = await payments.note_outcome(
            session, account_id, payment_id, body.outcome == "paid", body.reason, ask.parts.clock()
        )
        return Payment.of(noted)


def _file_name(invoice: InvoiceRow) -> str:
    kind = "請求書" if invoice.kind is InvoiceKind.INVOICE else "請求書修正"
    return f"{kind}_{invoice.month}_{invoice.number}".translate(LATIN)


def _csv(table: bytes, name: str, ascii_name: str) -> web.Response:
    headers = {"Content-Disposition": disposition(name, ascii_name)}
    return web.Response(body=table, content_type="text/csv", charset="utf-8", headers=headers)
