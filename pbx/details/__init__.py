"""Call details: from what Asterisk notes of its channels (CEL) to one record per call leg."""
