# SPDX-License-Identifier: Apache-2.0
"""What the ``openstack`` command asks of a plugin."""

from __future__ import annotations

import argparse
import re
from typing import Any

from osc_lib import exceptions, utils

from protectorclient.osc import clouds, logs

DEFAULT_API_VERSION = "1"
API_VERSION_OPTION = "os_protector_api_version"
API_NAME = "protector"
API_VERSIONS = ("1", "1.0", "1.1", "1.2", "1.3")


def make_client(instance: Any) -> clouds.Clouds:
    """Return the protectors of the clouds that the user named."""
    return clouds.from_client_manager(instance)


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the global options; the first thing that is asked, before anything is logged."""
    logs.guard_command_line()
    parser.add_argument(
        "--os-protector-api-version",
        metavar="<protector-api-version>",
        default=utils.env("OS_PROTECTOR_API_VERSION"),
        help="Protector API version, 1.0 to 1.3; default: the newest that this client and the "
        "service both know (Env: OS_PROTECTOR_API_VERSION)",
    )
    parser.add_argument(
        "--secondary-cloud",
        metavar="<cloud>",
        default=utils.env("OS_SECONDARY_CLOUD"),
        help="Entry of clouds.yaml for the other site of a disaster recovery pair; --os-cloud is "
        "the first one (Env: OS_SECONDARY_CLOUD)",
    )
    return parser


def check_api_version(version: str) -> bool:
    """Refuse what is not a version; the service itself says which ones it knows."""
    if not re.fullmatch(r"1(\.\d+)?", version):
        raise exceptions.CommandError(
            f"--os-protector-api-version: '{version}' is not a version of the form 1 or 1.3"
        )
    return True
