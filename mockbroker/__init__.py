"""A pure-Python, in-process emulator of RabbitMQ (AMQP 0-9-1) on a clock that the test owns."""
