"""AMQP 0-9-1 for clients of any kind: what they say, in methods and in bytes.

Owns: the way from frames to the core's operations and back.
Refuses to know: the rules of the broker. It translates; the core decides.

``methods.py`` is the protocol's table, ``conversation.py`` the talk of one connection in methods; the modules
above them put it into bytes and onto sockets.
"""
