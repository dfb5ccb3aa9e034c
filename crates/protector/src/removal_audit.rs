//! What the engine removes, in the audit trail: servers and volumes that it deleted or let go of in a cloud, promoted copies
//! that it discarded on an array, and those that it could not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use protector_core::{
    id::OperationId,
    journal::Effect,
    leftover::{Remedy, Removal, RemovalEnd, removals},
    operation::{Operation, OperationRecord, ResourceMap, StepProgress, StepRecord},
    runbook::resource::ResourceKind,
};
use protector_oslo::audit::{AuditOutcome, AuditTrail, Event, Initiator, Reason, Resource, Tag};
use uuid::Uuid;

/// Writes removals into the audit trail as their ends are recorded.
pub struct RemovalAudit {
    trail: Arc<AuditTrail>,
    walked: Mutex<HashMap<OperationId, OperationRecord>>,
}

impl RemovalAudit {
    /// Tells `trail`; `None` where none is kept.
    pub fn new(trail: &Arc<AuditTrail>) -> Option<Self> {
        trail.is_kept().then(|| Self {
            trail: Arc::clone(trail),
            walked: Mutex::default(),
        })
    }

    /// This engine walks an operation from here on.
    pub fn begin(&self, record: &OperationRecord) {
        let id = record.operation.id.clone();
        self.walked().insert(id, record.clone());
    }

    /// New progress of lines was recorded, together with `effects`.
    pub fn tell(
        &self,
        id: &OperationId,
        now: DateTime<Utc>,
        steps: &[(u32, StepProgress)],
        effects: &[Effect],
    ) {
        let mut walked = self.walked();
        let Some(record) = walked.get_mut(id) else {
            return;
        };
        for (position, progress) in steps {
            let Some(step) = progressed(record, *position, progress) else {
                continue;
            };
            for removal in removals(record, &step) {
                let event = event(&record.operation, &removal, &step);
                self.trail.record(entry_id(), now, &event);
            }
        }
        follow(&mut record.map, effects);
    }

    /// This engine walks an operation no more.
    pub fn end(&self, id: &OperationId) {
        self.walked().remove(id);
    }

    fn walked(&self) -> MutexGuard<'_, HashMap<OperationId, OperationRecord>> {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the progress of a line into `record`; the line, if its state is another one now.
fn progressed(
    record: &mut OperationRecord,
    position: u32,
    progress: &StepProgress,
) -> Option<StepRecord> {
    let step = record.steps.get_mut(position as usize)?;
    let before = std::mem::replace(&mut step.progress, progress.clone());
    (before.state != progress.state).then(|| step.clone())
}

fn follow(map: &mut ResourceMap, effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Mapped {
                kind,
                source,
                target,
            } => map.insert(*kind, source.clone(), target.clone()),
            Effect::Unmapped { kind, source } => map.remove(*kind, source),
            _ => {}
        }
    }
}

fn event(operation: &Operation, removal: &Removal, step: &StepRecord) -> Event {
    let is_gone = removal.end == RemovalEnd::Gone;
    let code = step.progress.error_code.filter(|_| !is_gone);
    Event {
        action: action(removal.remedy).to_owned(),
        outcome: match removal.end {
            RemovalEnd::Gone => AuditOutcome::Success,
            RemovalEnd::Failed => AuditOutcome::Failure,
            RemovalEnd::Unknown => AuditOutcome::Unknown,
        },
        initiator: Initiator {
            user_id: Some(operation.user_id.to_string()),
            project_id: Some(operation.project_id.to_string()),
            request_id: Some(operation.request_id.clone()),
            global_request_id: operation.global_request_id.clone(),
            ..Initiator::default()
        },
        target: Resource {
            type_uri: type_uri(removal.kind).to_owned(),
            id: removal.resource_id.clone(),
        },
        path: None,
        reason: code.map(|code| Reason::Code(code.as_str().to_owned())),
        tags: vec![
            (Tag::Operation, operation.id.to_string()),
            (Tag::Site, removal.scope.site.to_string()),
            (Tag::Project, removal.scope.project_id.to_string()),
        ],
    }
}

fn action(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Unmanage => "delete/unmanage",
        Remedy::DiscardPromoted => "delete/discard",
        Remedy::Delete | Remedy::Start | Remedy::Unfence | Remedy::Resync | Remedy::Nothing => {
            "delete"
        }
    }
}

/// The kinds as keystonemiddleware's maps for Nova and Cinder name them.
fn type_uri(kind: Option<ResourceKind>) -> &'static str {
    match kind {
        Some(ResourceKind::Server) => "service/compute/servers",
        Some(ResourceKind::Volume) => "service/storage/block/volumes",
        Some(ResourceKind::Port) => "service/network/ports",
        Some(ResourceKind::FloatingIp) => "service/network/floatingips",
        None => "service/storage/array/volumes",
    }
}

/// The id of an entry in the audit trail.
#[allow(clippy::disallowed_methods, reason = "nothing rests on it")]
fn entry_id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use protector_core::{
        fault::Code,
        journal_conformance::{member, operation},
        operation::{MapKind, StepState},
        runbook::{Step, failover::planned_move},
    };
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn position(record: &OperationRecord, sought: impl Fn(&Step) -> bool) -> u32 {
        let found = record.steps.iter().find(|step| sought(&step.action));
        found.unwrap().position
    }

    fn ended(state: StepState, code: Option<Code>) -> StepProgress {
        StepProgress {
            state,
            error_code: code,
            ..StepProgress::default()
        }
    }

    #[test]
    fn what_was_removed_is_told_once_with_its_own_id_and_for_whom() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("audit.log");
        let trail = AuditTrail::at(Some(path.clone()), "protector-engine", "host".to_owned());
        let audit = RemovalAudit::new(&Arc::new(trail.unwrap())).unwrap();
        let mut record = operation(1);
        record.operation.plan.members = vec![member(&record, "web")];
        record.steps = planned_move(&record.operation.plan).into_steps().unwrap();
        let built = position(&record, |step| matches!(step, Step::RecreateServer { .. }));
        let imported = position(&record, |step| matches!(step, Step::ManageVolume { .. }));
        let checked = position(&record, |step| matches!(step, Step::CheckServer { .. }));
        let server = position(&record, |step| {
            matches!(step, Step::DeleteSourceServer { .. })
        });
        let volume = position(&record, |step| {
            matches!(step, Step::DeleteSourceVolume { .. })
        });
        let reserved = position(&record, |step| matches!(step, Step::ReservePorts { .. }));
        let source = record.steps[built as usize].resource_id.clone().unwrap();
        let left = record.steps[server as usize].resource_id.clone().unwrap();
        let disk = record.steps[volume as usize].resource_id.clone().unwrap();
        let id = record.operation.id.clone();
        let at = chrono::Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap();
        let tell = |position, progress, effects: &[Effect]| {
            audit.tell(&id, at, &[(position, progress)], effects);
        };
        audit.begin(&record);
        let became = Effect::Mapped {
            kind: MapKind::Server,
            source: source.clone(),
            target: "the-copy".to_owned(),
        };
        let gone = Effect::Unmapped {
            kind: MapKind::Server,
            source,
        };
        tell(checked, ended(StepState::Done, None), &[]);
        tell(built, ended(StepState::Done, None), &[became]);
        tell(built, ended(StepState::Undone, None), &[gone]);
        tell(imported, ended(StepState::Undone, None), &[]);
        tell(server, ended(StepState::Done, None), &[]);
        tell(server, ended(StepState::Done, None), &[]);
        tell(volume, ended(StepState::Running, None), &[]);
        tell(volume, ended(StepState::Failed, Some(Code::Kept)), &[]);
        let mut with_ports = ended(StepState::Failed, Some(Code::AlreadyGone));
        with_ports.memo.ports.deleted = vec!["port-1".to_owned()];
        tell(server, with_ports, &[]);
        let mut two_ports = ended(StepState::Undone, None);
        two_ports.memo.ports.deleted = vec!["port-2".to_owned(), "port-3".to_owned()];
        two_ports.memo.made = Some("port-3".to_owned());
        two_ports.memo.ports.unanswered = vec!["port-3".to_owned()];
        tell(reserved, two_ports, &[]);
        audit.end(&id);
        tell(server, ended(StepState::Failed, None), &[]);

        let text = std::fs::read_to_string(path).unwrap();
        let events: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let told: Vec<_> = events
            .iter()
            .map(|event| {
                let target = &event["target"];
                json!([
                    event["action"],
                    event["outcome"],
                    target["typeURI"],
                    target["id"]
                ])
            })
            .collect();
        let (servers, volumes) = ("service/compute/servers", "service/storage/block/volumes");
        let ports = "service/network/ports";
        let expected = [
            json!(["delete", "success", servers, "the-copy"]),
            json!(["delete", "success", servers, left]),
            json!(["delete", "failure", volumes, disk]),
            json!(["delete", "failure", servers, left]),
            json!(["delete", "success", ports, "port-1"]),
            json!(["delete", "success", ports, "port-2"]),
            json!(["delete", "unknown", ports, "port-3"]),
        ];
        assert_eq!(told, expected, "{text}");
        let operation = &record.operation;
        let plan = &operation.plan;
        assert_eq!(events[1]["initiator"]["id"], operation.user_id.as_str());
        assert_eq!(
            events[1]["tags"],
            json!([
                format!("operation_id?value={id}"),
                format!("site?value={}", plan.source.site),
                format!("project_id?value={}", plan.source.project_id),
            ])
        );
        assert_eq!(events[2]["reason"]["reasonCode"], Code::Kept.as_str());
    }
}
