"""Writes policy.json: what oslo.policy decides, for hand-written rules and for random ones.

Run with oslo.policy installed:  python generate_policy.py > policy.json
A result is true, false, or "refused" where oslo.policy logs that it could not read the rule, or
fails while deciding.
"""

import json
import logging
import random
import sys

from oslo_config import cfg
from oslo_policy import _parser, policy

CREDENTIALS = [
    {"user_id": "u1", "project_id": "p1", "roles": ["member", "reader"], "is_admin": False},
    {"user_id": "u2", "project_id": "p2", "roles": ["Admin"], "is_admin": True,
     "user": {"domain": {"id": "d1"}, "groups": [{"id": "g1"}, {"id": "g2"}]}},
    {"user_id": None, "project_id": "p1", "roles": [], "system_scope": "all"},
]
TARGETS = [
    {},
    {"project_id": "p1", "user_id": "u1", "target.role": "ADMIN"},
    {"project_id": "p2", "user_id": "nobody", "y": "x", "name": "None"},
]
NAMED = {
    "yes": "@", "no": "!", "admin": "role:admin",
    "owner": "project_id:%(project_id)s",
    "admin_or_owner": "rule:admin or rule:owner",
}
RULES = [
    "", "@", "!", " ", "role:admin", "role:Member", "role:mem", "role:", "role:%(target.role)s",
    "role:%(missing)s", "rule:admin_or_owner", "rule:yes", "not rule:no", "rule:missing",
    "project_id:%(project_id)s", "user_id:%(user_id)s", "user_id:%(name)s", "is_admin:True",
    "is_admin:true", "is_admin:1", "'x':%(y)s", "'x':x", "\"x\":%(y)s", "'x':'x'", "True:True",
    "None:%(name)s", "None:None", "0:0", "-1:-1", "01:1", "'a'b:c", "'a:a", "system_scope:all", "roles:reader",
    "roles:READER", "user.domain.id:d1", "user.groups.id:g2", "user.groups.id:g3", "user.nothing:x",
    "missing.path:x", "project_id:p%%1", "project_id:100%%", "project_id:%s", "project_id:%(project_id)d",
    "project_id:50%", "project_id:%()s", "project_id:p1", "a:b:c", ":x", "word", "not word", "'text'",
    "role:admin role:member", "role:admin and", "and role:admin", "or", "not", "not not role:member",
    "(role:member)", "((role:member))", "( role:member )", "(role:member", "role:member)", "()",
    "() or @", "role:member and (role:reader or role:admin)", "role:a or role:member and role:b",
    "role:member or role:a and role:b", "(role:member or role:a) and role:b",
    "not role:member or role:reader", "not (role:member or role:admin)", "not role:member and role:reader",
    "role:member AND role:reader", "role:member Or role:a", "NOT role:a",
    "@ and !", "@ or !", "not !", "not @", "(@)", "!or@", "role:member\n  and role:reader",
    "rule:admin or (project_id:%(project_id)s and not role:reader)",
    "project_id:%(project_id)s)", "(project_id:%(project_id)s)", "tenant:%(project_id)s",
    [], [[]], [[], []], ["role:member"], [["role:member", "role:reader"]],
    [["role:a"], ["role:member"]], [["role:a", "role:member"], "role:b"], ["role:a", ["@"]],
    ["role:a or role:member"], [["word"]], ["!"], [["@", "!"], []], [""], [[""]],
]


def random_rule(rng, depth):
    """A well-formed rule; blanks and parentheses vary."""
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(["@", "!", "role:member", "role:admin", "role:reader", "rule:owner",
                           "project_id:%(project_id)s", "is_admin:True", "'x':%(y)s"])
    form = rng.random()
    if form < 0.2:
        return "not " + rng.choice(["(%s)", "( %s )"]) % random_rule(rng, depth - 1)
    if form < 0.3:
        return "not " + rng.choice(["@", "!", "role:member", "not role:admin"])
    joined = rng.choice([" and ", " or "]).join(
        random_rule(rng, depth - 1) for _ in range(rng.randint(2, 3)))
    return f"({joined})" if rng.random() < 0.5 else joined


def broken_rule(rng):
    """A rule with a few words dropped or doubled, mostly no longer well-formed."""
    words = random_rule(rng, 3).replace("(", "( ").replace(")", " )").replace("%( ", "%(")
    words = words.replace("d )s", "d)s").replace("y )s", "y)s").split()
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(words))
        words[at:at + 1] = rng.choice([[], [words[at]] * 2])
        if not words:
            return "@"
    return " ".join(words)


class Complaints(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.seen = False

    def emit(self, record):
        self.seen = True


complaints = Complaints()
_parser.LOG.addHandler(complaints)
_parser.LOG.propagate = False
conf = cfg.ConfigOpts()
conf([], project="vectors")
enforcer = policy.Enforcer(conf, use_conf=False)


def decide(rule):
    complaints.seen = False
    try:
        rules = {name: _parser.parse_rule(text) for name, text in NAMED.items()}
        rules["probe"] = _parser.parse_rule(rule)
    except Exception:
        return "refused"
    if complaints.seen:
        return "refused"
    enforcer.set_rules(policy.Rules(rules), use_conf=False)
    decisions = []
    for credentials in CREDENTIALS:
        for target in TARGETS:
            try:
                decisions.append(bool(enforcer.enforce("probe", target, dict(credentials))))
            except Exception:
                decisions.append("refused")
    return decisions


rng = random.Random(8788)
texts = RULES + [random_rule(rng, 3) for _ in range(150)] + [broken_rule(rng) for _ in range(100)]
json.dump({
    "named": NAMED,
    "credentials": CREDENTIALS,
    "targets": TARGETS,
    "vectors": [{"rule": text, "decisions": decide(text)} for text in texts],
}, sys.stdout, indent=1)
sys.stdout.write("\n")
