"""What an operator can set: `DENWABAN_*` variables and a `.env`, read once at start, typed."""

from settings.access import AccessSettings
from settings.api import ApiSettings
from settings.environment import Settings, SettingsRefused, read_settings
from settings.notifications import NotificationSettings

__all__ = [
    "AccessSettings",
    "ApiSettings",
    "NotificationSettings",
    "Settings",
    "SettingsRefused",
    "read_settings",
]
