"""No byte of one client's exchange reaches another, nor another's worker: clients and workers of every manner at once, each byte compared.
DROVER_SEED=n throws other dice."""

import os
import sys

from drover_case import DroverCase, main
from isolation_load import Isolation, Judge
from isolation_marks import WHOLE

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workers", "isolation_worker.py")
SEED = os.environ.get("DROVER_SEED", "5")


class IsolationCase(DroverCase):
    def play(self, clients, connections, lie="", **pool):
        cluster = self.cluster()
        folder = cluster.path("told")
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        keys = {"command": [sys.executable, WORKER, folder, "${PORT}", *([lie] if lie else [])], "workers": 2, "outlier": {"errors": 0, "ratio": "0%"},
                "queue": {"max": 10_000, "wait": "60s"}, "retry": {"attempts": 4, "budget": "100%"}, **pool}
        cluster.configure({"shop": keys}, proxy={"threads": 2}).start()
        load = Isolation(cluster.port(), clients, connections, f"{SEED} {self.id()}").join()
        retries = cluster.metric("drover_retries_total")
        cluster.stop()
        judge = Judge(folder, load.exchanges, load.overtaken)
        print(f"\n{len(load.exchanges)} exchanges, {sum(judge.seen.values())} came to a worker, {retries:.0f} retries, "
              f"{dict(sorted(load.counts.items()))}")
        return load, judge, retries


class Isolated(IsolationCase):
    def isolated(self, connections, **pool):
        load, judge, retries = self.play(24, connections, **pool)
        self.assertEqual(load.wrong, [], f"on the clients' side; seed {SEED}")
        self.assertEqual(judge.wrong, [], f"on the workers' side; seed {SEED}")
        self.assertGreater(retries, 0)
        for what in (*WHOLE, "cut", "502", "cuts-request", "leaves-at-once", "leaves-inside", "resets-inside"):
            self.assertGreater(load.counts[what], 0, f"nothing of that kind took place: {what}")

    def test_WithConnectionsThatAreReused_NoByteGoesAstray(self):
        self.isolated(60)

    def test_WithOneConnectionAtATime_NoByteGoesAstray(self):
        self.isolated(20, concurrency=1, workers=12)  # one that breaks is let alone for a moment


class Noticed(IsolationCase):
    """The two above can fail."""

    def test_AnAnswerThatIsAnothers_IsNoticed(self):
        load, judge, _ = self.play(8, 40, lie="answer")
        self.assertNotEqual(load.wrong, [])
        self.assertEqual(judge.wrong, [])

    def test_ARequestWithBytesOfAnother_IsNoticed(self):
        load, judge, _ = self.play(8, 20, lie="record")
        self.assertEqual(load.wrong, [])
        self.assertNotEqual(judge.wrong, [])


if __name__ == "__main__":
    main()
