"""Voices: text to speech, and uploads made ready for the telephone. A library, used by `portal_api`.

What costs memory or reads a stranger's file runs in a child process (`python -m voices`); only
`voices.studio`, which starts and minds it, and the pure modules are for other packages.
"""
