"""What each table is for, as far as others must know: a test asks for a word about every new one."""

SETTINGS = frozenset(
    {
        "accounts",
        "phone_numbers",
        "devices",
        "prompts",
        "whitelists",
        "whitelist_entries",
        "notification_rules",
        "notification_services",
        "rusurepo_rules",
        "rusurepo_settings",
        "schedules",
        "device_calling",
        "outbound_settings",
        "ring_plans",
        "blocked_callers",
        "recording_settings",
        "fax_settings",
        "fax_access",
        "phonebook_entries",
        "phonebook_numbers",
        "phonebook_contracts",
        "device_phonebooks",
    }
)
"""What an account's people chose. Exported with the account; every change stands in the audit log."""

RECORDS = frozenset(
    {
        "voice_messages",
        "transcripts",
        "recordings",
        "recording_transcripts",
        "faxes",
        "fax_submissions",
        "tokens",
        "users",
        "user_devices",
        "phonebook_links",
        "deliveries",
        "calls",
        "call_journal",
        "call_legs",
        "failed_logins",
        "charges",
        "contracts",
        "invoices",
        "payment_methods",
        "payments",
        "subscriptions",
        "tariffs",
        "top_ups",
        "trunks",
    }
)
"""What happened, who may come in, and what all accounts share. Not exported."""

WORKINGS = frozenset(
    {
        "jobs",
        "revisions",
        "chores",
        "part_reports",
        "sign_in_counts",
        "audit_log",
        "events",
        "idempotency_keys",
        "phonebook_imports",
        "fax_attempts",
        "credit_accounts",
        "credit_months",
        "credit_reservations",
        "fax_peers",
        "channel_events_read",
        "registrations",
        "trunk_registrations",
        "provisioning_links",
        "device_releases",
        "blocked_addresses",
    }
)
"""How the parts tell each other things. In no audit log."""

NOT_AUDITED = WORKINGS | {"calls", "call_journal", "call_legs", "failed_logins"}
PASSING = frozenset({"part_reports", "sign_in_counts", "registrations", "trunk_registrations"})
"""True for a moment only: in no back-up."""
