"""How long a counter of the library `limits` refuses."""

import math
import time

from limits import RateLimitItem
from limits.strategies import RateLimiter


def seconds_left(limiter: RateLimiter, limit: RateLimitItem, key: str) -> int:
    """Until there is room for another on a counter that is full; at least 1."""
    again = limiter.get_window_stats(limit, key).reset_time - time.time()
    return max(1, math.ceil(again))
