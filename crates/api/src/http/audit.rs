//! What of a request goes into the audit trail: every call that may change something, also one that was refused.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode, header};
use protector_oslo::audit::{AuditOutcome, Event, Initiator, Reason, Resource, Tag, UNKNOWN};
use serde_json::Value;

use crate::{
    app::App,
    http::{access::shown, metrics::CLIENT_GONE, request::RequestContext},
};

/// Most characters of a path in an event.
const PATH: usize = 250;

/// The last words of paths at which POST makes a thing; at others it does something to one.
const COLLECTIONS: [&str; 5] = [
    "sites",
    "tenant-mappings",
    "protection-groups",
    "members",
    "policy",
];

/// Writes what a request has done into the audit trail.
pub async fn witness(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let (Some(context), true, true) = (context, app.audit.is_kept(), changes(request.method()))
    else {
        return next.run(request).await;
    };
    let deed = AuditedChange::of(app, context, &request);
    let response = next.run(request).await;
    deed.answered(response).await
}

fn changes(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// A call that may change something; written down when this goes out of scope.
struct AuditedChange {
    app: Arc<App>,
    context: RequestContext,
    agent: Option<String>,
    path: String,
    action: String,
    target: Resource,
    status: Option<StatusCode>,
    operation_id: Option<String>,
}

impl AuditedChange {
    fn of(app: Arc<App>, context: RequestContext, request: &Request) -> Self {
        let template = request.extensions().get::<MatchedPath>();
        let template = template.map_or("", MatchedPath::as_str);
        let path = request.uri().path();
        let agent = request.headers().get(header::USER_AGENT);
        Self {
            app,
            context,
            agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            path: shown(path, PATH),
            action: action(request.method(), template),
            target: target(template, path),
            status: None,
            operation_id: None,
        }
    }

    /// Notes what became of it: the answer's status, and the ids in it.
    async fn answered(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        let (parts, body) = response.into_parts();
        // An answer is in memory already; this takes its text and copies nothing.
        let text = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if parts.status.is_success() {
            self.note_ids(&text);
        }
        Response::from_parts(parts, Body::from(text))
    }

    fn note_ids(&mut self, text: &Bytes) {
        let Ok(Value::Object(answer)) = serde_json::from_slice(text) else {
            return;
        };
        let id = |value: &Value| value["id"].as_str().map(str::to_owned);
        self.operation_id = answer.get("operation").and_then(id);
        if self.action == "create"
            && let Some(made) = answer.values().find_map(id)
        {
            self.target.id = made;
        }
    }

    fn outcome(&self) -> AuditOutcome {
        match self.status {
            Some(status) if status.is_client_error() || status.is_server_error() => {
                AuditOutcome::Failure
            }
            Some(_) => AuditOutcome::Success,
            None => AuditOutcome::Unknown,
        }
    }
}

impl Drop for AuditedChange {
    fn drop(&mut self) {
        let context = &self.context;
        let action = match context.act() {
            Some(act) if self.action == "update/action" => format!("update/{act}"),
            _ => self.action.clone(),
        };
        let status = self.status.map_or(CLIENT_GONE, |code| code.as_u16());
        let operation = self.operation_id.take().into_iter();
        let event = Event {
            action,
            outcome: self.outcome(),
            initiator: Initiator {
                user_id: context.user(),
                user_name: context.user_name(),
                project_id: context.project(),
                address: context.origin().client().map(|address| address.to_string()),
                agent: self.agent.take(),
                request_id: Some(context.local.to_string()),
                global_request_id: context.global.map(|id| id.to_string()),
            },
            target: self.target.clone(),
            path: Some(self.path.clone()),
            reason: Some(Reason::Http(status.to_string())),
            tags: operation.map(|id| (Tag::Operation, id)).collect(),
        };
        let App {
            audit, ids, clock, ..
        } = &*self.app;
        audit.record(ids.uuid(), clock.now(), &event);
    }
}

/// CADF's word for a call, as keystonemiddleware chooses it.
fn action(method: &Method, template: &str) -> String {
    let last = template.rsplit('/').next().unwrap_or_default();
    match method.as_str() {
        "DELETE" => "delete".to_owned(),
        "POST" if COLLECTIONS.contains(&last) => "create".to_owned(),
        "POST" if !last.is_empty() && !last.starts_with('{') => format!("update/{last}"),
        "POST" | "PUT" | "PATCH" => "update".to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

/// What a call is about: the words of its path, and the last name in it that is not the project's.
fn target(template: &str, path: &str) -> Resource {
    let mut kind = Vec::new();
    let mut id = None;
    let segments = template.split('/').zip(path.split('/')).skip(2);
    for (word, given) in segments {
        if word == "{project_id}" || word == "action" {
            continue;
        }
        if word.starts_with('{') {
            id = Some(shown(given, PATH));
        } else {
            kind.push(word);
        }
    }
    let id = id.unwrap_or_else(|| UNKNOWN.to_owned());
    Resource::of_protector(&kind.join("/"), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_what_it_does_and_to_what() {
        let groups = "/v1/{project_id}/protection-groups";
        for (method, template, path, expected) in [
            (
                Method::POST,
                groups,
                "/v1/p/protection-groups",
                ("create", "protection-groups", UNKNOWN),
            ),
            (
                Method::POST,
                "/v1/{project_id}/protection-groups/{group}/action",
                "/v1/p/protection-groups/web/action",
                ("update/action", "protection-groups", "web"),
            ),
            (
                Method::DELETE,
                "/v1/{project_id}/protection-groups/{group}/members/{member}",
                "/v1/p/protection-groups/web/members/m-1",
                ("delete", "protection-groups/members", "m-1"),
            ),
            (
                Method::POST,
                "/v1/{project_id}/operations/{operation}/cleanup",
                "/v1/p/operations/op-1/cleanup",
                ("update/cleanup", "operations/cleanup", "op-1"),
            ),
            (
                Method::PUT,
                "/v1/admin/sites/{site}",
                "/v1/admin/sites/site-a",
                ("update", "admin/sites", "site-a"),
            ),
            (Method::POST, "", "/nowhere/at/all", ("update", "", UNKNOWN)),
        ] {
            let named = target(template, path);
            let told = (action(&method, template), named.type_uri, named.id);
            let (word, kind, id) = expected;
            let kind = format!("service/protector/{kind}");
            assert_eq!(told, (word.to_owned(), kind, id.to_owned()));
        }
    }
}
