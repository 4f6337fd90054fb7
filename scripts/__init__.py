"""Programs for people and for `make`: set-up, demo, voices."""
