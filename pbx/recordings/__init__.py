"""通話録音: from the spool of calls into the store, and its control while a call goes on."""
