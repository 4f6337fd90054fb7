"""Text of messages: one service that takes jobs, and processes of its own in which an engine listens."""
