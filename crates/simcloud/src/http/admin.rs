//! The administration URL: faults, services that are away, the call log, the state, latencies.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::request::Parts;
use serde_json::{Value, json};

use crate::{
    cloud::{Component, FaultRule, Latency, SimCloud},
    http::Served,
    in_process::lock,
};

fn reply(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    response
}

fn refuse(status: u16, text: impl Into<String>) -> Response {
    reply(status, &json!({"error": text.into()}))
}

fn parse<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| Box::new(refuse(400, error.to_string())))
}

/// Answers `/_admin/health` and `/_admin/clouds/{name}/…`.
pub(super) fn handle(served: &Served, parts: &Parts, body: &Bytes) -> Response {
    let path: Vec<&str> = parts
        .uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let query = parts.uri.query().unwrap_or_default();
    let answer = match path.as_slice() {
        ["_admin", "health"] => {
            let names: Vec<&str> = served.all.iter().map(|(name, _)| name.as_str()).collect();
            Ok(reply(200, &json!({"status": "ok", "clouds": names})))
        }
        ["_admin", "clouds", name, rest @ ..] => {
            match served.all.iter().find(|(known, _)| known == name) {
                None => Err(Box::new(refuse(404, format!("there is no cloud {name}")))),
                Some((_, cloud)) => {
                    let mut cloud = lock(cloud);
                    cloud.advance(served.now());
                    of_cloud(&mut cloud, parts.method.as_str(), rest, query, body)
                }
            }
        }
        _ => Err(Box::new(refuse(404, "see /_admin/health"))),
    };
    answer.unwrap_or_else(|refusal| *refusal)
}

fn of_cloud(
    cloud: &mut SimCloud,
    method: &str,
    rest: &[&str],
    query: &str,
    body: &Bytes,
) -> Result<Response, Box<Response>> {
    Ok(match (method, rest) {
        ("GET", ["faults"]) => reply(200, &json!({"faults": cloud.faults()})),
        ("POST", ["faults"]) => {
            let rule: FaultRule = parse(body)?;
            reply(201, &json!({"id": cloud.add_fault(rule)}))
        }
        ("DELETE", ["faults"]) => {
            cloud.clear_faults();
            reply(200, &json!({}))
        }
        ("DELETE", ["faults", id]) => {
            if cloud.remove_fault(id) {
                reply(200, &json!({}))
            } else {
                refuse(404, format!("there is no fault {id}"))
            }
        }
        ("GET", ["away"]) => reply(200, &json!({"away": cloud.away()})),
        ("PUT", ["away", component]) => {
            let component: Component = component_of(component)?;
            cloud.set_away(component, true);
            reply(200, &json!({"away": cloud.away()}))
        }
        ("DELETE", ["away", component]) => {
            let component: Component = component_of(component)?;
            cloud.set_away(component, false);
            reply(200, &json!({"away": cloud.away()}))
        }
        ("GET", ["calls"]) => {
            let since = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("since="))
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0);
            let calls: Vec<_> = cloud
                .call_log()
                .iter()
                .filter(|call| call.number > since)
                .collect();
            reply(200, &json!({"calls": calls}))
        }
        ("DELETE", ["calls"]) => {
            cloud.reset_call_log();
            reply(200, &json!({}))
        }
        ("GET", ["state"]) => reply(200, &cloud.dump()),
        ("GET", ["latency"]) => reply(200, &json!(cloud.latency())),
        ("PUT", ["latency"]) => {
            let given: Value = parse(body)?;
            let latency = match given.get("preset").and_then(Value::as_str) {
                Some("real") => Latency::real(),
                Some("quick") => Latency::quick(),
                Some(other) => {
                    return Err(Box::new(refuse(
                        400,
                        format!("preset {other:?} is not one of: quick, real"),
                    )));
                }
                None => parse(body)?,
            };
            cloud.set_latency(latency);
            reply(200, &json!(latency))
        }
        ("POST", ["services"]) => {
            let seed: crate::cloud::ServiceSeed = parse(body)?;
            cloud.register_service(&seed.name, &seed.service_type, &seed.url);
            reply(201, &json!({}))
        }
        ("DELETE", ["tokens"]) => {
            cloud.revoke_tokens(None);
            reply(200, &json!({}))
        }
        _ => refuse(
            404,
            "faults, away, calls, state, latency, services or tokens",
        ),
    })
}

fn component_of(name: &str) -> Result<Component, Box<Response>> {
    serde_json::from_value(json!(name)).map_err(|_| {
        Box::new(refuse(
            400,
            format!(
                "{name:?} is not one of: keystone, nova-api, nova-compute, cinder-api, cinder-volume, \
                 neutron, glance, placement"
            ),
        ))
    })
}
