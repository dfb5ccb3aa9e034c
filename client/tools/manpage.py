# SPDX-License-Identifier: Apache-2.0
"""Write the manual page: ``python -m tools.manpage > man/openstack-dr.1``."""

from __future__ import annotations

import argparse
import sys
from importlib import metadata

from tools.commands import Described, described, takes_value, value_of

_HEAD = r""".TH OPENSTACK\-DR 1 "" "python\-protectorclient {version}" "OpenStack disaster recovery"
.SH NAME
openstack\-dr \- disaster recovery of virtual machines between two OpenStack clouds
.SH SYNOPSIS
.B openstack
.RB [ \-\-os\-cloud
.IR cloud ]
.RB [ \-\-secondary\-cloud
.IR cloud ]
.B dr
.I command
.RI [ argument ...]
.SH DESCRIPTION
The plugin
.I python\-protectorclient
adds these commands to
.BR openstack (1).
Each is also there as
.BR "openstack protector ..." ,
with the same arguments.
.PP
A protection group is a set of servers that fail over together from one site to another. A site
is an OpenStack cloud
with its own protector service. An operation belongs to the site where it was started; the other
site keeps a copy of
its record.
.SH GLOBAL OPTIONS
.TP
.BI \-\-os\-cloud " cloud"
The cloud whose protector is asked, an entry of
.IR clouds.yaml ;
it should be named as its site. Default:
.BR OS_CLOUD .
.TP
.BI \-\-secondary\-cloud " cloud"
The other site's cloud. Default:
.BR OS_SECONDARY_CLOUD .
.TP
.BI \-\-os\-protector\-api\-version " version"
1.0 to 1.2. Default:
.BR OS_PROTECTOR_API_VERSION ,
or the newest that client and service both know.
.SH WHEN A SITE IS GONE
.nf
openstack dr failover prod\-web\-app \-\-unplanned
openstack dr retry prod\-web\-app \-\-wait
.fi
.PP
The first looks for the site that can take over, needs nothing of the other one, shows the
recovery point, and asks before
it starts. The second recovers servers that the first could not. When the lost site is back:
.PP
.nf
openstack dr fence prod\-web\-app \-\-wait
openstack dr operation cleanup <operation\-id of the failover>
.fi
.PP
The first stops what still runs there; the second deletes it.
.SH COMMANDS
"""

_TAIL = r""".SH OUTPUT
Commands that show something print a table. With
.BR "\-f json" ,
.BR yaml ,
.B value
and, for lists,
.B csv
the values come in a form for scripts;
.B \-c
.I name
chooses columns. What is not the answer itself, such as progress, warnings, questions and the
next command, goes to stderr.
.SH EXIT STATUS
.TP
.B 0
Done, or accepted by the service.
.TP
.B 1
Refused, failed, or not confirmed; with
.B \-\-wait
the operation ended failed or not all servers were recovered; something is left after a cleanup;
a check found an error.
.TP
.B 2
Wrong arguments.
.TP
.B 130
Interrupted while waiting; the operation goes on.
.SH ENVIRONMENT
.BR OS_CLOUD ,
.BR OS_SECONDARY_CLOUD ,
.B OS_PROTECTOR_API_VERSION
and those of
.BR openstack (1).
.SH FILES
.TP
.I ~/.config/openstack/clouds.yaml
The clouds and the credentials.
.SH SEE ALSO
.BR openstack (1),
.BR protector\-api (1),
.BR protector\-engine (1),
.BR protector\-manage (1)
"""


def page() -> str:
    """Return the page in troff."""
    head = _HEAD.replace("{version}", metadata.version("python-protectorclient"))
    return head + "".join(_about(command) for command in described()) + _TAIL


def _about(command: Described) -> str:
    lines = [f".SS openstack dr {_plain(command.name)}", *_paragraphs(command.text)]
    for action in (*command.arguments, *command.options):
        lines += [".TP", _term(action), _plain(str(action.help))]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> list[str]:
    first, *others = [_plain(" ".join(part.split())) for part in text.split("\n\n")]
    return [first, *(line for part in others for line in (".PP", part))]


def _term(action: argparse.Action) -> str:
    if not action.option_strings:
        return f'.I "{_plain(value_of(action))}"'
    names = _plain(", ".join(action.option_strings))
    return f'.BI "{names}" " {_plain(value_of(action))}"' if takes_value(action) else f".B {names}"


def _plain(text: str) -> str:
    """Keep troff from reading a text as its own commands."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write(page())
