"""How long things may take, in seconds."""

MESSAGE_S = 50
"""A caller's message (the manual: 音声の録音時間は50秒以内)."""

MESSAGE_BACKSTOP_S = 51
"""Asterisk's own limit behind our timer; it counts whole seconds and may take one more."""

SILENCE_S = 10
"""A caller who says nothing for so long has finished."""

SHORTEST_MESSAGE_S = 1.0
"""Anything shorter is a slip of the finger, not a message."""

RING_LIMIT_S = 60
"""How long devices ring where nothing follows but an announcement."""

WHITELISTED_RING_S = 30
"""How long they ring at least for a caller of the whitelist, where 留守レポ follows."""

FAX_LIMIT_S = 60 * 60
"""Last resort behind a fax; one that is sent has a shorter one, by its pages."""

FAX_RING_S = 60
"""How long a far machine may take to answer."""

CALL_LIMIT_S = 4 * 60 * 60
"""Last resort behind every call; set before the control plane sees it."""

FALLBACK_CALL_LIMIT_S = 300
"""Last resort behind a call that the dialplan answers by itself: a long prompt, a message, an end prompt."""

DIAL_LIMIT_S = 180
"""How long a called telephone outside may ring; carriers give up sooner."""
