"""Who may use the clouds: cases run side by side, but a case that breaks a service of a cloud runs alone."""

import threading
from contextlib import contextmanager


class Turns:
    """Counts the cases that need the clouds whole; `alone` waits until there is none, and lets one in at a time."""

    def __init__(self):
        self._changed = threading.Condition()
        self._busy = 0
        self._alone = False

    def begin(self):
        with self._changed:
            self._busy += 1

    def end(self):
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    @contextmanager
    def alone(self):
        """To be entered by a case that has begun; the others have ended or wait here too."""
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._busy == 0 and not self._alone)
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._busy += 1
                self._changed.notify_all()
