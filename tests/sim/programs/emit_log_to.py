# ruff: noqa: T201 - a program that prints, as tutorials have them
"""emit_log_to.py direct|topic KEY MESSAGE..."""

import sys

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters(host="localhost"))
channel = connection.channel()
kind, key, *words = sys.argv[1:]
channel.exchange_declare(exchange=f"{kind}_logs", exchange_type=kind)
channel.basic_publish(exchange=f"{kind}_logs", routing_key=key, body=" ".join(words))
print(f" [x] Sent {key}:{' '.join(words)}")
connection.close()
