"""Calls back after an emergency call. Pure: the switch's own configuration has it, too."""

from datetime import timedelta

CALLBACK_AWAITED = timedelta(hours=1)
"""For so long after an emergency call every call to the account rings its devices."""
