"""Request smuggling in every known form: what could be read in two ways is refused and reaches nobody (RFC 9112 sections 6, 7 and 11.2)."""

import conformance_cases as cases
from conformance_case import ConformanceCase
from drover_case import main
from raw_http import NoAnswer, request


class Smuggling(ConformanceCase):
    def test_TransferEncoding_InEveryDisguise_FramesOrIsRefused(self):
        self.play(cases.SMUGGLING)

    def test_ContentLength_IsOneDecimalNumberOrRefused(self):
        self.play(cases.LENGTHS)

    def test_Chunks_AreExactOrRefused_AndSentOnAsOurOwn(self):
        self.play(cases.CHUNKS)


class Oversized(ConformanceCase):
    def test_ChunksTooLongToBeHeld_AreNeverCompletedTowardsTheWorker(self):
        for case in cases.OVERSIZED:
            with self.subTest(case.name):
                connection = self.connect()
                try:
                    connection.send(case.raw)
                    self.assertIn(connection.head().status, case.refused)
                except (OSError, NoAnswer):
                    pass  # refused before all of it was sent: a reset may overtake the answer
                self.assertNotIn(b"HTTP/1.1", connection.rest())
        self.assertEqual(self.connect().exchange(request(target="/next")).status, 200)
        received = self.recorder.received()
        self.assertNotIn(b"/smuggled", received)
        self.assertNotIn(b"0\r\n\r\n", received)


if __name__ == "__main__":
    main()
