"""One module per kind of thing: its schemas and its routes."""
