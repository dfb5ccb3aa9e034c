"""A guest of a volume that writes numbered blocks one after the other, each said to be on the disk before the next is written.

python -m moves.guest SITE IMAGE SEED    writes, and prints the number of each block that is on the disk
"""

import hashlib
import os
import signal
import subprocess
import sys
import time

import disks
from terminal import PATIENCE, NotSo

BLOCK = 64 << 10
# Where its blocks begin, in MiB: behind what `application.fill` writes.
PLACE = 512
# Enough for minutes, and all of it fits on the volume.
BLOCKS = 20_000
PAUSE = 0.02


def block(seed, number):
    """What the block of this number holds."""
    return hashlib.sha256(f"{seed}:{number}".encode()).digest() * (BLOCK // 32)


class Guest:
    """The process that writes, and what it has said."""

    def __init__(self, site, image, log):
        self.seed = os.urandom(8).hex()
        self.said = log
        with open(log, "w") as out:
            command = [sys.executable, "-m", "moves.guest", site, image, self.seed]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def acknowledged(self):
        """How many blocks are on the disk, for all that the guest was told."""
        with open(self.said) as file:
            lines = file.read().split("\n")[:-1]
        wrong = [line for line in lines if not line.isdigit()]
        if wrong:
            raise NotSo(f"the guest ended: {wrong[-1]}")
        return int(lines[-1]) + 1 if lines else 0

    def reaches(self, count):
        """Waits until so many are."""
        end = time.monotonic() + PATIENCE
        while self.acknowledged() < count:
            if time.monotonic() > end:
                raise NotSo(f"the guest has written {self.acknowledged()} blocks, not {count}")
            time.sleep(0.1)

    def stop(self):
        """As when its server is stopped: the image is closed."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE)
        return self.acknowledged()

    def kill(self):
        """As when its host is lost."""
        self.process.kill()
        self.process.wait()
        return self.acknowledged()


def prefix(site, image, seed):
    """How many blocks there are in a row from the first one on; and the number of the first one after that gap, or None."""
    count, stray = None, None
    with disks.of(site).image(image) as disk:
        for number in range(BLOCKS):
            same = disk.read(PLACE * disks.MIB + number * BLOCK, BLOCK) == block(seed, number)
            if count is None and not same:
                count = number
            elif count is not None and same:
                stray = number
                break
            elif count is not None and number > count + BLOCKS // 10:
                break
    return count or 0, stray


def main(site, image, seed):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with disks.of(site).image(image, write=True) as disk:
        for number in range(BLOCKS):
            disk.write(block(seed, number), PLACE * disks.MIB + number * BLOCK)
            disk.flush()
            print(number, flush=True)
            if ended:
                return
            time.sleep(PAUSE)
        while not ended:
            time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
