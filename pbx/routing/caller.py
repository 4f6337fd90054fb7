"""Who calls; the gateway of faxes must know it too, so it stands in the store."""

from store.caller_identity import REASONS, identify_caller

__all__ = ["REASONS", "identify_caller"]
