# ruff: noqa: T201 - a program that prints, as tutorials have them
import pika
from pika.exceptions import UnroutableError

connection = pika.BlockingConnection(pika.URLParameters("amqp://guest:guest@localhost:5672/%2F"))
channel = connection.channel()
queue_name = channel.queue_declare("", exclusive=True).method.queue
channel.confirm_delivery()
for number in range(3):
    channel.basic_publish("", queue_name, str(number), mandatory=True)
print(f"confirmed, {channel.queue_declare(queue_name, passive=True).method.message_count} waiting")
try:
    channel.basic_publish("", "nowhere", "lost", mandatory=True)
except UnroutableError as error:
    print(f"unroutable: {len(error.messages)}")
connection.close()
