"""The broker itself: sans-I/O and single-threaded. Read `node` first, then `channel`, `queues`."""
