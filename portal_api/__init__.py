"""The customer's and the operator's HTTP API: one process, `python -m portal_api`."""
