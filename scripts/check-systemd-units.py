#!/usr/bin/env python3
"""Fails when a unit in etc/systemd loses a part of its hardening, or gets a rating worse than it had.

Where systemd-analyze can be had it also reads the units (verify) and rates them (security).
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

UNITS = pathlib.Path(__file__).parent.parent / "etc" / "systemd"

# The worst rating that is let through, in tenths: systemd calls up to 2.0 "OK".
WORST_EXPOSURE = 15

# What each service must say, each of these words. A key may be written on several lines.
REQUIRED = {
    "User": {"protector"},
    "Group": {"protector"},
    "NoNewPrivileges": {"yes"},
    "CapabilityBoundingSet": {""},
    "AmbientCapabilities": {""},
    "ProtectSystem": {"strict"},
    "ProtectHome": {"yes"},
    "PrivateTmp": {"yes"},
    "PrivateDevices": {"yes"},
    "PrivateUsers": {"yes"},
    "ProtectClock": {"yes"},
    "ProtectControlGroups": {"yes"},
    "ProtectHostname": {"yes"},
    "ProtectKernelLogs": {"yes"},
    "ProtectKernelModules": {"yes"},
    "ProtectKernelTunables": {"yes"},
    "ProtectProc": {"invisible"},
    "ProcSubset": {"pid"},
    "RestrictAddressFamilies": {"AF_INET AF_INET6 AF_UNIX"},
    "RestrictNamespaces": {"yes"},
    "RestrictRealtime": {"yes"},
    "RestrictSUIDSGID": {"yes"},
    "LockPersonality": {"yes"},
    "MemoryDenyWriteExecute": {"yes"},
    "RemoveIPC": {"yes"},
    "SystemCallArchitectures": {"native"},
    "SystemCallFilter": {"@system-service", "~@privileged @resources"},
    "ReadOnlyPaths": {"/etc/protector"},
    "UMask": {"0027"},
    "StateDirectory": {"protector"},
    "StateDirectoryMode": {"0750"},
    "LogsDirectory": {"protector"},
    "LogsDirectoryMode": {"0750"},
    "LimitCORE": {"0"},
    "LimitNOFILE": {"65536"},
}


def settings(unit: pathlib.Path) -> dict[str, set[str]]:
    """The keys of the unit's [Service] section with their values."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in unit.read_text().splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key.strip(), set()).add(value.strip())
    return found


def lost(unit: pathlib.Path) -> list[str]:
    found = settings(unit)
    return [
        f"{unit.name}: {key}= must be {' and '.join(sorted(wanted)) or 'empty'}, it is {sorted(found.get(key, set())) or 'not there'}"
        for key, wanted in REQUIRED.items()
        if found.get(key, set()) != wanted
    ]


def rated(unit: pathlib.Path) -> list[str]:
    """What systemd itself says. The programs need not be installed here."""
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory, unit.name)
        text = unit.read_text()
        for program in ("protector-api", "protector-engine"):
            text = text.replace(f"ExecStart=/usr/bin/{program}", "ExecStart=/bin/true")
        copy.write_text(text)
        verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)]
        security = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={WORST_EXPOSURE}", str(copy)]
        said = []
        for command in (verify, security):
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if ran.returncode:
                said.append(f"{unit.name}: {' '.join(command[:2])}: {(ran.stderr.strip() or ran.stdout.strip())[-600:]}")
            elif command is security:
                print(ran.stdout.strip().splitlines()[-1].encode("ascii", "ignore").decode().strip())
        return said


def main() -> int:
    units = sorted(UNITS.glob("*.service"))
    problems = [] if len(units) == 2 else [f"two services are expected in {UNITS}"]
    for unit in units:
        problems += lost(unit)
        if shutil.which("systemd-analyze"):
            problems += rated(unit)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("systemd units: hardened as they were")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
