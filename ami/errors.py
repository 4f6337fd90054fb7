"""How asking Asterisk fails."""


class AsteriskAway(Exception):
    """Asterisk cannot be reached; what was asked may or may not have been done."""


class AsteriskRefused(Exception):
    """Asterisk refused a request that should have been right."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"Asterisk answered {status}: {reason}")
