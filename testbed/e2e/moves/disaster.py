"""The loss of a site: its control plane, its protector and its array, all at once, and its return."""

import signal
import sys
from contextlib import contextmanager

import disks
import processes


def lose_refusing(terminal, site):
    """Everything has ended: connections are refused."""
    for service in processes.SERVICES:
        processes.end(service, site, signal.SIGKILL)
    terminal.testbed("ctl.sh", "kill", site)


def regain_refusing(terminal, site):
    terminal.testbed("up.sh", site)
    for service in processes.SERVICES:
        processes.start(service, site)


def lose_hanging(terminal, site):
    """Everything is frozen: connections are taken, and nobody ever answers."""
    for service in processes.SERVICES:
        processes.send(service, site, signal.SIGSTOP)
    terminal.testbed("ctl.sh", "pause", site)


def regain_hanging(terminal, site):
    terminal.testbed("ctl.sh", "resume", site)
    for service in processes.SERVICES:
        processes.send(service, site, signal.SIGCONT)
    # A database or a broker that lost its connections meanwhile may have taken a service with it.
    terminal.testbed("up.sh", site)


KINDS = {"refusing": (lose_refusing, regain_refusing), "hanging": (lose_hanging, regain_hanging)}


def ends(signal_number, _frame):
    sys.exit(128 + signal_number)


@contextmanager
def lost(terminal, site, kind):
    """The site is away while the body runs, and back at its end in the state in which it was lost; also if the story ends."""
    lose, regain = KINDS[kind]
    signal.signal(signal.SIGTERM, ends)
    backend = disks.of(site)
    backend.lose(kind)
    lose(terminal, site)
    try:
        yield
    finally:
        backend.regain(kind)
        regain(terminal, site)


def main(*sites):
    """Forgets what a story which was killed has left lost: the stage is emptied next."""
    for site in sites:
        disks.of(site).wake()


if __name__ == "__main__":
    main(*sys.argv[1:])
