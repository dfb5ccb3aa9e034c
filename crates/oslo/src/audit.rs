//! The audit trail: who changed what, from where, and what became of it; one line of JSON for each.
//!
//! The events have DMTF's CADF form as keystonemiddleware's audit filter and pycadf write it, so that what reads the trails
//! of Nova and Cinder reads this one. They go to a file of their own: a debug log is turned up, down and thrown away.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    config::Config,
    log::{LogError, LogFile},
};

/// CADF's word for what is not known.
pub const UNKNOWN: &str = "unknown";

const EVENT: &str = "http://schemas.dmtf.org/cloud/audit/1.0/event";
const USER: &str = "service/security/account/user";
const SERVICE: &str = "service/protector";

/// The longest text of an event that comes from a caller, in characters.
const LONGEST: usize = 255;

/// What became of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done, or taken on.
    Success,
    /// It was refused, or did not succeed.
    Failure,
    /// Nobody waited for the answer: it may have been done.
    Unknown,
}

impl AuditOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => UNKNOWN,
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, Default)]
pub struct Initiator {
    /// The user; `None` without a valid token.
    pub user_id: Option<String>,
    pub user_name: Option<String>,
    /// The project that the token is for.
    pub project_id: Option<String>,
    /// From where the request came.
    pub address: Option<String>,
    /// With what program, in its own words.
    pub agent: Option<String>,
    /// The request's id here.
    pub request_id: Option<String>,
    /// The id that the caller gave the request.
    pub global_request_id: Option<String>,
}

/// To what it was done.
#[derive(Debug, Clone)]
pub struct Resource {
    /// CADF's name of the kind of thing, `service/protector/protection-groups/members` for example.
    pub type_uri: String,
    /// Its id, or the name by which it was called.
    pub id: String,
}

impl Resource {
    /// Something that protector itself keeps, of a kind below `service/protector`.
    pub fn of_protector(kind: &str, id: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{SERVICE}/{kind}"),
            id: id.into(),
        }
    }
}

/// Why a deed became what it did.
#[derive(Debug, Clone)]
pub enum Reason {
    /// The HTTP status of the answer.
    Http(String),
    /// The code of an error, as operations record it.
    Code(String),
}

impl Reason {
    fn told(&self) -> Value {
        let (kind, code) = match self {
            Self::Http(status) => ("HTTP", status),
            Self::Code(code) => ("protector", code),
        };
        json!({"reasonType": kind, "reasonCode": code})
    }
}

/// What else is told of a deed, as pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The operation that it began, or that did it.
    Operation,
    /// The site whose cloud it was done to.
    Site,
    Project,
}

impl Tag {
    fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation_id",
            Self::Site => "site",
            Self::Project => "project_id",
        }
    }
}

/// A deed.
#[derive(Debug, Clone)]
pub struct Event {
    /// CADF's word: `create`, `update`, `delete`, or `update/failover` and the like.
    pub action: String,
    /// What became of it.
    pub outcome: AuditOutcome,
    pub initiator: Initiator,
    pub target: Resource,
    /// The path of the request.
    pub path: Option<String>,
    /// Why it became that.
    pub reason: Option<Reason>,
    /// What else is known of it.
    pub tags: Vec<(Tag, String)>,
}

/// Where events are written.
#[derive(Debug)]
pub struct AuditTrail {
    file: Option<Arc<LogFile>>,
    program: &'static str,
    host: String,
    losing: AtomicBool,
}

impl AuditTrail {
    /// Opens the file that `[audit] log_file` names; without that nothing is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(config: &Config, program: &'static str) -> Result<Self, LogError> {
        let path = config.audit.path(config.general.log_dir.as_deref());
        let host = config.general.host.clone();
        Self::at(path, program, host)
    }

    /// The same with the file's path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn at(
        path: Option<PathBuf>,
        program: &'static str,
        host: String,
    ) -> Result<Self, LogError> {
        let open = |path| LogFile::open(path, "[audit] log_file").map(Arc::new);
        Ok(Self {
            file: path.map(open).transpose()?,
            program,
            host,
            losing: AtomicBool::new(false),
        })
    }

    /// Whether events are kept at all.
    pub fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// The file, to be opened anew after a log rotation.
    pub fn file(&self) -> Option<&Arc<LogFile>> {
        self.file.as_ref()
    }

    /// Writes `event` down as `id`. What cannot be written is told in the log, and holds nothing up: what it tells of has
    /// been done.
    pub fn record(&self, id: Uuid, at: DateTime<Utc>, event: &Event) {
        let Some(file) = &self.file else {
            return;
        };
        let written = file.append(&self.line(id, at, event).to_string());
        let was_losing = self.losing.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Err(error) if !was_losing => {
                tracing::error!(%error, "[audit] log_file cannot be written: events are lost");
            }
            Ok(()) if was_losing => tracing::warn!("[audit] log_file can be written again"),
            _ => {}
        }
    }

    fn line(&self, id: Uuid, at: DateTime<Utc>, event: &Event) -> Value {
        let mut line = json!({
            "typeURI": EVENT,
            "eventType": "activity",
            "id": id.to_string(),
            "eventTime": at.format("%Y-%m-%dT%H:%M:%S%.6f%z").to_string(),
            "action": event.action,
            "outcome": event.outcome.as_str(),
            "initiator": initiator(&event.initiator),
            "target": {
                "typeURI": event.target.type_uri,
                "id": cut(&event.target.id),
            },
            "observer": {"typeURI": SERVICE, "id": self.host, "name": self.program},
        });
        if let Some(path) = &event.path {
            line["requestPath"] = cut(path).into();
        }
        if let Some(reason) = &event.reason {
            line["reason"] = reason.told();
        }
        let tag = |(tag, value): &(Tag, String)| format!("{}?value={}", tag.as_str(), cut(value));
        let tags: Vec<_> = event.tags.iter().map(tag).collect();
        if !tags.is_empty() {
            line["tags"] = json!(tags);
        }
        line
    }
}

fn initiator(who: &Initiator) -> Value {
    let mut told = Map::new();
    told.insert("typeURI".to_owned(), USER.into());
    let id = who.user_id.as_deref().unwrap_or(UNKNOWN);
    told.insert("id".to_owned(), cut(id).into());
    let others = [
        ("name", &who.user_name),
        ("project_id", &who.project_id),
        ("request_id", &who.request_id),
        ("global_request_id", &who.global_request_id),
    ];
    for (key, value) in others {
        if let Some(value) = value {
            told.insert(key.to_owned(), cut(value).into());
        }
    }
    let mut host = Map::new();
    for (key, value) in [("address", &who.address), ("agent", &who.agent)] {
        if let Some(value) = value {
            host.insert(key.to_owned(), cut(value).into());
        }
    }
    if !host.is_empty() {
        told.insert("host".to_owned(), host.into());
    }
    told.into()
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn an_event_has_the_form_of_pycadf_and_is_one_bounded_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let trail = AuditTrail::at(Some(path.clone()), "protector-api", "controller".to_owned());
        let event = Event {
            action: "update/failover".to_owned(),
            outcome: AuditOutcome::Success,
            initiator: Initiator {
                user_id: Some("u-1".to_owned()),
                project_id: Some("p-1".to_owned()),
                address: Some("192.0.2.7".to_owned()),
                agent: Some(format!("curl\n{{\"forged\": true}}{}", "x".repeat(5000))),
                request_id: Some("req-1".to_owned()),
                ..Initiator::default()
            },
            target: Resource::of_protector("protection-groups", "web"),
            path: Some("/v1/p-1/protection-groups/web/action".to_owned()),
            reason: Some(Reason::Http("202".to_owned())),
            tags: vec![(Tag::Operation, "op-1".to_owned())],
        };
        let at = Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap();
        trail.unwrap().record(Uuid::nil(), at, &event);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.len() < 1500, "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["typeURI"], EVENT);
        assert_eq!(told["eventType"], "activity");
        assert_eq!(told["eventTime"], "2025-11-03T14:00:00.000000+0000");
        assert_eq!(told["action"], "update/failover");
        assert_eq!(told["outcome"], "success");
        assert_eq!(told["initiator"]["id"], "u-1");
        assert_eq!(told["initiator"]["host"]["address"], "192.0.2.7");
        assert_eq!(
            told["target"]["typeURI"],
            "service/protector/protection-groups"
        );
        assert_eq!(told["observer"]["name"], "protector-api");
        assert_eq!(told["reason"]["reasonCode"], "202");
        assert_eq!(told["tags"], json!(["operation_id?value=op-1"]));
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let trail = AuditTrail::at(None, "protector-api", String::new()).unwrap();
        assert!(!trail.is_kept() && trail.file().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_refused_with_its_option() {
        let dir = tempfile::tempdir().unwrap();
        let path = Some(dir.path().to_owned());
        let refused = AuditTrail::at(path, "protector-api", String::new()).unwrap_err();
        assert!(
            refused.to_string().contains("[audit] log_file"),
            "{refused}"
        );
    }
}
