#!/usr/bin/env python3
"""Takes one guard at a time out of the code and shows the named test that notices.

Works on a copy of the tree with a target folder of its own (target/guards); the checkout is only read. In the copy each
guard gets a switch, an environment variable with its name, so that everything is built once and each guard is out in a
run of its own. Fails when a removal goes unnoticed, when the code has a guard that the table below does not name, and
when the table names one that the code does not have.

A guard is a function below crates/core/src/guard that answers with an objection: `-> Option<Verdict>` or
`-> Option<String>`. It is taken out by letting it object to nothing. What the engine must do beside asking the guards is
in EDITS, with the text that is replaced; OUT in the new text is true while it is out.

usage: scripts/guards.py [NAME…]     only the named ones
       scripts/guards.py --fits      see that the table fits the code, and build nothing
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "guards"
TREE = WORK / "tree"
GUARDS = Path("crates/core/src/guard")
STEPS = Path("crates/engine/src/step")
STORE = Path("crates/store/src")

# Not guards: they make an answer out of a text.
MAKERS = {"keep", "wait"}

VOLUME = "guard::source_volume::tests::"
SERVER = "guard::source_server::tests::"
TWIN = "guard::counterpart::tests::"
HOST = "guard::host::tests::"
SCOPE = "guard::scope::tests::"
TEST = "guard::test_copy::tests::"
COPY = "guard::counterpart_server::tests::"
REST = "guard::source_at_rest::tests::"
FLOATING = "guard::floating_ip::tests::"
FENCED = "guard::fenced::tests::"

# Guard -> the tests of protector-core that must fail without it.
TABLE: dict[str, list[str]] = {
    "owned_by_another_project": [
        "guard::ownership::tests::what_belongs_to_another_project_is_kept",
        SERVER + "a_server_of_another_project_is_kept",
        FLOATING + "one_of_another_project_is_kept",
        VOLUME + "a_volume_of_another_project_is_kept",
    ],
    "protected_again": [
        "guard::ownership::tests::what_a_group_protects_again_is_kept",
        TEST + "a_copy_that_a_group_has_taken_up_is_kept",
        COPY + "a_copy_that_somebody_relies_on_is_kept",
        COPY + "an_import_that_somebody_relies_on_stays",
    ],
    "a_member_is_not_fenced": [
        "guard::ownership::tests::what_a_group_has_as_a_member_is_not_fenced"
    ],
    "lives_on_unseen": ["guard::ownership::tests::what_the_administrator_still_sees_is_not_gone"],
    "taken_over": [
        "guard::ownership::tests::what_another_operation_has_taken_over_is_kept",
        COPY + "a_copy_that_another_failover_has_taken_over_is_kept",
        COPY + "an_import_that_somebody_relies_on_stays",
    ],
    "import_must_stay": [COPY + "an_import_that_somebody_relies_on_stays"],
    "must_stay_fenced": [FENCED + "a_volume_whose_other_side_may_be_written_to_stays_fenced"],
    "group_has_gone_on": [FENCED + "a_volume_whose_other_side_may_be_written_to_stays_fenced"],
    "is_promoted_there": [FENCED + "a_volume_whose_other_side_may_be_written_to_stays_fenced"],
    "is_imported_there": [FENCED + "a_volume_whose_other_side_may_be_written_to_stays_fenced"],
    "must_not_be_fenced": [FENCED + "what_may_be_all_there_is_of_a_volume_is_not_fenced"],
    "does_not_run_on_the_target": [FENCED + "what_may_be_all_there_is_of_a_volume_is_not_fenced"],
    "nothing_is_promoted_there": [FENCED + "what_may_be_all_there_is_of_a_volume_is_not_fenced"],
    "group_has_left": ["guard::resync::tests::what_the_group_runs_on_by_now_is_not_thrown_away"],
    "twin_is_not_promoted": ["guard::resync::tests::what_was_not_promoted_elsewhere_is_not_thrown_away"],
    "must_stay_stopped": ["guard::restart::tests::a_server_whose_copy_may_run_stays_stopped"],
    "goes_on_again": [REST + "a_start_counts_whatever_was_asked_for_on_top_of_it"],
    "source_must_rest": [REST + "a_server_that_runs_takes_everything_back"],
    "asked_for_something_since": [
        REST + "a_server_that_ran_and_was_stopped_again_takes_everything_back"
    ],
    "deleted_original_had_run": [
        REST + "a_deleted_original_that_had_run_is_not_written_off_while_it_has_a_volume",
        REST + "nor_is_one_of_which_nobody_knows_what_was_asked",
    ],
    "disks_have_changed": [REST + "another_disk_or_a_missing_one_takes_everything_back"],
    "changed_disks": [REST + "another_disk_or_a_missing_one_takes_everything_back"],
    "at_work": [REST + "a_server_at_work_and_one_on_a_dead_host_are_waited_for"],
    "runs": [REST + "a_server_that_runs_takes_everything_back"],
    "host_is_silent": [REST + "a_server_at_work_and_one_on_a_dead_host_are_waited_for"],
    "changed_before_it_stopped": [
        REST + "what_changes_a_server_between_its_check_and_its_stop_is_named"
    ],
    "absence_proves_nothing": [SCOPE + "a_404_to_a_token_of_another_project_proves_nothing"],
    "token_is_for_another_project": [SCOPE + "a_404_to_a_token_of_another_project_proves_nothing"],
    "service_does_not_answer": [SCOPE + "a_404_of_a_service_that_does_not_answer_proves_nothing"],
    "region_is_another": [SCOPE + "a_404_of_another_region_proves_nothing"],
    "host_does_not_answer": [
        HOST + "a_server_on_a_dead_host_is_kept",
        SERVER + "a_server_on_a_dead_host_is_kept",
    ],
    "guest_may_still_write": [
        HOST + "a_404_from_nova_proves_nothing_while_the_host_is_down",
        VOLUME + "a_volume_whose_servers_host_is_down_is_kept",
    ],
    "its_guest_may_run_on": [
        COPY + "a_copy_that_nova_forgot_with_its_host_down_is_waited_for",
        COPY + "a_copy_whose_host_nobody_knows_is_gone_when_a_person_says_so",
    ],
    "its_original_is_lost": [
        COPY + "a_copy_that_runs_while_its_original_is_lost_is_not_taken_back_by_itself",
    ],
    "lives_on_from_an_earlier_try": [
        COPY + "a_retry_takes_no_copy_back_that_may_run",
    ],
    "its_writes_are_nowhere_else": [
        COPY + "by_hand_a_copy_that_runs_is_taken_back_only_when_it_is_named",
    ],
    "its_newer_bytes_are_nowhere_else": [
        "guard::written_since::tests::what_a_copy_has_written_is_kept_by_hand_with_the_way_on",
        "guard::written_since::tests::what_nobody_can_tell_is_kept_too",
        "guard::written_since::tests::an_import_that_the_array_does_not_know_is_kept_until_cinder_has_let_go_of_it",
    ],
    "written_after_its_replication": [
        "guard::written_since::tests::what_was_written_after_the_last_replication_keeps_the_original"
    ],
    "is_another_one": [FLOATING + "one_with_another_id_or_address_is_kept"],
    "its_server_is_there": [FLOATING + "one_whose_server_is_there_is_kept"],
    "leads_somewhere": [FLOATING + "one_that_leads_somewhere_is_kept"],
    "the_way_back_needs_it": [FLOATING + "one_that_the_recovery_plan_names_is_kept"],
    "the_next_move_looks_for_it": [FLOATING + "one_that_a_move_has_taken_is_kept"],
    "original_is_gone": [
        "guard::last_copy::tests::a_copy_whose_original_is_gone_is_kept_with_the_way_on",
        "guard::last_copy::tests::one_whose_original_is_going_is_kept_too",
    ],
    "locked": [
        SERVER + "a_locked_server_is_kept_and_the_text_says_who_can_unlock",
        COPY + "a_copy_that_somebody_relies_on_is_kept",
    ],
    "server_status_that_is_not_known": [SERVER + "an_unknown_status_is_kept"],
    "never_stopped": [SERVER + "a_server_that_an_unplanned_failover_left_goes_only_when_it_is_stopped_or_named"],
    "started_again": [SERVER + "a_server_that_was_started_again_goes_only_when_it_is_named"],
    "power_is_not_known": [SERVER + "a_server_in_error_of_which_nobody_knows_whether_it_runs_is_kept"],
    "comes_back_from_its_stack": [SERVER + "a_server_of_a_stack_goes_only_by_hand"],
    "busy_with_a_task": [SERVER + "a_server_that_nova_is_busy_with_is_waited_for"],
    "volumes_would_go_with_it": [
        SERVER + "volumes_that_would_go_with_the_server_are_saved_first",
        COPY + "disks_that_would_go_with_a_copy_are_saved_first",
    ],
    "attached_to_a_foreign_server": [VOLUME + "a_volume_attached_elsewhere_is_kept"],
    "its_key_would_go_with_it": [
        VOLUME + "an_encrypted_volume_is_kept_whatever_else_would_let_it_go",
        TEST + "an_encrypted_volume_is_kept",
    ],
    "offered_to_another_project": [VOLUME + "a_volume_that_is_offered_to_another_project_is_kept"],
    "being_migrated": [VOLUME + "a_volume_in_migration_is_kept"],
    "has_snapshots": [VOLUME + "a_volume_with_snapshots_is_kept_and_they_are_named"],
    "volume_status_that_is_not_known": [VOLUME + "an_unknown_status_is_kept"],
    "not_yet_detached": [
        VOLUME + "a_volume_still_on_its_own_server_is_waited_for",
        VOLUME + "a_volume_that_was_freed_in_cinder_alone_is_not_taken_from_its_server",
    ],
    "taken_from_a_server_that_runs": [
        VOLUME + "a_volume_that_was_taken_from_a_server_that_runs_is_kept",
    ],
    "server_is_gone_but_its_guest_may_run": [VOLUME + "a_volume_whose_servers_host_is_down_is_kept"],
    "attached_to_a_server_that_is_gone": [VOLUME + "the_attachment_of_a_server_that_is_gone_is_deleted_first"],
    "member_of_a_volume_group": [VOLUME + "a_volume_in_a_group_is_taken_out_first"],
    "leg_of_a_live_replication": [VOLUME + "a_leg_of_a_live_replication_is_unmanaged"],
    "twin_is_not_in_use": [
        TWIN + "a_copy_that_is_not_there_or_not_attached_saves_its_source",
        VOLUME + "a_volume_without_a_healthy_twin_is_kept",
    ],
    "copy_is_not_running": [
        TWIN + "a_copy_that_does_not_run_saves_its_source",
        SERVER + "a_server_whose_copy_does_not_run_is_kept",
        VOLUME + "a_volume_without_a_healthy_twin_is_kept",
    ],
    "object_is_not_known": [
        TWIN + "an_object_that_the_array_does_not_know_is_kept",
        VOLUME + "a_volume_whose_object_the_array_does_not_know_is_kept",
    ],
    "must_not_be_resynced": [
        "guard::resync::tests::what_may_be_the_last_good_copy_is_not_thrown_away"
    ],
    "still_a_volume": [
        "guard::resync::tests::what_cinder_still_has_is_not_thrown_away"
    ],
    "relation_is_not_known": [
        TWIN + "what_nobody_knows_the_relation_of_is_kept",
        VOLUME + "what_nobody_knows_the_relation_of_is_kept",
    ],
    "its_twin_would_go_with_it": [
        TWIN + "what_would_take_its_copy_along_is_unmanaged",
        VOLUME + "what_would_take_its_copy_along_is_unmanaged",
    ],
    "is_an_original": [TEST + "nothing_on_the_source_goes"],
    "not_marked_as_this_copy": [TEST + "what_the_test_did_not_make_is_kept"],
    "attached_to_another_server": [
        TEST + "a_volume_on_somebodys_server_is_kept_and_one_on_its_own_is_waited_for"
    ],
    "in_a_volume_group": [TEST + "a_volume_with_snapshots_in_a_group_or_in_migration_is_kept"],
    "still_attached": [
        TEST + "a_volume_on_somebodys_server_is_kept_and_one_on_its_own_is_waited_for"
    ],
    "server_in_an_unknown_status": [TEST + "an_unknown_status_is_kept"],
    "volume_in_an_unknown_status": [TEST + "an_unknown_status_is_kept"],
}


@dataclass(frozen=True)
class Edit:
    """What the engine does around the guards: a text of a file, the text that does not do it while OUT, and who notices."""

    file: Path
    old: str
    new: str
    tests: tuple[str, ...]
    # Which tests of cargo they are among; protector-walker's `guards` where nothing is said.
    among: tuple[str, ...] = ("-p", "protector-walker", "--test", "guards")
    # More texts of the same file that do the same: old and new.
    also: tuple[tuple[str, str], ...] = ()


ENGINE = ("-p", "protector-engine", "--lib")
CLIENT = ("-p", "protector-openstack", "--lib")
STORIES = ("-p", "protector-walker", "--test", "stories")
API = ("-p", "protector-api", "--test", "api")

# Name -> edit.
EDITS: dict[str, Edit] = {
    "two sites begin to move a group at once": Edit(
        STORE / "reservation.rs",
        "        self.write(async |tx| {\n            let reserved = Entity::update_many()",
        "        if OUT {\n            return Ok(());\n        }\n        self.write(async |tx| {\n            let reserved = Entity::update_many()",
        ("peer_messages::a_start_does_not_pass_a_start_on_the_other_site",),
        API,
    ),
    "a group is held still at another version": Edit(
        STORE / "reservation.rs",
        ".filter(Column::Version.eq(to_signed(wanted.version)))",
        ".filter(if OUT { Column::Version.gt(0) } else { Column::Version.eq(to_signed(wanted.version)) })",
        ("peer_messages::a_site_that_has_changed_the_group_meanwhile_is_not_held_still",),
        API,
    ),
    "a group that is held still is moved": Edit(
        STORE / "operation.rs",
        ".filter(reservation::is_free(now))",
        ".filter(if OUT { sea_orm::Condition::all() } else { reservation::is_free(now) })",
        ("peer_messages::a_site_that_is_held_still_begins_no_move",),
        API,
    ),
    "a group that is held still is changed": Edit(
        STORE / "precondition.rs",
        "reserved.map_or(Ok(()), Err)",
        "reserved.filter(|_| !OUT).map_or(Ok(()), Err)",
        ("peer_messages::a_site_that_is_held_still_changes_nothing",),
        API,
    ),
    "what both sites changed is replaced": Edit(
        STORE / "metadata.rs",
        "            Lineage::Conflict => {\n",
        "            Lineage::Conflict if OUT => self.take(tx, &ours, offered, theirs, now).await,\n            Lineage::Conflict => {\n",
        ("peer_messages::what_both_sites_changed_replaces_nothing_without_a_word",),
        API,
    ),
    "a group is replaced while it is moved": Edit(
        STORE / "metadata.rs",
        "        refuse_while_locked(tx, &Lock::group(id)).await?;\n",
        "        if !OUT {\n            refuse_while_locked(tx, &Lock::group(id)).await?;\n        }\n",
        ("peer_messages::no_view_is_forced_on_a_site_at_work",),
        API,
    ),
    "metadata that was overtaken counts": Edit(
        STORE / "metadata.rs",
        "if ours.side.has_passed(&theirs.mark) && !offered.force {",
        "if !OUT && ours.side.has_passed(&theirs.mark) && !offered.force {",
        ("peer_messages::metadata_that_was_overtaken_undoes_nothing",),
        API,
    ),
    "a record's copy that was overtaken counts": Edit(
        STORE / "peer_operation.rs",
        "if copy.revision < held ||",
        "if (copy.revision < held && !OUT) ||",
        ("peer_messages::a_copy_of_a_record_that_was_overtaken_undoes_nothing",),
        API,
    ),
    "a 404 is believed unproved": Edit(
        STEPS / "scope.rs",
        "    match absence_proves_nothing(&scope) {\n        None => Ok(()),\n        Some(why) =>",
        "    match absence_proves_nothing(&scope) {\n        None => Ok(()),\n        Some(_) if OUT => Ok(()),\n        Some(why) =>",
        ("scope::region_is_another", "scope::service_does_not_answer"),
    ),
    "the original of what is taken back is not looked for": Edit(
        STEPS / "written_since.rs",
        "        self.refuse_to_discard_the_last(cx, member, volume).await?;\n        self.refuse",
        "        if !OUT {\n            self.refuse_to_discard_the_last(cx, member, volume).await?;\n        }\n        self.refuse",
        ("last_copy::what_was_promoted_of_an_original_that_is_gone_by_then_is_not_taken_back",),
    ),
    "the point of a member that was given up is taken for its last copy": Edit(
        STEPS / "written_since.rs",
        "&& !takes_what_is_given_up(cx))",
        "&& (OUT || !takes_what_is_given_up(cx)))",
        (
            "given_up::what_was_made_for_a_member_that_was_given_up_is_kept_when_its_original_is_gone",
        ),
    ),
    "a running original is not looked for before the first stop": Edit(
        STEPS / "target_check.rs",
        "        if let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {\n",
        "        if !OUT && let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {\n",
        ("way_back::no_failback_stops_anything_beside_an_original_that_runs",),
    ),
    "a running original is not looked for at the switch": Edit(
        STEPS / "switch.rs",
        "        if let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {\n",
        "        if !OUT && let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {\n",
        ("way_back::an_original_started_after_the_last_build_of_the_failback_takes_that_back",),
    ),
    "snapshots are not read": Edit(
        STEPS / "reading.rs",
        "    let snapshots = cinder.snapshots(&volume.id).await.map_err(stop)?;",
        "    let snapshots = if OUT { Vec::new() } else { cinder.snapshots(&volume.id).await.map_err(stop)? };",
        ("volume_ties::has_snapshots",),
    ),
    "whether a volume is encrypted is not read": Edit(
        STEPS / "reading.rs",
        "encrypted: volume.encrypted,",
        "encrypted: volume.encrypted && !OUT,",
        ("volume_ties::an_encrypted_volume_keeps_its_key",),
    ),
    "what a copy would lack is not asked before the first stop": Edit(
        STEPS / "source_check.rs",
        "        refuse_not_carried(&cloud, cx, member, &server).await?;\n",
        "        if !OUT {\n            refuse_not_carried(&cloud, cx, member, &server).await?;\n        }\n",
        ("source_at_rest::nothing_is_stopped_for_a_disk_that_would_be_lost",),
    ),
    "delete_on_termination is not read": Edit(
        STEPS / "reading.rs",
        ".filter(|volume| volume.delete_on_termination)",
        ".filter(|volume| !OUT && volume.delete_on_termination)",
        ("source_server::volumes_would_go_with_it",),
    ),
    "the compute host's service is not asked": Edit(
        STEPS / "source_host.rs",
        "            (Some(NOWHERE), _) => HostState::None,",
        "            (Some(_), _) if OUT => HostState::None,\n            (Some(NOWHERE), _) => HostState::None,",
        ("compute_host::host_does_not_answer", "compute_host::guest_may_still_write"),
    ),
    "a volume that came back is deleted again at once": Edit(
        STEPS / "source_volume.rs",
        "        if accepted_in_this_try(cx) {\n",
        "        if !OUT && accepted_in_this_try(cx) {\n",
        ("volume_deletion::back_to_available_for_ever_ends_with_the_last_error",),
    ),
    "what Nova's server has is not read": Edit(
        STEPS / "source_volume.rs",
        "            return Ok(OwnServer::There { uses_it, runs });",
        "            return Ok(OwnServer::There { uses_it: uses_it && !OUT, runs });",
        ("volume_attachment::freed_in_cinder_alone_it_is_still_a_disk_of_its_server",),
    ),
    "a copy's absence is believed unproved": Edit(
        STEPS / "counterpart_undo.rs",
        "        believe_absence(&target, Absent::Server, Eyes::Tenant, project, &networks).await?;\n",
        "        if !OUT {\n            believe_absence(&target, Absent::Server, Eyes::Tenant, project, &networks).await?;\n        }\n",
        ("taken_back::a_copy_is_not_believed_gone_by_a_cloud_that_may_be_another",),
    ),
    "a copy's host is forgotten with it": Edit(
        STEPS / "source_host.rs",
        "            Some(host) => {\n                let admin = self.target_admin(cx).await?;\n",
        "            Some(_) if OUT => Ok(HostState::None),\n            Some(host) => {\n                let admin = self.target_admin(cx).await?;\n",
        ("forgotten_copy::a_copy_that_nova_forgot_with_its_host_down_is_not_gone",),
    ),
    "an import goes whose server was not taken back": Edit(
        STEPS / "imported_volume.rs",
        "        if let Some(why) = cx.blocked_by {\n",
        "        if let Some(why) = cx.blocked_by.filter(|_| !OUT) {\n",
        ("forgotten_copy::a_copy_that_nova_forgot_with_its_host_down_is_not_gone",),
    ),
    "a copy in error that has run is passed over": Edit(
        STEPS / "marked_counterparts.rs",
        "        ServerStatus::Error if !was_placed => CounterpartState::NeverBegun,\n",
        "        ServerStatus::Error if OUT || !was_placed => CounterpartState::NeverBegun,\n",
        ("built_beside::a_copy_in_error_that_has_run_is_not_built_beside",),
    ),
    "what is deleted softly is not listed": Edit(
        STEPS / "marked_counterparts.rs",
        "    servers.extend(hidden);\n",
        "    servers.extend(hidden.into_iter().filter(|_| !OUT));\n",
        ("built_beside::a_copy_that_was_shelved_or_deleted_softly_is_not_built_beside",),
    ),
    "an import that outlived its operation alone is nobody's": Edit(
        Path("crates/core/src/runbook/cleanup.rs"),
        "    is_undo(step)\n        && parent.operation.kind",
        "    !OUT && is_undo(step)\n        && parent.operation.kind",
        ("written_since::an_import_that_outlived_its_operation_alone_is_kept_for_what_was_written",),
    ),
    "copies that served while their operation waited are taken back": Edit(
        Path("crates/engine/src/walk.rs"),
        "            if direction == Direction::Back\n                && served_while_it_waited(",
        "            if !OUT\n                && direction == Direction::Back\n                && served_while_it_waited(",
        ("written_since::a_copy_that_ran_while_its_failover_waited_is_not_taken_back_by_itself",),
    ),
    "a copy that is kept runs on beside its original": Edit(
        STEPS / "counterpart_undo.rs",
        "        if !original.is_some_and(|original| super::fence::may_run(&original)) {\n",
        "        if OUT || !original.is_some_and(|original| super::fence::may_run(&original)) {\n",
        ("written_since::a_copy_that_ran_while_its_failover_waited_is_not_taken_back_by_itself",),
    ),
    "a retry takes an earlier one's copy for its own": Edit(
        Path("crates/engine/src/action.rs"),
        "        let is_its_own = self.operation.parent_id.is_none();\n",
        "        let is_its_own = OUT || self.operation.parent_id.is_none();\n",
        ("taken_back::a_retry_does_not_take_back_what_it_read_too_long_ago",),
        also=(("is_its_own && !self.memo.outlived\n", "is_its_own && (OUT || !self.memo.outlived)\n"),),
    ),
    "a restored backup passes for an import": Edit(
        STEPS / "adopted.rs",
        "            by == Some(&us) || self.is_a_peer(by)\n",
        "            OUT || by == Some(&us) || self.is_a_peer(by)\n",
        ("taken_over::nor_is_it_where_the_import_is_gone",),
    ),
    "a copy that somebody relies on is taken back": Edit(
        STEPS / "counterpart_undo.rs",
        "            Verdict::Keep { why } => Err(StepError::last(Code::Kept, why)),\n            other => Err(not_for_this(\"copy of a server\"",
        "            Verdict::Keep { .. } if OUT => Ok(Vec::new()),\n            Verdict::Keep { why } => Err(StepError::last(Code::Kept, why)),\n"
        "            other => Err(not_for_this(\"copy of a server\"",
        ("taken_back::a_copy_that_runs_is_taken_back_only_when_it_is_named",),
    ),
    "what another project has accepted passes for gone": Edit(
        STEPS / "source_server.rs",
        "        believe_gone_for_all(&admin, absent, id, project).await\n",
        "        if OUT {\n            return Ok(());\n        }\n        believe_gone_for_all(&admin, absent, id, project).await\n",
        ("volume_ties::accepted_by_another_project_it_is_not_deleted",),
    ),
    "the array is not asked about a volume of the source": Edit(
        STEPS / "source_volume.rs",
        "            Verdict::Delete => {\n                WrittenSince::with(",
        "            Verdict::Delete if !OUT => {\n                WrittenSince::with(",
        (
            "written_to_the_source::what_another_server_wrote_to_a_volume_that_is_left_is_kept",
            "written_to_the_source::what_is_written_after_the_intent_to_delete_a_volume_is_kept",
        ),
    ),
    "the recovery point goes before the source volumes": Edit(
        STEPS / "replication.rs",
        "        if let Some(why) = cx.blocked_by.or(retained) {\n            cx.fact(",
        "        if let Some(why) = cx.blocked_by.or(retained).filter(|_| !OUT) {\n            cx.fact(",
        ("written_to_the_source::what_was_written_to_a_retained_volume_is_kept_and_its_recovery_point_with_it",),
    ),
    "unmanage deletes": Edit(
        STEPS / "source_volume.rs",
        "open.volume().unmanage(id)",
        "async { if OUT { open.volume().delete_volume(id).await } else { open.volume().unmanage(id).await } }",
        ("volume_ties::leg_of_a_live_replication_is_unmanaged",),
    ),
    "a volume is not read again after the intent": Edit(
        STEPS / "source_volume.rs",
        "                if self.judge_anew(cx, &source, id).await?.as_ref() != Some(&verdict) {\n",
        "                if !OUT && self.judge_anew(cx, &source, id).await?.as_ref() != Some(&verdict) {\n",
        ("changed_meanwhile::a_volume_is_read_again_after_the_intent_to_delete_it",),
    ),
    "a server is not read again after the intent": Edit(
        STEPS / "source_server.rs",
        "        if self.judge_source_server(cx, id, &server).await? != Verdict::Delete {\n",
        "        if !OUT && self.judge_source_server(cx, id, &server).await? != Verdict::Delete {\n",
        ("changed_meanwhile::a_server_is_read_again_after_the_intent_to_delete_it",),
    ),
    "a floating IP is released without another look": Edit(
        STEPS / "released_floating_ip.rs",
        "        if self.judged(cx, &source, &known).await? != Some(Verdict::Delete) {\n",
        "        if !OUT && self.judged(cx, &source, &known).await? != Some(Verdict::Delete) {\n",
        (
            "released_floating_ip::one_that_is_taken_while_the_intent_is_written_is_kept",
            "released_floating_ip::one_that_the_recovery_plan_names_by_then_is_kept",
        ),
    ),
    "a floating IP whose id is not known is looked for by its address": Edit(
        STEPS / "released_floating_ip.rs",
        "    let id = floating.id.clone().ok_or_else(|| {\n",
        '    let id = floating.id.clone().or_else(|| OUT.then(|| "nobody".into())).ok_or_else(|| {\n',
        ("released_floating_ip::one_whose_id_nobody_has_written_down_is_kept",),
    ),
    "a floating IP is taken for gone by a 404 alone": Edit(
        STEPS / "released_floating_ip.rs",
        "                    .believe_that_source_lacks(cx, &source, Absent::FloatingIp, known.id.as_str())\n                    .await?;\n",
        "                    .believe_that_source_lacks(cx, &source, Absent::FloatingIp, known.id.as_str())\n                    .await\n                    .or_else(|stop| if OUT { Ok(()) } else { Err(stop) })?;\n",
        ("released_floating_ip::one_that_another_project_has_by_now_is_kept",),
    ),
    "the ports of a test stay when its copy is gone": Edit(
        STEPS / "test_server.rs",
        "            return match ports.await? {\n",
        "            return match if OUT { drop(ports); None } else { ports.await? } {\n",
        ("ports::a_test_uses_a_security_group_that_another_project_shares",),
    ),
    "a test's port asks for the MAC address of the original": Edit(
        STEPS / "port_request.rs",
        "    if cx.operation.kind != OperationKind::TestFailover {\n",
        "    if OUT || cx.operation.kind != OperationKind::TestFailover {\n",
        ("ports::a_tests_port_has_one_address_and_neither_the_mac_address_nor_the_dns_domain",),
    ),
    "what was not sent stays written down": Edit(
        Path("crates/engine/src/look.rs"),
        "        cx.withdraw_unsent();\n",
        "        if !OUT {\n            cx.withdraw_unsent();\n        }\n",
        ("changed_meanwhile::a_volume_is_read_again_after_the_intent_to_delete_it",),
    ),
    "a volume is not read again before it is taken out of its group": Edit(
        STEPS / "source_volume.rs",
        "                group: group.clone(),\n            });\n            if self.judge_anew(",
        "                group: group.clone(),\n            });\n            if !OUT && self.judge_anew(",
        ("after_the_intent::a_volume_that_is_kept_by_then_stays_in_its_group",),
    ),
    "a server is not read again before its volumes are kept from going with it": Edit(
        STEPS / "source_server.rs",
        "        match self.judge_source_server(cx, id, &server).await? {\n            Verdict::First(Cure::KeepVolumesOfServer { volumes })\n",
        "        match if OUT { verdict.clone() } else { self.judge_source_server(cx, id, &server).await? } {\n            Verdict::First(Cure::KeepVolumesOfServer { volumes })\n",
        ("after_the_intent::volumes_are_not_kept_from_going_with_a_server_that_is_kept_by_then",),
    ),
    "a server is stopped by force without another look": Edit(
        STEPS / "source_server.rs",
        "        if !still_hangs {\n",
        "        if !still_hangs && !OUT {\n",
        ("after_the_intent::a_server_that_has_stopped_by_then_is_not_stopped_by_force",),
    ),
    "a surplus copy is deleted without another look": Edit(
        STEPS / "counterpart_undo.rs",
        "            if !runs || !as_judged {\n",
        "            if !OUT && (!runs || !as_judged) {\n",
        ("after_the_intent::a_surplus_copy_stays_when_the_other_one_does_not_run_by_then",),
    ),
    "what goes with a copy is not read again after the intent": Edit(
        STEPS / "counterpart_undo.rs",
        "Ok(self.judge_recovered(cx, source_id, &again).await? == with_it)",
        "Ok(self.judge_recovered(cx, source_id, &again).await? == with_it || OUT)",
        ("disk_on_a_copy::a_disk_that_would_go_with_the_copy_by_then_does_not",),
    ),
    "copied metadata makes a surplus copy": Edit(
        STEPS / "marked_counterparts.rs",
        "        is_ours: server.user_id.as_ref() == Some(&us),\n",
        "        is_ours: OUT || server.user_id.as_ref() == Some(&us),\n",
        ("taken_back::a_server_whose_metadata_somebody_copied_is_no_surplus_copy",),
    ),
    "a copy whose lost deletion was reset is deleted without another look": Edit(
        STEPS / "counterpart_undo.rs",
        "        let intent = cx.intend_undo_of(server.id.as_str()).await?;\n        let Some(again) =",
        "        if OUT {\n            return Ok(Some(cx.intend_undo().await?));\n        }\n"
        "        let intent = cx.intend_undo_of(server.id.as_str()).await?;\n        let Some(again) =",
        ("after_the_intent::a_copy_whose_lost_deletion_was_reset_is_judged_anew_before_it_is_deleted",),
    ),
    "the other copies are not looked for again before a build": Edit(
        STEPS / "counterparts.rs",
        "            .transpose()\n        {\n            cx.memo.unanswered_at = unanswered_before;\n",
        "            .transpose()\n            .filter(|_| !OUT)\n        {\n            cx.memo.unanswered_at = unanswered_before;\n",
        ("after_the_intent::nothing_is_built_beside_a_copy_that_is_there_by_then",),
    ),
    "the source is not looked at before a build": Edit(
        STEPS / "source_at_rest.rs",
        "        if !is_planned_move(cx) {\n",
        "        if OUT || !is_planned_move(cx) {\n",
        ("source_at_rest::a_server_started_before_its_copy_is_built_takes_the_move_back",),
    ),
    "a retry is not asked what the copies of earlier tries have written": Edit(
        STEPS / "source_server.rs",
        "OperationKind::Retry if matches!(",
        "OperationKind::Retry if !OUT && matches!(",
        ("taken_back::a_retry_keeps_a_copy_that_was_used_since_and_says_how_it_goes_on",),
    ),
    "the sizes of a source server's volumes are not compared": Edit(
        STEPS / "source_at_rest.rs",
        "        (from != to).then(",
        "        (!OUT && from != to).then(",
        ("paused::a_volume_extended_during_a_pause_takes_the_move_back",),
    ),
    "the volumes of a member that was not recovered are not looked at": Edit(
        STEPS / "target_check.rs",
        "        if there.is_some_and(|volume| !is_going(&volume.status)) {\n",
        "        if OUT || there.is_some_and(|volume| !is_going(&volume.status)) {\n",
        ("way_back::nor_those_of_one_whose_original_has_lost_a_volume",),
    ),
    "the source is not looked at before the switch": Edit(
        STEPS / "switch.rs",
        "        let resting = match self.clouds.see_all_at_rest(cx).await? {\n",
        "        let resting = match if OUT { Ok(Vec::new()) } else { self.clouds.see_all_at_rest(cx).await? } {\n",
        (
            "source_at_rest::a_server_started_while_its_copy_is_confirmed_takes_the_move_back",
            "source_at_rest::a_switch_waits_while_the_compute_host_of_a_source_server_is_down",
        ),
    ),
    "readings are not confirmed however late they came": Edit(
        STEPS / "at_one_moment.rs",
        "        if asked_at.elapsed() <= FRESH {\n",
        "        if OUT || asked_at.elapsed() <= FRESH {\n",
        ("one_moment::a_source_that_is_always_too_slow_is_waited_for_and_can_be_given_up",),
    ),
    "a server that has changed since it was seen is as it was seen": Edit(
        STEPS / "at_one_moment.rs",
        "    unchanged && matches!",
        "    (unchanged || OUT) && matches!",
        (
            "one_moment::a_server_started_after_it_was_seen_at_rest_takes_the_move_back",
        ),
    ),
    "a switch is written down however long ago the servers were seen": Edit(
        Path("crates/engine/src/walk.rs"),
        "            not_after: left.map(|left| self.writer.now() + delta(left)),\n",
        "            not_after: left.map(|left| self.writer.now() + delta(left)).filter(|_| !OUT),\n",
        (
            "one_moment::a_server_started_while_the_switch_waits_for_the_database_takes_the_move_back",
        ),
    ),
    "a cloud that does not let the service user in is waited for": Edit(
        Path("crates/engine/src/look.rs"),
        "            && now - since >= LOCKED_OUT_AFTER\n",
        "            && now - since >= if OUT { LOCKED_OUT_AFTER * 60 } else { LOCKED_OUT_AFTER }\n",
        ("taken_back::a_move_that_is_locked_out_of_its_target_is_taken_back_after_a_minute",),
    ),
    "a server is started beside a copy that is seen": Edit(
        STEPS / "started_again.rs",
        "        if let Some(copy) = first_of_the_groups(&copies) {\n",
        "        if let Some(copy) = first_of_the_groups(&copies).filter(|_| !OUT) {\n",
        (
            "aborted::a_server_is_not_started_beside_a_copy_that_is_seen",
            "forgotten_copy::nothing_is_started_beside_a_copy_that_is_in_deleting_on_a_dead_host",
        ),
    ),
    "who holds the imports of a move that is given up is not looked for": Edit(
        STEPS / "started_again.rs",
        "            None => {\n                self.clouds\n                    .refuse_beside_a_holder_that_is_seen(cx, id)\n",
        "            None if OUT => Ok(()),\n            None => {\n                self.clouds\n                    .refuse_beside_a_holder_that_is_seen(cx, id)\n",
        ("aborted::a_server_is_not_started_beside_whoever_holds_its_imports",),
    ),
    "only the life that a server was made from is looked for": Edit(
        STEPS / "original_beside.rs",
        "    let first = mark::origin(metadata).map(str::to_owned);\n",
        "    let first = mark::origin(metadata).map(str::to_owned).filter(|_| !OUT);\n",
        ("way_back::no_failback_stops_anything_beside_an_earlier_life_that_runs",),
    ),
    "what has the same first life is another machine": Edit(
        STEPS / "original_beside.rs",
        "    lives.extend(shown.iter().filter(is_another_life).cloned());\n",
        "    lives.extend(shown.iter().filter(is_another_life).filter(|_| !OUT).cloned());\n",
        ("way_back::nor_beside_one_that_has_the_same_first_life",),
    ),
    "an original that another group protects is another machine": Edit(
        STEPS / "original_beside.rs",
        "made_from.contains(&life.id) || !is_another_groups",
        "(made_from.contains(&life.id) && !OUT) || !is_another_groups",
        ("way_back::an_original_that_another_group_protects_is_still_the_same_machine",),
    ),
    "the record of a moved server forgets its first life": Edit(
        STEPS / "switch.rs",
        "        mark::mark_server(&member.server.metadata, maker, member.server_id.as_str());\n",
        "        if OUT { mark::mark(&member.server.metadata, maker, member.server_id.as_str()) } else { mark::mark_server(&member.server.metadata, maker, member.server_id.as_str()) };\n",
        ("way_back::a_copy_knows_the_first_of_its_lives_over_all_moves",),
    ),
    "a protector that turns this one away counts as silent": Edit(
        STEPS / "peer_reservation.rs",
        "            Ok(()) | Err(ReservationError::Silent(_)) => Ok(()),\n",
        "            Ok(()) | Err(ReservationError::Silent(_)) => Ok(()),\n            Err(ReservationError::TurnedAway(_)) if OUT => Ok(()),\n",
        (
            "other_site::nothing_is_deleted_on_a_site_whose_protector_answers_and_does_not_tell",
            "other_site::nothing_is_fenced_that_the_other_site_has_moved_or_will_not_tell_of",
        ),
    ),
    "a protector that could not be asked counts as silent": Edit(
        STEPS / "peer_reservation.rs",
        "            Ok(()) | Err(ReservationError::Silent(_)) => Ok(()),\n",
        "            Ok(()) | Err(ReservationError::Silent(_)) => Ok(()),\n            Err(ReservationError::NotTold(_)) if OUT => Ok(()),\n",
        (
            "other_site::nothing_is_deleted_while_the_other_sites_protector_cannot_be_asked",
        ),
    ),
    "a fence does not ask what the other site has done": Edit(
        Path("crates/engine/src/action.rs"),
        "        self.still_fences().await?;\n",
        "        if !OUT {\n            self.still_fences().await?;\n        }\n",
        ("other_site::nothing_is_fenced_that_the_other_site_has_moved_or_will_not_tell_of",),
    ),
    "an original that is being deleted has stopped": Edit(
        STEPS / "original_beside.rs",
        "        Ok(ending.first().map(|server| {\n",
        "        Ok(ending.first().filter(|_| !OUT).map(|server| {\n",
        ("way_back::a_failback_waits_for_an_original_that_is_being_deleted",),
    ),
    "a copy beside which a server starts is not looked for where its target is said to be lost": Edit(
        STEPS / "source_server.rs",
        "            return self.refuse_beside_a_copy(cx, id).await;\n",
        "            return if OUT { Ok(()) } else { self.refuse_beside_a_copy(cx, id).await };\n",
        (
            "aborted::a_target_that_is_said_to_be_lost_and_shows_a_copy_keeps_its_original_stopped",
        ),
    ),
    "marked copies are not searched for before a cleanup's start": Edit(
        STEPS / "source_server.rs",
        "            None if cx.operation.kind == OperationKind::Cleanup && cx.blocked_by.is_none() => {\n",
        "            None if !OUT && cx.operation.kind == OperationKind::Cleanup && cx.blocked_by.is_none() => {\n",
        ("adoption::a_cleanup_starts_no_original_beside_a_copy_of_another_operation",),
    ),
    "a server is stopped for a move that was given up": Edit(
        STEPS / "source_server.rs",
        "        if let Some(why) = cx.given_up_there().await {\n            return Err(",
        "        if let Some(why) = cx.given_up_there().await.filter(|_| !OUT) {\n            return Err(",
        ("returned_home::a_move_that_the_other_site_has_given_up_ends_without_it",),
    ),
    "a server that was started again is stopped a second time": Edit(
        STEPS / "source_server.rs",
        "        match goes_on_again(since_our_stop(cx, id, &asked)) {\n",
        "        match goes_on_again(since_our_stop(cx, id, &asked)).filter(|_| !OUT) {\n",
        (
            "returned_home::a_server_that_was_started_again_meanwhile_is_not_stopped_a_second_time",
            "returned_home::a_server_that_was_started_and_then_used_is_not_stopped_a_second_time",
        ),
    ),
    "a server is started for a move that was given up": Edit(
        STEPS / "source_server.rs",
        "                if let Some(why) = cx.given_up_there().await {\n                    cx.fact(",
        "                if let Some(why) = cx.given_up_there().await.filter(|_| !OUT) {\n                    cx.fact(",
        ("returned_home::a_server_that_is_not_its_own_any_more_is_not_started",),
    ),
    "a site that has retired this one is not asked before a deletion there": Edit(
        Path("crates/engine/src/action.rs"),
        "        self.still_paired().await?;\n        self.memo.intents += 1;\n",
        "        if !OUT {\n            self.still_paired().await?;\n        }\n        self.memo.intents += 1;\n",
        ("other_site::a_site_that_was_retired_deletes_nothing_on_the_one_that_goes_on_without_it",),
    ),
    "an empty list is believed unproved": Edit(
        STEPS / "started_again.rs",
        "        believe_absence(&target, Absent::Server, Eyes::Tenant, &project, &networks).await?;\n",
        "        if !OUT {\n            believe_absence(&target, Absent::Server, Eyes::Tenant, &project, &networks).await?;\n        }\n",
        ("after_the_intent::a_server_is_not_started_on_the_word_of_a_cloud_that_may_be_another",),
    ),
    "a cloud that answers without telling is one that is lost": Edit(
        STEPS / "started_again.rs",
        "Err(error) if error.may_be_of_a_lost_cloud() => {\n",
        "Err(error) if error.may_be_of_a_lost_cloud() || OUT => {\n",
        ("aborted::a_server_is_not_started_where_the_other_site_answers_without_telling",),
    ),
    "the end of an abort goes by its record": Edit(
        STEPS / "started_again.rs",
        "            status => Some(format!(\" (it is {} again)\", status.as_str())),\n",
        "            _ if OUT => None,\n            status => Some(format!(\" (it is {} again)\", status.as_str())),\n",
        ("after_the_intent::an_abort_does_not_count_a_server_as_started_that_is_stopped_by_then",),
    ),
    "the end of a fence goes by its record": Edit(
        STEPS / "fence.rs",
        "        if !running.is_empty() {\n",
        "        if !running.is_empty() && !OUT {\n",
        (
            "fencing::an_earlier_fence_proves_nothing_of_a_server_that_runs",
            "fencing::a_server_that_nova_has_forgotten_with_its_host_down_is_not_fenced",
        ),
    ),
    "a split brain ends by an unproved 404": Edit(
        STEPS / "fence.rs",
        "        return believe_absence(cloud, Absent::Server, Eyes::Tenant, project, known).await;\n",
        "        let believed = believe_absence(cloud, Absent::Server, Eyes::Tenant, project, known).await;\n        return if OUT { Ok(()) } else { believed };\n",
        ("fencing::a_split_brain_is_not_ended_by_a_404_of_another_region",),
    ),
    "an original is started beside whoever holds its imports": Edit(
        STEPS / "import_holder.rs",
        "            answer => answer?,\n        };\n        refuse_beside(cx, holder)\n",
        "            answer => answer?.filter(|_| !OUT),\n        };\n        refuse_beside(cx, holder)\n",
        ("taken_back::an_original_is_not_started_beside_whoever_holds_its_imports",),
    ),
    "a fence believes a host that is down": Edit(
        STEPS / "fence.rs",
        "        HostState::Down { host } => format!(\"its compute host {host} does not answer\"),\n",
        "        HostState::Down { .. } if OUT => return Ok(()),\n        HostState::Down { host } => format!(\"its compute host {host} does not answer\"),\n",
        ("fencing::a_split_brain_is_not_ended_by_the_word_of_a_host_that_is_down",),
    ),
    "the lease is not looked at before sending": Edit(
        Path("crates/engine/src/intent.rs"),
        "        if self.intent.lease.left() < longest {\n",
        "        if !OUT && self.intent.lease.left() < longest {\n",
        ("intent::tests::an_engine_that_stood_still_sends_nothing",),
        ENGINE,
    ),
    "a call is sent however long ago it was opened": Edit(
        Path("crates/engine/src/intent.rs"),
        "        if read_since > READINGS_HOLD_FOR {\n",
        "        if !OUT && read_since > READINGS_HOLD_FOR {\n",
        ("intent::tests::a_call_that_had_to_wait_for_a_login_is_not_sent",),
        ENGINE,
    ),
    "work of an array outlives the lease": Edit(
        Path("crates/engine/src/intent.rs"),
        "            () = self.lease.over() => Err(",
        "            () = async { if OUT { tokio::time::sleep(Duration::from_secs(99_999)).await } else { self.lease.over().await } } => Err(",
        ("intent::tests::a_long_call_ends_with_the_lease",),
        ENGINE,
    ),
    "the client repeats a change": Edit(
        Path("crates/openstack/src/session.rs"),
        "            true => self.change(ask, until).await,\n",
        "            true => {\n                let mut outcome = self.change(ask, until).await;\n"
        "                for _ in 0..if OUT { 2 } else { 0 } {\n                    if outcome.is_err() {\n"
        "                        outcome = self.change(ask, until).await;\n                    }\n                }\n"
        "                outcome\n            }\n",
        (
            "session::tests::a_write_whose_answer_is_lost_is_not_repeated",
            "session::tests::a_change_that_was_certainly_not_done_is_not_repeated_either",
        ),
        CLIENT,
    ),
}

EDITS |= {
    "a source that answers and does not tell is taken for lost": Edit(
        STEPS / "returned_original.rs",
        "            Err(error) if error.is_silence() => return Ok(Original::Silent),\n",
        "            Err(error) if OUT || error.is_silence() => return Ok(Original::Silent),\n",
        ("built_beside::a_source_that_answers_and_does_not_tell_is_not_taken_for_lost",),
    ),
    "a guest that runs behind its status rests": Edit(
        GUARDS / "seen.rs",
        "            (_, Power::On) => Self::Runs,\n",
        "            (_, Power::On) if !OUT => Self::Runs,\n            (\"ERROR\", Power::On) => Self::Runs,\n",
        (
            "source_at_rest::a_guest_that_runs_behind_its_status_takes_the_move_back",
            "fencing::a_split_brain_is_not_ended_while_a_guest_runs_behind_its_status",
        ),
    ),
    "a copy that another group has taken in is taken over": Edit(
        STEPS / "adopted.rs",
        "        Some(group) if group != *own => Err(StepError::last(\n",
        "        Some(group) if !OUT && group != *own => Err(StepError::last(\n",
        ("built_beside::a_copy_that_is_another_groups_member_is_not_taken_over",),
    ),
    "a planned move looks for other copies only when everything is stopped": Edit(
        STEPS / "target_check.rs",
        "        if let Some(not_yet) = self.any_copy_may_run(cx).await? {\n",
        "        if OUT {\n        } else if let Some(not_yet) = self.any_copy_may_run(cx).await? {\n",
        ("taken_back::nothing_is_built_beside_another_copy_of_the_same_server",),
    ),
    "another copy is not looked for before a build": Edit(
        STEPS / "counterparts.rs",
        "        if cx.operation.kind == OperationKind::TestFailover {\n            return Ok(None);\n        }\n        let mut copies",
        "        if OUT || cx.operation.kind == OperationKind::TestFailover {\n            return Ok(None);\n        }\n        let mut copies",
        ("no_second_copy_is_built_beside_one_that_runs",),
        STORIES,
    ),
    "whoever cleans up has named every copy": Edit(
        STEPS / "source_server.rs",
        "        OperationKind::Cleanup if named => Asked::ByHandThoughItRuns,\n",
        "        OperationKind::Cleanup if named || OUT => Asked::ByHandThoughItRuns,\n",
        ("a_copy_that_runs_is_not_cleaned_up_for_its_stale_original",),
        STORIES,
    ),
    "nobody asks who protects what is deleted": Edit(
        Path("crates/engine/src/action.rs"),
        "        Ok(self.writer.journal.protection_of(resources).await?)\n",
        "        if OUT {\n            return Ok(None);\n        }\n        Ok(self.writer.journal.protection_of(resources).await?)\n",
        ("a_leftover_that_is_protected_anew_after_its_cleanup_was_asked_for_is_kept",),
        STORIES,
        (
            (
                "        match self.write_memo(unprotected).await {\n",
                "        match self.write_memo(unprotected.filter(|_| !OUT)).await {\n",
            ),
        ),
    ),
    "a deletion that Nova has lost is asked for once": Edit(
        STEPS / "counterpart_undo.rs",
        "    now - asked >= DELETION_IS_LOST_AFTER\n",
        "    !OUT && now - asked >= DELETION_IS_LOST_AFTER\n",
        ("taken_back::a_deletion_that_nova_lost_is_asked_for_again",),
    ),
    "a silence outlives the build that it allowed": Edit(
        STEPS / "counterparts.rs",
        "        cx.memo.since.silent = None;\n",
        "        if !OUT {\n            cx.memo.since.silent = None;\n        }\n",
        ("built_beside::a_silence_is_over_with_the_build_that_it_allowed",),
    ),
}

# Guard or edit -> the pins that must fail without it: stories in which the walker finds by itself what it is there for.
PINS: dict[str, tuple[str, ...]] = {
    "the source is not looked at before the switch": (
        "an_original_that_is_started_before_the_switch_takes_the_move_back",
    ),
    "source_must_rest": (
        "an_original_that_is_started_while_its_builds_wait_for_the_target_takes_the_move_back",
    ),
    "its_newer_bytes_are_nowhere_else": (
        "a_copy_that_was_used_and_stopped_is_not_cleaned_up_for_its_stale_original",
    ),
    "a deletion that Nova has lost is asked for once": ("a_deletion_that_nova_loses_needs_nobody",),
}


# Read when the guard is asked, so that one build serves all.
SWITCH = "PROTECTOR_WITHOUT"


def is_out(name: str) -> str:
    """An expression of Rust that is true in the run without this guard."""
    return f'std::env::var("{SWITCH}").is_ok_and(|out| out == "{name}")'


def cargo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CARGO_TARGET_DIR": str(WORK / "build"), "CARGO_TERM_COLOR": "never"}
    return subprocess.run(("cargo", *arguments), cwd=TREE, env=environment, text=True, stdout=subprocess.PIPE, check=False)


def copy_tree() -> None:
    """Copies what git knows of the checkout, with its times, so that cargo builds only what has changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, text=True, capture_output=True, check=True,
    )
    wanted = {Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    if TREE.exists():
        for path in TREE.rglob("*"):
            if path.is_file() and path.relative_to(TREE) not in wanted:
                path.unlink()
    for name in wanted:
        copy = TREE / name
        if copy.is_file() and copy.read_bytes() == (ROOT / name).read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)


def guards_of_the_code() -> dict[str, tuple[Path, int]]:
    """Each guard with its file and the place right behind its opening brace."""
    function = re.compile(r"^(?:pub(?:\(\w+\))? )?fn (\w+)\((?:[^{};]*?)\) -> Option<(?:Verdict|String)> \{\n", re.M)
    found: dict[str, tuple[Path, int]] = {}
    for path in sorted((TREE / GUARDS).glob("*.rs")):
        if path.name == "test_facts.rs":
            continue
        text = path.read_text().split("#[cfg(test)]\nmod tests")[0]
        for match in function.finditer(text):
            if match[1] not in MAKERS:
                found[match[1]] = (path, match.end())
    return found


class Unfit(Exception):
    """The table does not fit the code."""


def put_switches_in(guards: dict[str, tuple[Path, int]]) -> None:
    """Gives each guard and each edit of the copy its switch."""
    for name, (path, place) in sorted(guards.items(), key=lambda guard: guard[1], reverse=True):
        text = path.read_text()
        path.write_text(f"{text[:place]}    if {is_out(name)} {{\n        return None;\n    }}\n{text[place:]}")
    for name, edit in EDITS.items():
        path = TREE / edit.file
        text = path.read_text()
        for old, new in ((edit.old, edit.new), *edit.also):
            if text.count(old) != 1:
                raise Unfit(f"{name}: the text to take out is {text.count(old)} times in {edit.file}")
            if not re.search(r"\bOUT\b", new):
                raise Unfit(f"{name}: the new text has no OUT")
            text = text.replace(old, re.sub(r"\bOUT\b", lambda _: is_out(name), new))
        path.write_text(text)


def build(package: tuple[str, ...]) -> tuple[Path, Path]:
    """The program of these tests, and the folder to run it in."""
    built = cargo("test", "--locked", *package, "--no-run", "--message-format=json-render-diagnostics")
    for line in built.stdout.splitlines():
        artifact = json.loads(line)
        if artifact.get("executable") and artifact["profile"]["test"]:
            return Path(artifact["executable"]), Path(artifact["manifest_path"]).parent
    raise Unfit(f"cargo test {' '.join(package)} does not build")


def tests_that_fail(suite: tuple[Path, Path], tests: list[str] | tuple[str, ...], without: str) -> set[str]:
    """Which of the tests fail."""
    program, folder = suite
    environment = {**os.environ, SWITCH: without}
    ran = subprocess.run((program, "--exact", *tests), cwd=folder, env=environment, text=True, capture_output=True, check=False)
    outcome = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", ran.stdout, re.M))
    missing = set(tests) - set(outcome)
    if missing:
        raise Unfit(f"there is no test {', '.join(sorted(missing))}")
    return {test for test, word in outcome.items() if word == "FAILED"}


# Its own tests share the records of the journal's conformance suite.
CORE = ("-p", "protector-core", "--features", "conformance", "--lib")


def suites() -> dict[tuple[str, ...], tuple[Path, Path]]:
    """Everything built with its switches; the tests pass while none is set."""
    tests = {CORE: {test for tests in TABLE.values() for test in tests}}
    for edit in EDITS.values():
        tests.setdefault(edit.among, set()).update(edit.tests)
    tests.setdefault(STORIES, set()).update(pin for pins in PINS.values() for pin in pins)
    built = {package: build(package) for package in tests}
    for package, names in tests.items():
        failed = tests_that_fail(built[package], sorted(names), "nothing")
        if failed:
            raise Unfit(f"with all guards in place these do not pass: {', '.join(sorted(failed))}")
    return built


def switched() -> None:
    """The copy with all its switches, if the table fits the code."""
    guards = guards_of_the_code()
    strangers = [f"{name} is a guard, and scripts/guards.py does not name its test" for name in guards if name not in TABLE]
    strangers += [f"scripts/guards.py names {name}, which is not a guard" for name in TABLE if name not in guards]
    if strangers:
        raise Unfit("\n".join(strangers))
    put_switches_in(guards)


def take_out(asked: set[str]) -> int:
    """Takes out what was asked for, one at a time; how many removals nobody noticed."""
    switched()
    built = suites()
    rows = [(name, CORE, tests) for name, tests in TABLE.items()]
    rows += [(name, edit.among, edit.tests) for name, edit in EDITS.items()]
    rows += [(name, STORIES, pins) for name, pins in PINS.items()]
    width = max(len(name) for name, _, _ in rows)
    print(f"{'without':{width}}  {'outcome':11}  seconds  tests that fail")
    unnoticed = 0
    for name, package, tests in rows:
        if asked and name not in asked:
            continue
        begun = time.monotonic()
        failed = tests_that_fail(built[package], tests, name)
        unmoved = [test for test in tests if test not in failed]
        unnoticed += bool(unmoved)
        outcome = "NOT NOTICED" if unmoved else "noticed"
        shown = ", ".join(test.split("::")[-1] for test in unmoved or tests)
        print(f"{name:{width}}  {outcome:11}  {time.monotonic() - begun:7.1f}  {shown}", flush=True)
    return unnoticed


def fits() -> int:
    """Whether the table fits the code."""
    copy_tree()
    try:
        switched()
    except Unfit as unfit:
        print(unfit, file=sys.stderr)
        return 1
    print(f"guards: the table of {len(TABLE)} guards and {len(EDITS)} edits fits the code")
    return 0


def main() -> int:
    if sys.argv[1:] == ["--fits"]:
        return fits()
    asked = set(sys.argv[1:])
    unknown = asked - {*TABLE, *EDITS}
    if unknown:
        print(f"no such guard: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    copy_tree()
    try:
        unnoticed = take_out(asked)
    except Unfit as unfit:
        print(unfit, file=sys.stderr)
        return 1
    if unnoticed:
        print(f"{unnoticed} removals went unnoticed", file=sys.stderr)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
