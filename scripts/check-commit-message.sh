#!/bin/bash
# The form of a commit message (.gitmessage): a subject of at most 72 characters, an empty line, a body.
# usage: scripts/check-commit-message.sh FILE
set -euo pipefail
message="$(sed -e '/^# -* >8 -*$/,$d' -e '/^#/d' "$1")"
subject="$(sed -n '/./{p;q;}' <<<"$message")"
case "$subject" in Merge\ * | fixup!\ * | squash!\ * | Revert\ *) exit 0 ;; esac
if [ -z "$subject" ]; then echo "commit message: it is empty" >&2; exit 1; fi
if [ "$(LC_ALL=C.UTF-8 bash -c 'echo ${#1}' _ "$subject")" -gt 72 ]; then
  echo "commit message: the subject has more than 72 characters: $subject" >&2; exit 1
fi
rest="$(sed -e '0,/./d' <<<"$message")"
if [ -n "$(sed -n 1p <<<"$rest")" ]; then echo "commit message: an empty line comes after the subject" >&2; exit 1; fi
if ! grep -q '[^[:space:]]' <<<"$rest"; then
  echo "commit message: the body says why, and how it was checked (.gitmessage)" >&2; exit 1
fi
