"""The fax gateway: documents into fax pages, the queue of what goes out, what came in. One process."""
