"""The openstack command as somebody types it, with all it says in a log."""

import os
import subprocess

OPENSTACK = os.environ["OPENSTACK"]
TESTBED = os.environ["TESTBED_HERE"]
# Seconds after which a command is taken to hang.
PATIENCE = int(os.environ.get("E2E_PATIENCE_SECONDS", "300"))


class NotSo(Exception):
    """Something is not as it should be."""


class Terminal:
    """Where commands are typed. `cloud` is the site that they are meant for, unless one names another."""

    def __init__(self, log, cloud, secondary=None):
        self.log = log
        self.cloud = cloud
        self.environment = os.environ | ({"OS_SECONDARY_CLOUD": secondary} if secondary else {})

    def openstack(self, *words, cloud=None, code=0):
        """What an openstack command prints, of errors if it is to fail; it must end with this exit code."""
        done = self.run(*words, cloud=cloud)
        said = done.stdout + done.stderr
        if done.returncode != code:
            raise NotSo(f"'openstack {' '.join(words)}' ended with {done.returncode}, not {code}: {said[-600:]}")
        return said if code else done.stdout

    def run(self, *words, cloud=None):
        """The ended process of an openstack command, whatever its exit code is."""
        command = [OPENSTACK, "--os-cloud", cloud or self.cloud, *words]
        with open(self.log, "a") as log:
            print("$ openstack", *command[1:], file=log, flush=True)
            how = {"text": True, "capture_output": True, "timeout": PATIENCE, "env": self.environment}
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, **how)
            except subprocess.TimeoutExpired:
                raise NotSo(f"'openstack {' '.join(words)}' has not ended after {PATIENCE} s") from None
            print(done.stdout, done.stderr, f"-> {done.returncode}", sep="", file=log, flush=True)
        return done

    def testbed(self, script, *words):
        """One of the testbed's own scripts."""
        with open(self.log, "a") as log:
            print("$", script, *words, file=log, flush=True)
            subprocess.run([os.path.join(TESTBED, script), *words], stdout=log, stderr=log, timeout=PATIENCE, check=True)
