"""Devices at the door: where they are logged in, logging them out, and who tries to break in."""
