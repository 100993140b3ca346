#!/usr/bin/env python3
"""Adds a strategy exactly as docs/STRATEGIES.md says, to a copy of the rooms concerned, and holds it to the conformance suite.

Only what includes the table is compiled; the rest is the build's own.

usage: strategies_doc_test.py SOURCE_DIRECTORY BUILD_DIRECTORY
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()
BUILD = pathlib.Path(sys.argv[2]).resolve()
ROOMS = ["base", "board", "config", "balancer"]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, command))}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done.stdout


def walk_through():
    """Of the document: the new file's path and text, the table's path and the row, the filter that it gives for the suite."""
    text = (SOURCE / "docs/STRATEGIES.md").read_text()
    part = text[text.index("\n## Adding a strategy\n"):]
    blocks = re.findall(r"`([\w/.]+)`:\n\n```cpp\n(.*?)```\n", part, re.DOTALL)
    suite = re.search(r"balancer_test --gtest_filter='([^']+)'", part)
    return blocks, suite.group(1)


class TheWalkThrough(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="drover-strategy-")
        self.addCleanup(folder.cleanup)
        self.copy = pathlib.Path(folder.name)
        for room in ROOMS:
            shutil.copytree(SOURCE / room, self.copy / room)

    def compile(self, path, like):
        """`path` in the copy, with the command that the build has for `like`."""
        commands = json.loads((BUILD / "compile_commands.json").read_text())
        found = next(each for each in commands if pathlib.Path(each["file"]) == SOURCE / like)
        words = shlex.split(found["command"])
        target = self.copy / (pathlib.Path(path).stem + ".o")
        words[words.index("-o") + 1] = str(target)
        words[words.index("-c") + 1] = str(self.copy / path)
        # The copy's headers before the source's.
        words.insert(next(i for i, word in enumerate(words) if word.startswith("-I")), f"-I{self.copy}")
        run(words, cwd=found["directory"])
        return target

    def link(self, target, objects):
        """The build's program `target`, with these objects before its libraries: what they define is not taken from there."""
        ninja = shutil.which("ninja") or "ninja"
        line = run([ninja, "-C", BUILD, "-t", "commands", "-s", target]).strip().splitlines()[-1]
        line = re.sub(r"^: && | && :$", "", line.strip())
        words = shlex.split(line.split(" && ")[0])
        at = words.index("-o") + 1
        program = self.copy / pathlib.Path(target).name
        words[at] = str(program)
        words[at - 1:at - 1] = [str(each) for each in objects]
        run(words, cwd=BUILD)
        return program

    def test_OneFileAndOneRow_AndTheSuiteAndTheConfigurationKnowIt(self):
        blocks, suite = walk_through()
        self.assertEqual([path for path, _ in blocks], [blocks[0][0], "config/strategies.def"], "one file and one row")
        (path, text), (table, row) = blocks
        self.assertFalse((SOURCE / path).exists(), path)
        (self.copy / path).write_text(text)
        (self.copy / table).write_text((self.copy / table).read_text() + row)
        name = re.match(r'DROVER_STRATEGY\("([\w-]+)"', row).group(1)
        self.assertEqual(len(row.strip().splitlines()), 1)
        # What a build takes up by itself: every file of the room.
        self.assertRegex((SOURCE / "balancer/CMakeLists.txt").read_text(), r"file\(GLOB \w+ CONFIGURE_DEPENDS [^)]*/\*\.cpp\)")

        objects = [
            self.compile(path, "balancer/round_robin.cpp"),
            self.compile("balancer/strategies.cpp", "balancer/strategies.cpp"),
            self.compile("config/keys_pool.cpp", "config/keys_pool.cpp"),
        ]
        program = self.link("tests/balancer/balancer_test", objects)
        said = run([program, f"--gtest_filter={suite}:Strategies.*:StrategyTable.*"])
        passed = int(re.search(r"\[  PASSED  \] (\d+) test", said).group(1))
        self.assertGreater(passed, 15, said)

        drover = self.link("drover", objects)
        config = self.copy / "cluster.toml"
        config.write_text(f'[pool.shop]\ncommand = ["sleep", "1"]\nstrategy = "{name}"\n')
        run([drover, "check", config])
        self.assertIn(f"`{name}`", run([drover, "check", "--keys"]).replace('"', "`"))
        # And that it is this row that makes it so.
        before = subprocess.run([BUILD / "drover", "check", config], capture_output=True, text=True)
        self.assertEqual(before.returncode, 78, before.stdout + before.stderr)
        self.assertIn(name, before.stdout + before.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
