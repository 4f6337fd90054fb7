"""How much is taken, and how long it may take. Pure."""

LONGEST_TEXT = 500
"""Signs; about 80 s of speech."""

LONGEST_PROMPT_S = 120.0
LARGEST_UPLOAD_BYTES = 20 * 1024 * 1024

SYNTHESIS_LIMIT_S = 30.0
"""The longest text takes 5 s on one core; a machine full of calls is slower."""

PREPARING_LIMIT_S = 40.0
WAITING_LIMIT_S = 30.0
"""How long a request waits for those before it."""

LONGEST_QUEUE = 8
IDLE_S = 120.0
"""The synthesiser keeps its 230 MB so long after the last request."""
