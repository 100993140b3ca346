#!/usr/bin/env python3
"""Checks what the compiler does not: who includes whom, how headers open, how long files are.

usage: rooms_test.py SOURCE_DIRECTORY
"""

import pathlib
import re
import sys
import tempfile
import unittest

# A room and the rooms it may include beside itself; the same graph stands in docs/ARCHITECTURE.md.
MAY_INCLUDE = {
    "base": set(),
    "board": {"base"},
    "config": {"base"},
    "balancer": {"base", "board", "config"},
    "ipc": {"base"},
    "backends": {"base", "board", "config", "balancer", "ipc"},
    "proxy": {"base", "board", "config", "balancer", "ipc"},
    "admin": {"base", "board", "config", "balancer", "backends"},
    "app": {"base", "board", "config", "balancer", "ipc", "backends", "proxy", "admin"},
}
MOST_LINES = 500
CODE = {".hpp", ".cpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def sources(root, folders):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CODE and path.is_file():
                yield path


def wrong_includes(root):
    for room, allowed in MAY_INCLUDE.items():
        for path in sources(root, [room]):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                other = found.group(1).split("/")[0]
                if other != room and other not in allowed:
                    yield f"{path.relative_to(root)}:{number}: room {room} may not include {found.group(1)}"


def wrong_links(root):
    for room, allowed in MAY_INCLUDE.items():
        lists = root / room / "CMakeLists.txt"
        if not lists.exists():
            continue
        text = re.sub(r"#.*", "", lists.read_text())
        linked = set(re.findall(r"\bdrover_([a-z]+)\b", text))
        for deps in re.findall(r"\bDEPS\b([^)]*)", text):
            linked |= set(re.split(r"\b(?:LIBS|SOURCES)\b", deps)[0].split())
        for other in sorted(linked & set(MAY_INCLUDE) - allowed - {room}):
            yield f"{lists.relative_to(root)}: room {room} may not link {other}"


def wrong_openings(root):
    for path in sources(root, list(MAY_INCLUDE) + ["tests"]):
        if path.suffix != ".hpp":
            continue
        opening = []
        for line in path.read_text().splitlines():
            if not line.startswith("//"):
                break
            opening.append(line)
        text = "\n".join(opening)
        missing = [word for word in ("Role:", "Thread:") if word not in text]
        if not re.search(r"\bown", text, re.IGNORECASE):
            missing.append("who owns what")
        if len(opening) < 2 or missing:
            yield f"{path.relative_to(root)}: opens without {', '.join(missing) or 'its three lines'}"


def too_long(root):
    for path in sources(root, list(MAY_INCLUDE) + ["tests"]):
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, at most {MOST_LINES}"


class Rooms(unittest.TestCase):
    root = pathlib.Path(".")

    def none_of(self, findings):
        found = list(findings)
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_rooms_include_only_what_they_may(self):
        self.none_of(wrong_includes(self.root))

    def test_rooms_link_only_what_they_may(self):
        self.none_of(wrong_links(self.root))

    def test_headers_open_with_role_thread_and_ownership(self):
        self.none_of(wrong_openings(self.root))

    def test_files_stop_at_their_limit(self):
        self.none_of(too_long(self.root))

    def test_every_room_is_there(self):
        for room in MAY_INCLUDE:
            self.assertTrue(any(sources(self.root, [room])), room)


class ThisTestCanFail(unittest.TestCase):
    """A planted offence of each kind is found."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for room in MAY_INCLUDE:
            (self.root / room).mkdir()

    def tearDown(self):
        self.folder.cleanup()

    def put(self, name, text):
        (self.root / name).write_text(text)

    def test_include(self):
        self.put("proxy/a.cpp", '#include <vector>\n#include "base/a.hpp"\n#include "backends/a.hpp"\n')
        self.put("base/b.cpp", '# include "board/a.hpp"\n')
        self.put("board/c.cpp", '#include "gate.hpp"\n')
        self.assertEqual(len(list(wrong_includes(self.root))), 3)

    def test_link(self):
        self.put("ipc/CMakeLists.txt", "drover_room(ipc SOURCES a.cpp DEPS base proxy LIBS x)\n")
        self.put("board/CMakeLists.txt", "target_link_libraries(drover_board PUBLIC drover_config)\n")
        self.assertEqual(len(list(wrong_links(self.root))), 2)

    def test_opening(self):
        self.put("base/a.hpp", "// Role: x\n// Thread: any\n#pragma once\n")
        self.put("base/b.hpp", "#pragma once\n// Role: x. Thread: y. Ownership: z\n")
        self.put("base/c.hpp", "// Role: x\n// Thread: any\n// Ownership: none\n#pragma once\n")
        self.assertEqual(len(list(wrong_openings(self.root))), 2)

    def test_length(self):
        self.put("app/a.cpp", "int x;\n" * (MOST_LINES + 1))
        self.put("app/b.cpp", "int x;\n" * MOST_LINES)
        self.assertEqual(len(list(too_long(self.root))), 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Rooms.root = pathlib.Path(sys.argv.pop()).resolve()
    unittest.main()
