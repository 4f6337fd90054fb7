"""Other people's clouds on loopback, as strict as the real ones, and troublesome on demand."""
