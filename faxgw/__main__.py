"""The gateway of faxes: one process."""

from faxgw.main import main

main()
