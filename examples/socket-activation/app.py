"""A small WSGI application; it knows nothing of drover."""

import json
import os


def app(environ, start_response):
    body = (json.dumps({"message": "Hello from gunicorn", "pid": os.getpid(), "path": environ["PATH_INFO"]}) + "\n").encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
