"""A library: Asterisk's manager interface, for every service that needs it."""
