"""docs/CONFORMANCE.md: every test that it names exists, every conformance test is named, every row is whole."""

import ast
import glob
import os
import re
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "CONFORMANCE.md")


def tests(pattern):
    """{"Class.test_Name"} of the files that match."""
    found = set()
    for path in glob.glob(os.path.join(HERE, pattern)):
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for each in tree.body:
            if isinstance(each, ast.ClassDef):
                found |= {f"{each.name}.{part.name}" for part in each.body if isinstance(part, ast.FunctionDef) and part.name.startswith("test_")}
    return found


def rows():
    with open(TABLE, encoding="utf-8") as file:
        text = file.read().split("## Requirements", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class Table(unittest.TestCase):
    def test_EveryRow_HasASectionARequirementAnActAndAProof(self):
        self.assertGreater(len(rows()), 50)
        for row in rows():
            with self.subTest(row[0] + " " + row[1]):
                self.assertEqual(len(row), 4)
                self.assertTrue(all(row))
                self.assertRegex(row[0], r"^(9110|9112|6455) \d")

    def test_EveryTestNamed_Exists(self):
        there = tests("test_*.py")
        for row in rows():
            for name in re.split(r",\s*", row[3]):
                with self.subTest(name):
                    self.assertIn(name, there)

    def test_EveryConformanceTest_IsNamed(self):
        named = {name for row in rows() for name in re.split(r",\s*", row[3])}
        own = {name for name in tests("test_conformance_*.py") if not name.startswith("Table.")}
        self.assertEqual(own - named, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
