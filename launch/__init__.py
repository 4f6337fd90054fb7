"""Starts and minds one instance: Asterisk, the control plane, the API. `python -m launch`, or `make run`."""
