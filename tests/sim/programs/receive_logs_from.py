# ruff: noqa: T201 - a program that prints, as tutorials have them
"""receive_logs_from.py direct|topic KEY..."""

import sys

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters(host="localhost"))
channel = connection.channel()
kind, *keys = sys.argv[1:]
if not keys:
    sys.stderr.write(f"Usage: {sys.argv[0]} direct|topic KEY...\n")
    sys.exit(1)
channel.exchange_declare(exchange=f"{kind}_logs", exchange_type=kind)
queue_name = channel.queue_declare("", exclusive=True).method.queue
for key in keys:
    channel.queue_bind(exchange=f"{kind}_logs", queue=queue_name, routing_key=key)
print(" [*] Waiting for logs. To exit press CTRL+C")


def callback(ch, method, properties, body):
    print(f" [x] {method.routing_key}:{body.decode()}")


channel.basic_consume(queue=queue_name, on_message_callback=callback, auto_ack=True)
channel.start_consuming()
