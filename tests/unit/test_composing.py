"""An invoice's lines: pro rata, rounding once per rate, deposits. Pure."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.composing import CallGroup, MonthFacts, Sold, Used, compose, prorated
from store.billing_month import BillingMonth
from store.invoice_content import InvoiceLine, Section, tax_of, tax_sums, total, untaxed
from tests.invoices import content_of, usual_facts, usual_invoice

pytestmark = pytest.mark.unit

MONTHS = st.builds(BillingMonth, st.integers(2020, 2060), st.integers(1, 12))
LINES = st.lists(
    st.builds(
        InvoiceLine,
        section=st.sampled_from(Section),
        label=st.just("x"),
        amount=st.integers(-(10**7), 10**7),
        tax_percent=st.sampled_from([None, 0, 8, 10]),
    ),
    max_size=30,
)


def test_the_usual_month_is_the_golden_one() -> None:
    """Reckoned by hand: 10 % of 23,107 is 2,310.7; a tenth of each line rounded would be 2,306."""
    invoice = usual_invoice()
    assert [(line.label, line.detail, line.amount) for line in invoice.lines] == [
        ("基本料", "", 980),
        ("ID", "1001", 700),
        ("ID", "1002 日割 16/31日", 361),
        ("10分かけ放題", "1001", 1000),
        ("電話番号", "03-1234-5678", 280),
        ("電話番号", "03-1234-5679 日割 11/31日", 99),
        ("留守レポ", "03-1234-5678", 2280),
        ("ID 初期費用", "1002", 5000),
        ("通話料 固定電話", "360分00秒", 1000),
        ("通話料 携帯電話", "600分00秒", 11_111),
        ("通話料 アメリカ・カナダ", "20分34秒", 185),
        ("FAX送信", "03-1234-5679", 56),
        ("留守レポ(101件目から)", "03-1234-5678", 240),
        ("チャージ(前受金)", "", 5000),
        ("チャージからの充当", "", -2296),
    ]
    assert [(one.percent, one.net, one.tax) for one in invoice.tax_sums] == [(10, 23_107, 2_310), (0, 185, 0)]
    assert (invoice.untaxed, invoice.total) == (2_704, 28_306)
    per_line = sum(line.amount // 10 for line in invoice.lines if line.tax_percent == 10)
    assert per_line != invoice.tax_sums[0].tax


@given(LINES)
def test_tax_is_rounded_once_per_rate(lines: list[InvoiceLine]) -> None:
    for one in tax_sums(lines):
        net = sum(line.amount for line in lines if line.tax_percent == one.percent)
        assert one.net == net
        assert abs(one.tax) == int(abs(Fraction(net * one.percent, 100)))
        assert one.tax * net >= 0
    assert total(lines) == sum(line.amount for line in lines) + sum(one.tax for one in tax_sums(lines))
    assert untaxed(lines) == sum(line.amount for line in lines if line.tax_percent is None)


@given(st.integers(0, 10**9), st.sampled_from([0, 8, 10]))
def test_a_refund_gives_back_what_was_taken(net: int, percent: int) -> None:
    assert tax_of(-net, percent) == -tax_of(net, percent)


@given(MONTHS, st.integers(0, 10**6), st.integers(-40, 40), st.integers(0, 80))
def test_a_part_of_a_month_costs_its_days(month: BillingMonth, fee: int, start: int, length: int) -> None:
    starts_on = month.first_day + timedelta(days=start)
    ends_on = starts_on + timedelta(days=length)
    in_use = [
        day
        for day in (month.first_day + timedelta(days=n) for n in range(month.days))
        if starts_on <= day <= ends_on
    ]
    assert prorated(fee, month, starts_on, ends_on) == (fee * len(in_use) // month.days, len(in_use))


@given(MONTHS, st.integers(0, 10**6), st.integers(1, 26))
def test_two_parts_never_cost_more_than_the_whole(month: BillingMonth, fee: int, day: int) -> None:
    until = month.first_day + timedelta(days=day)
    first, _ = prorated(fee, month, month.first_day, until - timedelta(days=1))
    second, _ = prorated(fee, month, until, None)
    assert fee - 1 <= first + second <= fee


def test_nothing_sold_nothing_billed() -> None:
    facts = usual_facts()
    empty = MonthFacts(facts.month, facts.tariffs, [], [CallGroup("x", 10, 0, 0, 0)], [], [], 0)
    assert compose(empty) == []
    included = MonthFacts(facts.month, facts.tariffs, [], [], [Used("rusurepo_message", "x", 100)], [], 0)
    assert compose(included) == []


def test_what_the_tariff_does_not_know_costs_nothing() -> None:
    facts = usual_facts()
    unknown = MonthFacts(
        facts.month, facts.tariffs, [Sold("gone", "", date(2025, 1, 1), None)], [], [], [], 0
    )
    assert compose(unknown) == []
    before = MonthFacts(BillingMonth(2020, 1), facts.tariffs, facts.sold, [], [], [], 0)
    assert compose(before) == []


def test_a_document_is_known_by_what_it_says() -> None:
    assert usual_invoice().digest == usual_invoice().digest
    assert content_of(usual_invoice().lines, due_on=date(2027, 1, 1)).digest != usual_invoice().digest
