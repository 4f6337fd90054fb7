"""Word of a message to every chat: one worker, one file per service."""
