import pytest

from tests.fakes.exchange import virtual_now


@pytest.fixture
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall's clock goes with the loop's, for tests in virtual time."""
    for module in ("pbx.asterisk.call", "pbx.flows.runner", "store.journal"):
        monkeypatch.setattr(f"{module}.now", virtual_now)
