"""Settings of tests that check properties on random inputs.

``make test`` tries 200 inputs per test, ``make fuzz`` 10,000; ``CASES`` overrides both.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get("CASES") or 200)

# No deadline for one input: times vary on a busy machine.
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
