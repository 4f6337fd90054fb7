"""Configuration for Asterisk as pure functions of the settings, and every name shared with the dialplan."""
