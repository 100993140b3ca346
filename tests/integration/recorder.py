"""The test's side of workers/raw_worker.py: writes its script, reads what it got, opens and awaits its marks."""

import json
import os

from processes import read, wait_until

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workers", "raw_worker.py")


class Recorder:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
        self.script = {"/.process": [["process"]]}
        self.write()

    def command(self):
        return ["python3", WORKER, self.folder, "${PORT}"]

    def write(self):
        path = os.path.join(self.folder, "script.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.script, file)
        os.replace(path + ".new", path)

    def on(self, path, *actions):
        self.script[path] = [list(action) for action in actions]
        self.write()

    def answer(self, path, raw, *then):
        """The usual script: read the body, send these bytes."""
        self.on(path, ["body"], ["send", raw], *then)

    def received(self):
        """Every byte of every connection, one connection after the other."""
        return b"".join(read(os.path.join(self.folder, name)) for name in sorted(os.listdir(self.folder)) if name.endswith(".bin"))

    def size(self):
        return sum(os.path.getsize(os.path.join(self.folder, name)) for name in os.listdir(self.folder) if name.endswith(".bin"))

    def events(self, target=None):
        lines = read(os.path.join(self.folder, "events")).decode().splitlines()
        return [event for event in map(json.loads, lines) if target is None or event["target"] == target]

    def open(self, name):
        """Lets a ["wait", name] go on."""
        with open(os.path.join(self.folder, name), "w", encoding="ascii"):
            pass

    def has(self, name):
        return os.path.exists(os.path.join(self.folder, name))

    def await_mark(self, name, seconds=10):
        wait_until(lambda: self.has(name), seconds, f"the worker reaches '{name}'")
