"""What an operator can set: `DENWABAN_*` variables and a `.env`, read once at start, typed."""

from settings.environment import Settings, SettingsRefused, read_settings

__all__ = ["Settings", "SettingsRefused", "read_settings"]
