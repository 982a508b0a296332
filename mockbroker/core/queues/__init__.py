"""Queues: one room for each type, and for each rule that several types share; start with `base`."""
