//! From a request to what the wire does with it: faults, authentication, routing, the log.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, SimulatedService, uuid_of},
    faults::{CallEffect, CallFacts, Component},
    identity::Caller,
    log::CallRecord,
    reply::{Answer, Reply, fault, neutron_error, unauthorized, webob_error},
};

/// What becomes of an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Answered,
    /// The call was carried out; the connection closes without an answer.
    Lost,
    /// The call was not carried out; the connection is refused or closed.
    Dropped,
    /// The call was not carried out and is never answered.
    Hang,
}

/// The outcome of one request.
#[derive(Debug)]
pub struct Exchange {
    /// The answer; when it is not delivered, what the cloud would have said.
    pub response: Response<Bytes>,
    /// What becomes of it.
    pub delivery: Delivery,
    /// How long the cloud takes to answer.
    pub delay: Duration,
    /// The fault rule that holds the answer as long as the cloud has it.
    pub held_by: Option<String>,
}

impl SimCloud {
    /// Answers `request`, which arrives at `now`; jobs due by then run first. Delivery faults and response
    /// times are left out: see [`SimCloud::exchange`].
    pub fn handle(&mut self, now: SimTime, request: &Request<Bytes>) -> Response<Bytes> {
        self.exchange(now, request).response
    }

    /// Answers `request`, and says how long the answer takes and whether it arrives. The path begins with
    /// the service: `/identity`, `/compute`, `/volume`, `/network` or `/image`.
    pub fn exchange(&mut self, now: SimTime, request: &Request<Bytes>) -> Exchange {
        self.advance(now);
        let request_id = format!("req-{}", self.ids.next());
        let Some(mut call) = Call::parse(request, request_id) else {
            return plain(*webob_error(
                404,
                "Not Found",
                "The resource could not be found.",
            ));
        };
        let mut delay = self.response_time(&call);
        let mut record = self.record(&call, request.uri().query());
        let effect = self.call_fault(&call, &record);
        record.fault = effect.as_ref().map(|(rule, _)| rule.clone());
        let (effect, held_by) = match effect {
            Some((rule, CallEffect::Held { meets })) => (meets.map(|meets| *meets), Some(rule)),
            Some((_, effect)) => (Some(effect), None),
            None => (None, None),
        };
        let before = self.instead_of_effect(&call, effect.as_ref());
        let (mut reply, mut delivery) = match before {
            Some(outcome) => outcome,
            None => (self.dispatch(&mut call), Delivery::Answered),
        };
        delay += reply.work;
        match effect {
            Some(CallEffect::StatusAfterEffect { status, body }) => {
                reply = service_error(call.service, status, body);
            }
            Some(CallEffect::LoseReply) => delivery = Delivery::Lost,
            Some(CallEffect::Delay { seconds }) => {
                delay += Duration::try_from_secs_f64(seconds).unwrap_or_default();
            }
            _ => {}
        }
        record.status = match delivery {
            Delivery::Dropped | Delivery::Hang => 0,
            Delivery::Answered | Delivery::Lost => reply.status,
        };
        record.resources.extend(created_id(&reply));
        self.log.push(record);
        Exchange {
            response: self.finish(&call, reply),
            delivery,
            delay,
            held_by,
        }
    }

    fn response_time(&mut self, call: &Call<'_>) -> Duration {
        let latency = &self.options.latency;
        let time = match (call.service, call.method.as_str()) {
            (_, "GET" | "HEAD" | "OPTIONS") => latency.read,
            (SimulatedService::Identity, _) => latency.token,
            _ => latency.write,
        };
        self.spread(time)
    }

    fn record(&mut self, call: &Call<'_>, query: Option<&str>) -> CallRecord {
        let (user, project) = call
            .header("x-auth-token")
            .and_then(|token| self.identity.peek(token))
            .map_or((None, None), |(user, project)| {
                (Some(user.to_owned()), project)
            });
        let mut path = format!("/{}", call.segments.join("/"));
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        let action = (call.segments.last().is_some_and(|last| last == "action"))
            .then(|| serde_json::from_slice::<Value>(call.body).ok())
            .flatten()
            .and_then(|body| {
                body.as_object()
                    .and_then(|body| body.keys().next().cloned())
            });
        CallRecord {
            number: self.log.next_number(),
            at: self.now.as_secs_f64(),
            service: call.service,
            method: call.method.to_string(),
            path,
            status: 0,
            user,
            project,
            resources: call
                .segments
                .iter()
                .filter(|part| is_resource_id(part))
                .cloned()
                .collect(),
            action,
            fault: None,
            request_id: call.request_id.clone(),
        }
    }

    fn call_fault(&mut self, call: &Call<'_>, record: &CallRecord) -> Option<(String, CallEffect)> {
        if self.faults.rules().is_empty() {
            return None;
        }
        let mut resources = record.resources.clone();
        for id in record.resources.iter().filter_map(|id| uuid_of(id)) {
            resources.extend(self.name_of(id));
        }
        if let Some(name) = created_name(call) {
            resources.push(name);
        }
        self.faults.for_call(&CallFacts {
            service: call.service,
            method: call.method.as_str(),
            path: &record.path,
            user: record.user.as_deref(),
            resources: &resources,
        })
    }

    fn instead_of_effect(
        &self,
        call: &Call<'_>,
        effect: Option<&CallEffect>,
    ) -> Option<(Reply, Delivery)> {
        let api = match call.service {
            SimulatedService::Identity => Component::Keystone,
            SimulatedService::Compute => Component::NovaApi,
            SimulatedService::Volume => Component::CinderApi,
            SimulatedService::Network => Component::Neutron,
            SimulatedService::Image => Component::Glance,
        };
        if self.faults.is_away(api) {
            return Some((Reply::empty(503), Delivery::Dropped));
        }
        match effect? {
            CallEffect::Status {
                status,
                body,
                headers,
            } => {
                let mut reply = service_error(call.service, *status, body.clone());
                for (name, value) in headers {
                    // The few headers that a fault may want to set; header names of replies are static.
                    let name = match name.to_ascii_lowercase().as_str() {
                        "retry-after" => "retry-after",
                        "location" => "location",
                        "www-authenticate" => "www-authenticate",
                        _ => continue,
                    };
                    reply = reply.with(name, value.clone());
                }
                Some((reply, Delivery::Answered))
            }
            CallEffect::Drop => Some((Reply::empty(503), Delivery::Dropped)),
            CallEffect::Hang => Some((Reply::empty(504), Delivery::Hang)),
            CallEffect::Html => Some((html_page(), Delivery::Answered)),
            CallEffect::StatusAfterEffect { .. }
            | CallEffect::LoseReply
            | CallEffect::Delay { .. }
            | CallEffect::Held { .. } => None,
        }
    }

    fn dispatch(&mut self, call: &mut Call<'_>) -> Reply {
        let answer = match call.service {
            SimulatedService::Identity => self.identity(call),
            SimulatedService::Compute => self.compute(call),
            SimulatedService::Volume => self.volume(call),
            SimulatedService::Network => self.network(call),
            SimulatedService::Image => self.image(call),
        };
        answer.unwrap_or_else(|refusal| *refusal)
    }

    /// Who is calling, as the authentication middleware in front of a service finds out.
    pub(crate) fn caller(&mut self, call: &Call<'_>) -> Answer<Caller> {
        let url = self.service_url(SimulatedService::Identity);
        let refusal = || unauthorized(&url);
        let Some(token) = call.header("x-auth-token") else {
            return Err(refusal());
        };
        let keystone_away = self.faults.is_away(Component::Keystone);
        if keystone_away && !self.identity.seen(token) {
            let body = json!({
                "message": "The server is currently unavailable. Please try again at a later time.\
                    <br /><br />\nThe Keystone service is temporarily unavailable.\n\n",
                "code": "503 Service Unavailable",
                "title": "Service Unavailable",
            });
            return Err(Box::new(Reply::json(503, &body)));
        }
        self.identity.validate(token, self.now).ok_or_else(refusal)
    }

    /// Chooses the minor version of a call: `minimum` without a header, `maximum` for `latest`.
    pub(crate) fn negotiate(
        call: &mut Call<'_>,
        service_type: &str,
        major: u32,
        minimum: u32,
        maximum: u32,
    ) -> Answer<()> {
        let wanted = call
            .header("openstack-api-version")
            .and_then(|value| {
                value.split(',').find_map(|part| {
                    let (name, version) = part.trim().split_once(' ')?;
                    (name == service_type).then(|| version.trim().to_owned())
                })
            })
            .or_else(|| {
                (major == 2)
                    .then(|| {
                        call.header("x-openstack-nova-api-version")
                            .map(str::to_owned)
                    })
                    .flatten()
            });
        let Some(wanted) = wanted else {
            call.minor = minimum;
            return Ok(());
        };
        if wanted == "latest" {
            call.minor = maximum;
            return Ok(());
        }
        let parsed = wanted
            .split_once('.')
            .and_then(|(head, tail)| Some((head.parse::<u32>().ok()?, tail.parse::<u32>().ok()?)));
        let Some((asked_major, minor)) = parsed else {
            let text = format!(
                "API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum."
            );
            return Err(fault(400, text));
        };
        if asked_major != major || !(minimum..=maximum).contains(&minor) {
            let text = format!(
                "Version {wanted} is not supported by the API. Minimum is {major}.{minimum} and \
                 maximum is {major}.{maximum}."
            );
            return Err(fault(406, text));
        }
        call.minor = minor;
        Ok(())
    }

    fn finish(&self, call: &Call<'_>, reply: Reply) -> Response<Bytes> {
        let mut response = Response::new(reply.body);
        if let Ok(status) = http::StatusCode::from_u16(reply.status) {
            *response.status_mut() = status;
        }
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = http::HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        for (name, value) in &reply.headers {
            set(name, value);
        }
        set("x-openstack-request-id", &call.request_id);
        match call.service {
            SimulatedService::Compute => {
                let version = format!("2.{}", call.minor.max(1));
                set("x-compute-request-id", &call.request_id);
                set("openstack-api-version", &format!("compute {version}"));
                set("x-openstack-nova-api-version", &version);
                set(
                    "vary",
                    "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
                );
            }
            SimulatedService::Volume => {
                set("x-compute-request-id", &call.request_id);
                set("openstack-api-version", &format!("volume 3.{}", call.minor));
                set("vary", "OpenStack-API-Version");
            }
            SimulatedService::Identity => set("vary", "X-Auth-Token"),
            SimulatedService::Network | SimulatedService::Image => {}
        }
        response
    }
}

fn plain(reply: Reply) -> Exchange {
    let mut response = Response::new(reply.body);
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    Exchange {
        response,
        delivery: Delivery::Answered,
        delay: Duration::ZERO,
        held_by: None,
    }
}

fn html_page() -> Reply {
    Reply {
        headers: vec![("content-type", "text/html".to_owned())],
        body: Bytes::from_static(
            b"<html><head><title>502 Bad Gateway</title></head>\n<body>\n\
              <center><h1>502 Bad Gateway</h1></center>\n</body></html>\n",
        ),
        ..Reply::empty(502)
    }
}

fn service_error(service: SimulatedService, status: u16, body: Option<Value>) -> Reply {
    if let Some(body) = body {
        return Reply::json(status, &body);
    }
    if status < 300 {
        return Reply::empty(status);
    }
    let title = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error");
    let text = "The server has either erred or is incapable of performing the requested operation.";
    match service {
        SimulatedService::Identity => *crate::cloud::reply::identity_error(status, title, text),
        SimulatedService::Compute | SimulatedService::Volume => *fault(status, text),
        SimulatedService::Network => *neutron_error(
            status,
            "HTTPInternalServerError",
            "Request Failed: internal server error while processing your request.",
        ),
        SimulatedService::Image => *webob_error(status, title, text),
    }
}

/// Whether a part of a path is an id of ours: a UUID with or without hyphens.
fn is_resource_id(part: &str) -> bool {
    matches!(part.len(), 32 | 36) && uuid_of(part).is_some()
}

/// The id of what a POST created, for the log.
fn created_id(reply: &Reply) -> Option<String> {
    if !matches!(reply.status, 200..=202) || reply.body.len() > 65_536 {
        return None;
    }
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let object = body.as_object()?;
    if object.len() != 1 {
        return None;
    }
    let id = object.values().next()?.get("id")?.as_str()?;
    Some(id.to_owned())
}

/// The name that a POST wants to give, so that rules can match creations by name.
fn created_name(call: &Call<'_>) -> Option<String> {
    if call.method != http::Method::POST || call.body.len() > 65_536 {
        return None;
    }
    let body: Value = serde_json::from_slice(call.body).ok()?;
    body.as_object()?
        .values()
        .find_map(|value| value.get("name")?.as_str().map(str::to_owned))
}
