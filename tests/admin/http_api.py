"""A client of the management API, and a broker that has one, for the tests of its pages."""

from __future__ import annotations

import base64
import http.client
import json
from contextlib import contextmanager

from mockbroker import Broker

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


class Api:
    """Sends requests as one user after another; `headers` has what the last answer came with."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        self.headers = {}

    def __call__(self, method, path, body=None, auth="guest:guest", headers=None):
        token = base64.b64encode(auth.encode()).decode()
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        usual = {"authorization": f"Basic {token}", "content-type": "application/json"}
        self.connection.request(method, f"/api/{path}", data, usual if headers is None else headers)
        response = self.connection.getresponse()
        self.headers = response.headers
        text = response.read()
        return response.status, json.loads(text) if text else None


@contextmanager
def managed(rules="rabbitmq-4.0", **settings):
    """A broker with a management port, and a client of it."""
    with Broker(rules=rules, **settings) as broker, broker.listen(management=True) as endpoint:
        api = Api(endpoint.management_url)
        try:
            yield broker, api
        finally:
            api.connection.close()
        broker.check()


def bad_request(reason):
    """What a request without sense is answered with."""
    return 400, {"error": "bad_request", "reason": reason}
