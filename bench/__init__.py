"""The benchmark: the same load on our call flow and on a plain dialplan that does the same. `make bench`."""
