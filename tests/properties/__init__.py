"""Properties of the whole broker, beside a model of plain dicts."""
