"""Runs the cases: all at once, but for the moments in which one of them takes a part of a cloud away.

cleanup.sh [--only CASE]... [--list]
"""

import argparse
import os
import sys
import threading
import time
import traceback

import seed
from cloud import Cloud

from . import kept, outages, test_failover
from .scene import SOURCE, TARGET, Scene
from .turns import Turns

CASES = {case.__name__.replace("_", "-"): case for case in (*kept.CASES, *test_failover.CASES, *outages.CASES)}


class Run:
    """One case in a thread of its own."""

    def __init__(self, name, turns, folder):
        self.name, self.story, self.turns = name, CASES[name], turns
        self.scene = Scene(name, folder, turns.alone)
        turns.begin()
        self.problem = None
        self.seconds = 0
        self.thread = threading.Thread(target=self._run, name=name)

    def _run(self):
        begun = time.monotonic()
        try:
            self.story(self.scene)
        except Exception as problem:  # whatever it is, the case has failed and the others go on
            self.problem = problem
            with open(self.scene.log, "a") as log:
                traceback.print_exc(file=log)
        finally:
            self.turns.end()
        self.seconds = round(time.monotonic() - begun)
        self.tell()

    def tell(self):
        title = self.story.__doc__
        found = "; ".join(self.scene.found)
        if self.problem is None:
            print(f"ok      {self.name} ({self.seconds} s). {title}: {found}.", flush=True)
        else:
            print(f"FAILED  {self.name} ({self.seconds} s). {title}: {self.problem}", flush=True)
            print(f"        Held until then: {found or 'nothing'}. Log: {self.scene.log}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="cleanup.sh", description="Cleanup on two real OpenStack control planes.")
    parser.add_argument("--only", metavar="CASE", action="append", choices=CASES, help="this case; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    asked = parser.parse_args()
    names = [name for name in CASES if name in (asked.only or CASES)]
    if asked.list:
        for name in names:
            print(f"{name:28} {CASES[name].__doc__}")
        return 0
    networks()
    turns = Turns()
    folder = os.path.join(os.environ["E2E_DIR"], "log")
    runs = [Run(name, turns, folder) for name in names]
    for run in runs:
        run.thread.start()
    for run in runs:
        run.thread.join()
    failed = [run.name for run in runs if run.problem]
    print(f"{len(runs) - len(failed)} of {len(runs)} cases hold." + (f" Not: {', '.join(failed)}." if failed else ""))
    return 1 if failed else 0


def networks():
    """prod-net on both sites, as every case's server wants it; test-net on the target, which test failovers use."""
    for site in (SOURCE, TARGET):
        seed.make_network(Cloud(site))
    test_failover.make_test_network(Cloud(TARGET))


if __name__ == "__main__":
    sys.exit(main())
