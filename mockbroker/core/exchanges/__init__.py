"""Exchanges: one room for each type. They answer destinations and never deliver; `base` is the place to
start."""
