#!/usr/bin/python3
"""What a guest does to an RBD image: image.py CONF POOL COMMAND IMAGE ...

write IMAGE SEED MIB [AT_MIB]   write MIB of bytes that depend on SEED, from AT_MIB on
hash IMAGE                      the SHA-256 of all of its bytes
open IMAGE                      keep it open for writing and do nothing, with a line when that is so, until it is ended
hold IMAGE                      keep it open and write, with a line for each write, until it is ended
"""

import hashlib
import sys
import time

import rados
import rbd

MIB = 1 << 20


def main() -> int:
    conf, pool, command, name, *rest = sys.argv[1:]
    cluster = rados.Rados(conffile=conf, rados_id="cinder")
    cluster.connect(timeout=20)
    pool = cluster.open_ioctx(pool)
    with rbd.Image(pool, name, read_only=command == "hash") as image:
        if command == "write":
            seed, count, at = rest[0], int(rest[1]), int(rest[2]) if len(rest) > 2 else 0
            for number in range(count):
                image.write(hashlib.shake_128(f"{seed}:{number}".encode()).digest(MIB), (at + number) * MIB)
            image.flush()
        elif command == "hash":
            whole, at, size = hashlib.sha256(), 0, image.size()
            while at < size:
                whole.update(image.read(at, min(4 * MIB, size - at)))
                at += 4 * MIB
            print(whole.hexdigest())
        elif command == "open":
            print("open", flush=True)
            while True:
                time.sleep(60)
        else:
            number = 0
            while True:
                image.write(b"%08d" % number * 512, number % 1024 * 4096)
                image.flush()
                print(number, flush=True)
                number += 1
                time.sleep(0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
