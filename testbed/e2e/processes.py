"""The protectors that this run started, by the process ids that protectors.sh keeps."""

import os
import signal
import subprocess
import time

from terminal import PATIENCE, NotSo

SERVICES = ("api", "engine")


def _pid_file(name):
    return os.path.join(os.environ["E2E_DIR"], "pid", name)


def send(service, site, number):
    """Sends the service of a site a signal; returns its process id."""
    with open(_pid_file(f"protector-{service}-{site}")) as file:
        pid = int(file.read())
    os.kill(pid, number)
    return pid


def _lives(pid):
    """Whether it is there, and not only waits for its end to be asked after: one that `start` has started is our own child."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end(service, site, number=signal.SIGTERM):
    """Ends the service of a site, and waits until it is gone."""
    pid = send(service, site, number)
    deadline = time.monotonic() + PATIENCE
    while _lives(pid):
        if time.monotonic() > deadline:
            raise NotSo(f"protector-{service} of {site} does not stop")
        time.sleep(0.1)


def start(service, site):
    """Starts it again as protectors.sh did."""
    folder = os.environ["E2E_DIR"]
    name = f"protector-{service}-{site}"
    command = [os.path.join(os.environ["BIN"], f"protector-{service}")]
    command += ["--config-file", os.path.join(folder, site, "protector.conf")]
    with open(os.path.join(folder, "log", name + ".log"), "a") as log:
        again = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    with open(_pid_file(name), "w") as file:
        print(again.pid, file=file)
