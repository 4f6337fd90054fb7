"""Decisions about calls: pure, no waiting, no sockets."""
