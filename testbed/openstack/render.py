#!/usr/bin/env python3
"""Fill the templates of one site.

Each line of standard input is '<template> <output> [KEY=VALUE...]'. @KEY@ in a template stands for
that value or else the environment's; '@include NAME' on a line of its own includes another one.
"""

import os
import re
import sys

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")


def load(name):
    with open(os.path.join(TEMPLATES, name)) as template:
        return re.sub(r"^@include (\S+)$", lambda m: load(m.group(1)), template.read(), flags=re.M)


def render(template, output, *pairs):
    values = dict(os.environ, **dict(pair.split("=", 1) for pair in pairs))
    text = re.sub(r"@([A-Z_]+)@", lambda m: values.get(m.group(1), ""), load(template))
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(output, "w") as rendered:
        rendered.write(text)


for line in sys.stdin:
    if line.strip():
        render(*line.split())
