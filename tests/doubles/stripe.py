"""Stripe's API: customers, payment methods and payment intents, as strict as the real one.

Form-encoded only, unknown fields refused, idempotency keys remembered (another request under the same key
is an error), amounts in whole yen. https://docs.stripe.com/api
"""

import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.doubles.far_side import FarSide, bearer

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
CUSTOMER_FIELDS = {"payment_method", "metadata[account_id]", "name", "email"}
INTENT_FIELDS = {
    "amount",
    "currency",
    "customer",
    "payment_method",
    "payment_method_types[]",
    "payment_method_types[0]",
    "off_session",
    "confirm",
    "description",
}
CARD_NUMBER = re.compile(r"\b\d{13,19}\b")
"""No part of an id, which has letters beside its digits."""
LEAST_YEN = 50


@dataclass
class StripeCard:
    """A card behind a payment method. `declines` is what each next charge is declined with."""

    last4: str = "4242"
    brand: str = "visa"
    exp_month: int = 3
    exp_year: int = 2030
    attach_decline: str | None = None
    declines: list[str] = field(default_factory=list)
    slow: bool = False
    """Charges stay `processing` until `settle`."""

    customer: str | None = None


class StripeDouble(FarSide):
    """`accepted` has each charge that succeeded: (intent id, amount, customer, description)."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: dict[str, StripeCard] = {"pm_card_visa": StripeCard()}
        self.customers: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.raw: list[str] = []
        """Every body, for those who look for what must not be in one."""
        self._answered: dict[str, tuple[str, dict[str, str], int, dict[str, Any]]] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/customers", self._customers)
        router.add_get("/v1/payment_methods/{method}", self._method)
        router.add_post("/v1/payment_intents", self._intents)
        router.add_get("/v1/payment_intents/{intent}", self._intent)

    def settle(self) -> None:
        """What is `processing` succeeds."""
        for intent in self.intents.values():
            if intent["status"] == "processing":
                self._succeed(intent)

    # ---- requests --------------------------------------------------------------------------------

    async def _customers(self, request: web.Request) -> web.Response:
        return await self._once(request, CUSTOMER_FIELDS, self._make_customer)

    async def _intents(self, request: web.Request) -> web.Response:
        return await self._once(request, INTENT_FIELDS, self._make_intent)

    async def _once(self, request: web.Request, known: set[str], make: Any) -> web.Response:
        if refused := self._unauthorized(request):
            return refused
        if request.content_type != "application/x-www-form-urlencoded":
            return error(400, "invalid_request_error", "bad_content_type", "form-encoded, please")
        self.raw.append((await request.read()).decode())
        given = await request.post()
        fields = {name: str(value) for name, value in given.items()}
        if len(fields) != len(given) or set(fields) - known:
            unknown = ", ".join(sorted(set(fields) - known))
            return error(400, "invalid_request_error", "parameter_unknown", f"unknown: {unknown}")
        if CARD_NUMBER.search(self.raw[-1]):
            return error(402, "card_error", "raw_card_number", "sending card numbers is unsafe")
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > 255:
            return error(400, "idempotency_error", "", "the key is too long")
        if key in self._answered:
            path, earlier, status, body = self._answered[key]
            if (path, earlier) != (request.path, fields):
                return error(400, "idempotency_error", "", "the same key for another request")
            return web.json_response(body, status=status, headers={"Idempotent-Replayed": "true"})
        status, body = make(fields)
        # What was never begun is not remembered.
        if key and status != 400:
            self._answered[key] = (request.path, fields, status, body)
        return web.json_response(body, status=status)

    async def _method(self, request: web.Request) -> web.Response:
        if refused := self._unauthorized(request):
            return refused
        name = request.match_info["method"]
        card = self.cards.get(name)
        if card is None:
            return error(404, "invalid_request_error", "resource_missing", f"No such PaymentMethod: '{name}'")
        shown = {
            "brand": card.brand,
            "last4": card.last4,
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
        }
        said = {
            "id": name,
            "object": "payment_method",
            "type": "card",
            "customer": card.customer,
            "card": shown,
        }
        return web.json_response(said)

    async def _intent(self, request: web.Request) -> web.Response:
        if refused := self._unauthorized(request):
            return refused
        intent = self.intents.get(request.match_info["intent"])
        if intent is None:
            return error(404, "invalid_request_error", "resource_missing", "No such payment_intent")
        return web.json_response(intent)

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if bearer(request) != KEY:
            return error(401, "invalid_request_error", "", "Invalid API Key provided")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(\.\w+)?", request.headers.get("Stripe-Version", "2024-06-20")):
            return error(400, "invalid_request_error", "", "Invalid Stripe API version")
        return None

    # ---- what they do ----------------------------------------------------------------------------

    def _make_customer(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        name = fields.get("payment_method")
        card = self.cards.get(name or "")
        if name is not None and card is None:
            missing = f"No such PaymentMethod: '{name}'"
            return 400, told("invalid_request_error", "resource_missing", missing)
        if card is not None and card.attach_decline:
            declined = told("card_error", "card_declined", "Your card was declined.")
            declined["error"]["decline_code"] = card.attach_decline
            return 402, declined
        if card is not None and card.customer:
            return 400, told("invalid_request_error", "", "The payment method is attached already.")
        ref = f"cus_{len(self.customers) + 1}"
        self.customers[ref] = {"id": ref, "object": "customer", "metadata": {}}
        if card is not None:
            card.customer = ref
        return 200, self.customers[ref]

    def _make_intent(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        method = fields.get("payment_method", "")
        card = self.cards.get(method)
        if card is None or card.customer != fields.get("customer"):
            return 400, told("invalid_request_error", "", "The payment method belongs to no such customer.")
        if (
            not fields["amount"].isdecimal()
            or int(fields["amount"]) < LEAST_YEN
            or fields["currency"] != "jpy"
        ):
            return 400, told("invalid_request_error", "amount_too_small", "at least ¥50, in whole yen")
        ref = f"pi_{len(self.intents) + 1}"
        intent = {
            "id": ref,
            "object": "payment_intent",
            "amount": int(fields["amount"]),
            "currency": "jpy",
            "customer": card.customer,
            "payment_method": method,
            "description": fields.get("description"),
            "status": "processing",
            "last_payment_error": None,
        }
        self.intents[ref] = intent
        if card.declines:
            failed = told("card_error", "card_declined", "Your card was declined.")
            failed["error"]["decline_code"] = card.declines.pop(0)
            intent |= {"status": "requires_payment_method", "last_payment_error": dict(failed["error"])}
            failed["error"]["payment_intent"] = intent
            return 402, failed
        if not card.slow:
            self._succeed(intent)
        return 200, intent

    def _succeed(self, intent: dict[str, Any]) -> None:
        intent["status"] = "succeeded"
        self.accepted.append((intent["id"], intent["amount"], intent["customer"], intent["description"]))


def told(kind: str, code: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, **({"code": code} if code else {})}}


def error(status: int, kind: str, code: str, message: str) -> web.Response:
    return web.json_response(told(kind, code, message), status=status)
