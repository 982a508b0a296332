"""What every test relies on: hypothesis draws the same examples in every run, and takes the time it needs."""

from __future__ import annotations

import os

from hypothesis import settings

# A run is repeatable unless somebody asks for new examples: HYPOTHESIS_PROFILE=explore pytest tests/properties
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
