"""Who issues invoices, and through whom cards are charged."""

from dataclasses import dataclass, field

DEMO_ISSUER = {
    "issuer_name": "デモ通信株式会社",
    "issuer_number": "T9000000000000",
    "issuer_address": "東京都千代田区千代田1-1",
    "issuer_contact": "電話 03-0000-0000",
    "bank_account": "デモ銀行 本店 普通 0000000 デモツウシン(カ",
}
"""Nobody's: for the embedded default only."""


@dataclass(frozen=True)
class BillingSettings:
    """Without a name and a registration number no invoice is issued."""

    issuer_name: str = ""
    issuer_number: str = ""
    """適格請求書発行事業者の登録番号, `T` and 13 digits."""

    issuer_address: str = ""
    issuer_contact: str = ""
    bank_account: str = ""
    """Where transfers go, in one line."""

    stripe_url: str = "https://api.stripe.com"
    stripe_key: str | None = field(default=None, repr=False)

    @property
    def can_issue(self) -> bool:
        return bool(self.issuer_name and self.issuer_number)
