"""Writes config.json: what oslo.config makes of INI files that other readers misread.

Run with oslo.config installed:  python generate_config.py > config.json
Each vector has files (later over earlier), and for each option of OPTIONS the value oslo gives,
or {"error": true} where oslo refuses the value or the whole file.
"""

import json
import os
import sys
import tempfile

from oslo_config import cfg

OPTIONS = [
    ("DEFAULT", "name", cfg.StrOpt("name")),
    ("DEFAULT", "base", cfg.StrOpt("base", default="/var/lib/x")),
    ("DEFAULT", "derived", cfg.StrOpt("derived", default="$base/db")),
    ("DEFAULT", "other", cfg.StrOpt("other")),
    ("DEFAULT", "flag", cfg.BoolOpt("flag", default=True)),
    ("engine", "name", cfg.StrOpt("name")),
    ("engine", "number", cfg.IntOpt("number", default=300, min=60)),
    ("engine", "fraction", cfg.FloatOpt("fraction", default=0.5, min=0.0)),
    ("engine", "items", cfg.ListOpt("items", default=["x", "y"])),
    ("engine", "port", cfg.PortOpt("port", default=80)),
    ("engine", "many", cfg.MultiStrOpt("many")),
    ("engine", "choice", cfg.StrOpt("choice", choices=["one", "two"])),
]

D, E = "[DEFAULT]\n", "[engine]\n"

FILES = [
    [""],
    ["# only a comment\n; and another\n"],
    [D + "name = value\n"],
    [D + "name=value"],
    [D + "name : value\n"],
    [D + "name: a=b\n"],
    [D + "name = a:b\n"],
    [D + "name = http://host:5000/v3\n"],
    [D + "name: http://host:5000/v3\n"],
    [D + "name = secret#with;marks # kept\n"],
    [D + "name = value ; kept too\n"],
    [D + "#name = commented\n;name = commented\n"],
    [D + 'name = "quoted "\n'],
    [D + "name = ' single '\n"],
    [D + "name = \"half\n"],
    [D + "name = 'mixed\"\n"],
    [D + 'name = "\n'],
    [D + "name = ''\n"],
    [D + "name = \"a\" and \"b\"\n"],
    [D + "name =\n"],
    [D + "name = one\nname = two\n"],
    [D + "name = one\n", D + "name = two\n"],
    [D + "name = one\n", E + "name = two\n"],
    [D + "name = one\n[engine]\nname = e\n[DEFAULT]\nname = back\n"],
    ["[Engine]\nnumber = 61\n"],
    ["[ENGINE]\nnumber = 61\n[engine]\nnumber = 62\n"],
    ["[engine]\r\nnumber = 61\r\n[DEFAULT]\r\nname = crlf\r\n"],
    [D + "name = a\rother = b\n"],
    [E + "items = a, b ,c\n"],
    [E + "items = a,,b,\n"],
    [E + "items = ,\n"],
    [E + "items = one,\n  two,\n\tthree\n"],
    [E + "items = one,\n  two\n\n"],
    [E + "items = [a, b]\n"],
    [E + "items = \"a,b\",c\n"],
    [E + "many = one\nmany = two\nmany = three\n"],
    [E + "many = one\nmany = two\n", E + "many = three\n"],
    [E + "number = 60\n"],
    [E + "number = 59\n"],
    [E + "number = 5\n", E + "number = 70\n"],
    [E + "number = 6_0\n"],
    [E + "number = 6__0\n"],
    [E + "number = _60\n"],
    [E + "number = +61\n"],
    [E + "number = 0x60\n"],
    [E + "number = 61.0\n"],
    [E + "number = 61 seconds\n"],
    [E + "number = sixty\n"],
    [E + "number = \"61\"\n"],
    [E + "number = 061\n"],
    [E + "fraction = 1e3\n"],
    [E + "fraction = .5\n"],
    [E + "fraction = 5.\n"],
    [E + "fraction = -0.1\n"],
    [E + "fraction = 1,5\n"],
    [E + "port = 65535\n"],
    [E + "port = 65536\n"],
    [E + "port = -1\n"],
    [E + "choice = one\n"],
    [E + "choice = One\n"],
    [D + "flag = FALSE\n"],
    [D + "flag = off\n"],
    [D + "flag = 0\n"],
    [D + "flag = No\n"],
    [D + "flag = on\n"],
    [D + "flag = t\n"],
    [D + "flag = \"true\"\n"],
    [D + "base = /srv\n"],
    [D + "name = $base\n"],
    [D + "name = ${base}x\n"],
    [D + "name = $base-x\n"],
    [D + "name = $basex\n"],
    [D + "name = $base.conf\n"],
    [D + "name = ${base}.conf\n"],
    [D + "name = $derived\nbase = /srv\n"],
    [D + "name = $$base $$$$ $$\n"],
    [D + "name = \\$base\n"],
    [D + "name = pa$$word\n"],
    [D + "name = pa$5word$\n"],
    [D + "name = ${ base }\n"],
    [D + "name = ${base\n"],
    [D + "name = $nothing\n"],
    [D + "name = ${engine.number}\n"],
    [D + "name = $engine.number\n"],
    [D + "name = ${engine.nothing}\n"],
    [D + "name = ${nowhere.x}\n"],
    [D + "name = ${DEFAULT.base}\n"],
    [D + "name = $flag\n"],
    [D + "name = ${engine.fraction}\n"],
    [D + "name = [$other]\n"],
    [D + "name = $other\nother = $name\n"],
    [D + "name = $name\n"],
    [E + "name = $number\n"],
    [D + "name = d\n" + E + "name = $name\n"],
    [D + "other = from default\n" + E + "name = $other\n"],
    [E + "number = $fraction\n"],
    [D + "name = ${engine.number}\n" + E + "number = 99\n"],
    [E + "items = $base, b\n"],
    [E + "many = $base\nmany = $$base\n"],
    [D + "name = UTF-8 Gr\u00fc\u00dfe\n"],
    ["name = before any section\n"],
    ["[engine\nnumber = 61\n"],
    ["[]\nnumber = 61\n"],
    ["[engine] # comment\nnumber = 61\n"],
    [D + "no assignment here\n"],
    [D + "= value\n"],
    [D + "  name = indented\n"],
    [D + "name = one\n\n  two\n"],
    [D + "name = one\n# comment\n  two\n"],
    ["  # an indented comment at the top\n"],
    [D + "name = a\n" + "[other section]\nx = 1\n"],
    [D + "name\t=\tvalue\t\n"],
    [D + "name = value\n   \nother = x\n"],
    [D + "name == value\n"],
    [D + "name =: value\n"],
    [D + "Name = case\nname = right\n"],
]


def values(texts):
    with tempfile.TemporaryDirectory() as directory:
        arguments = []
        for index, text in enumerate(texts):
            path = os.path.join(directory, f"{index}.conf")
            with open(path, "w", newline="") as out:
                out.write(text)
            arguments += ["--config-file", path]
        conf = cfg.ConfigOpts()
        for section, _, opt in OPTIONS:
            conf.register_opt(opt, group=None if section == "DEFAULT" else section)
        try:
            conf(arguments, project="vectors")
        except cfg.Error:
            return {"error": True}
        result = {}
        for section, name, _ in OPTIONS:
            group = conf if section == "DEFAULT" else conf[section]
            try:
                result[f"{section}.{name}"] = group[name]
            except (cfg.Error, AttributeError, KeyError, RecursionError, ValueError):
                result[f"{section}.{name}"] = {"error": True}
        return result


vectors = [{"files": texts, "values": values(texts)} for texts in FILES]
json.dump(vectors, sys.stdout, indent=1)
sys.stdout.write("\n")
