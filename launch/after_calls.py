"""`python -m launch.after_calls`: all services that come after calls, in one process to save memory.

Each also runs by itself (`python -m notify` …), on this machine or another one with the same database.
"""

from billing.main import run as billing
from faxgw.main import run as faxes
from notify.main import run as notify
from pbx.signalling import run as signals
from settings.service import run_services
from transcribe.main import run as transcribe

if __name__ == "__main__":
    run_services("after_calls", signals, notify, transcribe, faxes, billing)
