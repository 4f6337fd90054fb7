"""Stripe behind our interface: against a strict double, which the vendor's own library understands too."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import stripe as vendor

from billing.provider import Away, Card, Declined, Paid, Pending
from billing.stripe import Stripe, open_stripe_session
from tests.doubles.far_side import HangUp, Refuse, TakeSilently
from tests.doubles.stripe import KEY, StripeCard, StripeDouble

pytestmark = pytest.mark.integration


@pytest.fixture
async def there() -> AsyncIterator[StripeDouble]:
    async with StripeDouble() as double:
        yield double


@pytest.fixture
async def ours(there: StripeDouble) -> AsyncIterator[Stripe]:
    async with open_stripe_session() as session:
        yield Stripe(session, there.url, KEY)


async def registered(ours: Stripe) -> Card:
    return await ours.register("pm_card_visa", "account", "register-1")


async def test_a_card_is_kept_and_charged(there: StripeDouble, ours: Stripe) -> None:
    card = await registered(ours)
    assert card == Card("cus_1", "pm_card_visa", "visa", "4242", "2030-03")
    assert await ours.charge(card, 12_345, "202611-1", "charge-1") == Paid("pi_1")
    assert there.accepted == [("pi_1", 12_345, "cus_1", "202611-1")]


async def test_the_same_key_charges_once(there: StripeDouble, ours: Stripe) -> None:
    card = await registered(ours)
    assert await registered(ours) == card
    paid = [await ours.charge(card, 500, "202611-1", "charge-1") for _ in range(3)]
    assert paid == [Paid("pi_1")] * 3
    assert len(there.accepted) == 1
    with pytest.raises(Away, match="status_400"):
        await ours.charge(card, 501, "202611-1", "charge-1")


@pytest.mark.parametrize(
    ("declined", "says"),
    [
        ("insufficient_funds", "利用枠"),
        ("expired_card", "有効期限"),
        ("authentication_required", "本人認証"),
        ("generic_decline", "カード会社が承認しませんでした"),
    ],
)
async def test_a_declined_card_says_why(there: StripeDouble, ours: Stripe, declined: str, says: str) -> None:
    card = await registered(ours)
    there.cards["pm_card_visa"].declines = [declined]
    with pytest.raises(Declined) as refused:
        await ours.charge(card, 500, "x", "charge-1")
    assert (refused.value.code, refused.value.ref) == (declined, "pi_1")
    assert says in refused.value.reason
    with pytest.raises(Declined):
        await ours.look("pi_1")


async def test_a_card_can_be_refused_at_once(there: StripeDouble, ours: Stripe) -> None:
    there.cards["pm_lost"] = StripeCard(attach_decline="lost_card")
    with pytest.raises(Declined, match="lost_card"):
        await ours.register("pm_lost", "account", "register-1")
    with pytest.raises(Declined, match="resource_missing"):
        await ours.register("pm_unknown", "account", "register-2")


async def test_what_is_not_decided_is_asked_again(there: StripeDouble, ours: Stripe) -> None:
    card = await registered(ours)
    there.cards["pm_card_visa"].slow = True
    assert await ours.charge(card, 500, "x", "charge-1") == Pending("pi_1")
    assert await ours.look("pi_1") == Pending("pi_1")
    there.settle()
    assert await ours.look("pi_1") == Paid("pi_1")


@pytest.mark.parametrize("trouble", [Refuse(500), Refuse(429), Refuse(503, "not JSON"), HangUp()])
async def test_trouble_is_for_later(there: StripeDouble, ours: Stripe, trouble: Refuse | HangUp) -> None:
    card = await registered(ours)
    there.next(trouble)
    with pytest.raises(Away):
        await ours.charge(card, 500, "x", "charge-1")
    assert await ours.charge(card, 500, "x", "charge-1") == Paid("pi_1")
    assert len(there.accepted) == 1


async def test_an_answer_that_never_comes_does_not_charge_twice(there: StripeDouble, ours: Stripe) -> None:
    card = await registered(ours)
    there.next(TakeSilently())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ours.charge(card, 500, "x", "charge-1")
    assert await ours.charge(card, 500, "x", "charge-1") == Paid("pi_1")
    assert len(there.accepted) == 1


async def test_a_wrong_key_of_ours_is_not_the_customers_fault(there: StripeDouble) -> None:
    async with open_stripe_session() as session:
        with pytest.raises(Away, match="bad_key"):
            await Stripe(session, there.url, "sk_test_wrong").register("pm_card_visa", "a", "k")


async def test_nobody_listening_is_for_later() -> None:
    async with open_stripe_session() as session:
        with pytest.raises(Away, match="unreachable"):
            await Stripe(session, "http://127.0.0.1:9", KEY).register("pm_card_visa", "a", "k")


async def test_the_vendors_library_finds_stripe_there(there: StripeDouble) -> None:
    """So the double answers as Stripe does, and ours asks for the same things."""
    client = vendor.StripeClient(KEY, base_addresses={"api": there.url}, max_network_retries=0)

    def use() -> tuple[str, str, str]:
        customer = client.v1.customers.create({"payment_method": "pm_card_visa"})
        method = client.v1.payment_methods.retrieve("pm_card_visa")
        assert method.card is not None
        intent = client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "jpy",
                "customer": customer.id,
                "payment_method": "pm_card_visa",
                "off_session": True,
                "confirm": True,
            },
            {"idempotency_key": "one"},
        )
        there.cards["pm_card_visa"].declines = ["insufficient_funds"]
        with pytest.raises(vendor.CardError) as declined:
            client.v1.payment_intents.create(
                {
                    "amount": 500,
                    "currency": "jpy",
                    "customer": customer.id,
                    "payment_method": "pm_card_visa",
                    "confirm": True,
                }
            )
        return method.card.last4, intent.status, str(declined.value.code)

    assert await asyncio.to_thread(use) == ("4242", "succeeded", "card_declined")
