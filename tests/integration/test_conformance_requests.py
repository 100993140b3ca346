"""Requests to the letter: what is well-formed reaches the worker as it must, byte by byte; what is not reaches nobody."""

import conformance_requests as cases
from conformance_case import ConformanceCase
from drover_case import main


class Requests(ConformanceCase):
    def test_LinesAndCharacters(self):
        self.play(cases.LINES)

    def test_Versions(self):
        self.play(cases.VERSIONS)

    def test_TargetsAndHost(self):
        self.play(cases.TARGETS)

    def test_Methods_AndTheNumberOfHops(self):
        self.play(cases.METHODS)

    def test_Expectations(self):
        self.play(cases.EXPECTATIONS)

    def test_HopByHopFields_StayOnTheirHop_AndNoOthers(self):
        self.play(cases.HOPS)


if __name__ == "__main__":
    main()
