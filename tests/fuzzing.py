"""Properties of decoders, tried on many random inputs.

``make test`` tries 200 inputs of each, and ``make fuzz`` 10,000, or ``CASES``.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get("CASES") or 200)

# Whatever the input: another one may take longer on a busy machine.
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
