# SPDX-License-Identifier: Apache-2.0
"""What an operation would do, for people, and the question before an unplanned failover."""

from __future__ import annotations

from collections.abc import Iterator

from protectorclient.osc import duration
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import MemberAttributes, MemberPreview, Preview, RecoveryPoint


def lines(preview: Preview, group: str) -> list[str]:
    """Write the whole preview; nothing was changed for it."""
    point = preview["recovery_point"]
    return [
        f"{_head(preview, group)} Nothing was changed.",
        *([_about_point(point)] if point or is_unplanned(preview) else []),
        *(line for member in preview["members"] for line in _about_member(member)),
        "Steps:",
        *(f"  {one_line(step)}" for step in preview["steps"]),
        _about_source(preview),
        *_about_arrays(preview),
        *warnings(preview),
    ]


def attributes(preview: Preview) -> list[str]:
    """Write what becomes of each member's attributes; nothing where the service does not tell."""
    told: list[str] = []
    for member in preview["members"]:
        about = member.get("attributes")
        if about is not None:
            told.append(one_line(f"{member['name']}: {_counts(about)}"))
            told.extend(map(_indented, _exceptions(about)))
    return ["What becomes of each VM:", *told] if told else []


def _counts(about: MemberAttributes) -> str:
    counts = [
        (about["kept"], "kept"),
        (len(about["changed"]), "changed"),
        (len(about["lost"]), "lost"),
        (len(about["unknown"]), "unknown"),
        (len(about["refused"]), "refused"),
    ]
    return ", ".join(f"{count} {word}" for count, word in counts if count or word == "kept")


def _exceptions(about: MemberAttributes) -> Iterator[str]:
    for changed in about["changed"]:
        was, to = changed["what"] or "not known", changed["copy"] or "not known"
        yield f"changed: {changed['field']}: {was} -> {to}{_because(changed['why'])}"
    lacking = {"lost": about["lost"], "unknown": about["unknown"], "refused": about["refused"]}
    for word, found in lacking.items():
        for one in found:
            what = "" if one["what"] is None else f": {one['what']}"
            yield f"{word}: {one['field']}{what}{_because(one['why'])}"


def _because(why: str | None) -> str:
    return "" if why is None else f" ({why})"


def loss(preview: Preview, group: str) -> list[str]:
    """Write what somebody must know before an unplanned failover: no more than that."""
    source = preview["source_site"]
    return [
        _head(preview, group),
        _about_point(preview["recovery_point"]),
        f"Changes made after it are lost. {source} is not asked, and VMs that still run there are "
        "not stopped.",
        *warnings(preview),
    ]


def question(preview: Preview) -> str:
    """Ask whether to lose what will be lost."""
    age = age_of(preview)
    if age is None:
        return "Fail over and lose all changes since a recovery point of unknown age?"
    return f"Fail over and lose the changes of the last {duration.words(age)}?"


def age_of(preview: Preview) -> int | None:
    """Return the age of the recovery point in seconds; None when it is not known."""
    point = preview["recovery_point"]
    return None if point is None else point.get("age_seconds")


def is_unplanned(preview: Preview) -> bool:
    """Whether the source takes no part."""
    return preview["type"] == "unplanned"


def warnings(preview: Preview) -> list[str]:
    """Write a line for each warning."""
    return [f"Warning: {one_line(text)}" for text in preview["warnings"]]


def _head(preview: Preview, group: str) -> str:
    kind = f"{preview['type']} " if preview["type"] else ""
    what = f"{kind}{preview['operation_type']}"
    count = len(preview["members"])
    return (
        f"{what.capitalize()} of protection group '{group}' from {preview['source_site']} to "
        f"{preview['target_site']}: {count} {'VM' if count == 1 else 'VMs'}."
    )


def _about_point(point: RecoveryPoint | None) -> str:
    if point is None:
        return "Recovery point: not known."
    age = point.get("age_seconds")
    said = "" if age is None else f", {duration.words(age)} old"
    return f"Recovery point: {point['taken_at']}{said}."


def _about_member(member: MemberPreview) -> list[str]:
    volumes = [
        f"  volume {volume['name'] or volume['id']}, {volume['size_gib']} GiB ({volume['id']})"
        for volume in member["volumes"]
    ]
    networks = [f"  network {here} -> {there}" for here, there in member["networks"].items()]
    head = f"{member['name']} ({member['server_id']}), flavor {member['flavor']}"
    return [one_line(head), *map(_indented, [*volumes, *networks])]


def _indented(line: str) -> str:
    return f"  {one_line(line)}"


def _about_source(preview: Preview) -> str:
    source = preview["source_site"]
    if is_unplanned(preview):
        return f"VMs and volumes on {source} are left as they are."
    if preview["retain_source_volumes"]:
        return f"Volumes on {source} are retained; its VMs are deleted."
    can = preview.get("capabilities")
    if can is not None and can["linked_deletion"]:
        return (
            f"VMs on {source} are deleted once the group runs on the other site; its volumes stay "
            "on their array, as replicas of what runs there, and Cinder lets go of them."
        )
    return f"VMs and volumes on {source} are deleted once the group runs on the other site."


_PROMOTION = {
    "copy": "a copy of each replica becomes the volume",
    "in_place": "each replica becomes the volume itself, and the volume its replica",
}
_WAY_BACK = {
    "delta": "the way back sends what was written since",
    "full": "the way back sends everything",
}


def _about_arrays(preview: Preview) -> list[str]:
    can = preview.get("capabilities")
    if can is None:
        return []
    told = [_PROMOTION.get(can["promotion"]), _WAY_BACK.get(can["way_back"])]
    if can["fences_source"] and not is_unplanned(preview):
        told.insert(1, "the source takes no writes from then on")
    words = "; ".join(word for word in told if word)
    return [one_line(f"Arrays ({can['driver']}): {words}.")]
