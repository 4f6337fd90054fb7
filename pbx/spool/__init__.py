"""The spool: recordings on their way from Asterisk to the store, and what is known of them."""
