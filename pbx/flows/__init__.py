"""One file, one linear coroutine, per kind of call."""
