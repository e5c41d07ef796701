"""What an answer claims without ground: values that no tool returned, and work that no tool did."""

from assistant.claims.claims import Claim, find_unsupported, tell
from assistant.claims.ground import Ground

__all__ = ["Claim", "Ground", "find_unsupported", "tell"]
