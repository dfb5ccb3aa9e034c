#!/bin/sh
# program.sh, linked to as rbd, rados and ceph : runs the real one, and does as the files beside the link say. `calls` gets a
# line for each. One whose command line contains what is in `hold` does not begin while that is there; what is in `refuse` fails.
here="$(dirname "$0")"
name="$(basename "$0")"
echo "$name $*" >>"$here/calls"
if [ -e "$here/refuse" ]; then
  case "$*" in *"$(cat "$here/refuse")"*) echo "refused by the test" >&2; exit 5 ;; esac
fi
while [ -e "$here/hold" ]; do
  words="$(cat "$here/hold" 2>/dev/null)" || break
  case "$*" in *"$words"*) sleep 0.1 ;; *) break ;; esac
done
exec "/usr/bin/$name" "$@"
