"""The database's history, one revision per change, run by `store.migrate`."""
