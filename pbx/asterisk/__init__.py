"""Everything that touches Asterisk's sockets: the ARI session, AMI, and the call with its verbs."""
