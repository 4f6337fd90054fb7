"""Stripe's API behind `billing.provider.Provider`.

https://docs.stripe.com/api : form-encoded, `Idempotency-Key`, errors as `{"error": {"type", "code", …}}`.
Yen has no decimals: amounts are whole yen. The customer's browser makes the payment method (`pm_…`) with
Stripe's own fields, so that a card's number never reaches us.
"""

from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from billing.provider import Away, Card, Declined, Paid, Pending

VERSION = "2024-06-20"
TIMEOUT = ClientTimeout(total=60, connect=10, sock_read=30)
LARGEST_ANSWER = 256 * 1024
WAITING = {"processing", "requires_capture"}
REASONS = {
    "amount_too_small": "ご請求金額が、カードでお支払いいただける下限(50円)を下回っています。",
    "insufficient_funds": "カードの残高または利用枠が不足しています。",
    "expired_card": "カードの有効期限が切れています。",
    "incorrect_cvc": "カードのセキュリティコードが正しくありません。",
    "lost_card": "このカードは利用できません。カード会社にお問い合わせください。",
    "stolen_card": "このカードは利用できません。カード会社にお問い合わせください。",
    "authentication_required": "カードの本人認証が必要です。カードを登録し直してください。",
    "resource_missing": "カードの登録情報が見つかりません。カードを登録し直してください。",
}
DECLINED = "カード会社が承認しませんでした。別のカードを登録するか、カード会社にお問い合わせください。"


def open_stripe_session() -> ClientSession:
    return ClientSession(timeout=TIMEOUT, cookie_jar=DummyCookieJar())


class Stripe:
    """One Stripe account. `base_url` ends without a slash."""

    def __init__(self, session: ClientSession, base_url: str, secret_key: str) -> None:
        self._session = session
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {secret_key}", "Stripe-Version": VERSION}

    async def register(self, token: str, account_id: str, key: str) -> Card:
        customer = await self._call(
            "POST",
            "/v1/customers",
            {"payment_method": token, "metadata[account_id]": account_id},
            key,
        )
        customer_ref = _text(customer, "id")
        method = await self._call("GET", f"/v1/payment_methods/{token}")
        card = method.get("card")
        if not isinstance(card, dict):
            raise Declined("not_a_card", "クレジットカードを登録してください。")
        return Card(
            customer_ref=customer_ref,
            method_ref=_text(method, "id"),
            brand=str(card.get("brand") or "")[:30],
            last4=str(card.get("last4") or "")[:4],
            expires=f"{int(card['exp_year']):04d}-{int(card['exp_month']):02d}",
        )

    async def charge(self, card: Card, amount: int, description: str, key: str) -> Paid | Pending:
        fields = {
            "amount": str(amount),
            "currency": "jpy",
            "customer": card.customer_ref,
            "payment_method": card.method_ref,
            "payment_method_types[]": "card",
            "off_session": "true",
            "confirm": "true",
            "description": description,
        }
        return _outcome(await self._call("POST", "/v1/payment_intents", fields, key))

    async def look(self, ref: str) -> Paid | Pending:
        return _outcome(await self._call("GET", f"/v1/payment_intents/{ref}"))

    async def _call(
        self, method: str, path: str, fields: dict[str, str] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        try:
            async with self._session.request(
                method, f"{self._base_url}{path}", data=fields, headers=headers, allow_redirects=False
            ) as response:
                body = await response.content.read(LARGEST_ANSWER)
                status = response.status
        except (ClientError, OSError, ValueError):
            # OSError holds TimeoutError.
            raise Away("unreachable", "決済サービスに接続できませんでした。") from None
        answer = _json(body)
        if status == 200:
            return answer
        raise _refusal(status, answer.get("error"))


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Away("bad_answer", "決済サービスの応答を読み取れませんでした。")
    return value


def _outcome(intent: dict[str, Any]) -> Paid | Pending:
    ref, status = _text(intent, "id"), intent.get("status")
    if status == "succeeded":
        return Paid(ref)
    if status in WAITING:
        return Pending(ref)
    error = intent.get("last_payment_error")
    code = _decline_code(error if isinstance(error, dict) else {}) or "authentication_required"
    raise Declined(code, REASONS.get(code, DECLINED), ref)


def _decline_code(error: dict[str, Any]) -> str:
    return str(error.get("decline_code") or error.get("code") or "")[:40]


def _refusal(status: int, error: Any) -> Declined | Away:
    """What is the customer's to mend, and what is ours or Stripe's."""
    error = error if isinstance(error, dict) else {}
    code = _decline_code(error)
    intent = error.get("payment_intent")
    ref = str(intent["id"]) if isinstance(intent, dict) and "id" in intent else None
    if status == 402 or error.get("type") == "card_error":
        return Declined(code or "card_declined", REASONS.get(code, DECLINED), ref)
    if code in {"resource_missing", "amount_too_small"}:
        return Declined(code, REASONS[code], ref)
    if status in {401, 403}:
        return Away("bad_key", "決済サービスの設定に問題があります。運用者にお問い合わせください。")
    return Away(code or f"status_{status}", f"決済サービスで問題が起きています({status})。")
