"""docs/CONFORMANCE.md: every test that it names exists, every conformance test is named, every row is whole, no section is left out."""

import ast
import glob
import os
import re
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "CONFORMANCE.md")

# The sections in which the RFCs have a MUST, REQUIRED or SHALL (of RFC 6455: in section 4).
DEMANDING = {
    "9110": """2.2 2.3 2.4 3.3 4.2.1 4.2.2 4.2.4 4.3.4 5.1 5.3 5.4 5.5 5.6.1.1 5.6.1.2 5.6.3 5.6.4 5.6.7 6 6.2 6.5.1 6.5.2 6.6.1 7.1 7.2 7.4 7.6
               7.6.1 7.6.2 7.6.3 7.7 7.8 8.3.3 8.4 8.6 8.7 8.8.2.1 8.8.3 9.1 9.2.1 9.2.2 9.3.2 9.3.4 9.3.6 9.3.7 9.3.8 10.1.1 10.1.3 10.1.4
               10.1.5 10.2.1 10.2.2 11.2 11.5 11.6.1 11.6.2 11.7.1 12.4.2 12.5.3 12.5.4 12.5.5 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 13.2.1 13.2.2
               14.1.2 14.2 14.3 14.4 15 15.2 15.2.2 15.3.6 15.3.7 15.3.7.1 15.3.7.2 15.3.7.3 15.4.5 15.4.8 15.5.2 15.5.6 15.5.8 15.5.20 15.5.22
               16.1.1 16.2.1 16.3.1 16.4.1 16.4.2 16.5.1 16.6.1 16.7""",
    "9112": """1.1 2.2 2.3 3 3.2 3.2.1 3.2.2 3.2.3 3.2.4 4 5.1 5.2 6.1 6.2 6.3 7.1 7.1.1 7.1.2 7.3 7.4 8 9.2 9.3 9.3.2 9.6 9.7 9.8 10.1""",
    "6455": """4.1 4.2.1 4.2.2 4.3 4.4""",
}


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


def rows(title="Requirements"):
    with open(TABLE, encoding="utf-8") as file:
        text = file.read().split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def sections(cell):
    """{("9110", "7.6.1")}: each number belongs to the RFC that was named last before it."""
    found, document = set(), None
    for word in re.findall(r"\d[\d.]*", cell):
        if word in DEMANDING:
            document = word
        elif document:
            found.add((document, word))
    return found


class Table(unittest.TestCase):
    def test_NoSectionWithAMust_IsLeftOut(self):
        told = {each for title in ("Requirements", "Not applicable") for row in rows(title) for each in sections(row[0])}
        self.assertEqual({(document, each) for document, text in DEMANDING.items() for each in text.split()} - told, set())

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
