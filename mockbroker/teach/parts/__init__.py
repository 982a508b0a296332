"""The parts of the demo, in the order of the tutorial."""
