//! What is made of an answer before anyone reads it, and the header that decides its form.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::{
    ask::{Ask, BaseUrl},
    bounds::{Unreadable, most_values, weigh},
    error::{Call, CallError, request_id},
    error_body::{message_of, tidy},
    microversion::ServiceMicroversion,
    service::Service,
    transport::Response,
};

/// Turns an error status into an error, and refuses a success that is not the JSON it should be, or that would take too much
/// memory to read.
pub(crate) fn judge(ask: &Ask, url: &str, response: Response) -> Result<Response, CallError> {
    // A version document that leaves a choice comes with 300.
    let chosen = response.status == 300 && ask.base == BaseUrl::VersionRoot;
    if !(200..300).contains(&response.status) && !chosen {
        return Err(CallError::refused(&ask.call, &response));
    }
    if !ask.wants_json {
        return Ok(response);
    }
    match weigh(&response.body, most_values(ask.call.service)) {
        Ok(()) => Ok(response),
        Err(Unreadable::TooMuch(why)) => Err(CallError::too_much(&ask.call, url, why)),
        Err(Unreadable::NotJson(error)) => {
            // Only markup is quoted: other text may be half of an answer that holds secrets.
            let markup = response.body.trim_ascii_start().starts_with(b"<");
            let markup_says = if markup {
                format!(": {}", message_of(&response.body))
            } else {
                String::new()
            };
            Err(CallError::NotJson {
                call: Box::new(ask.call.clone()),
                why: format!("{error}{markup_says}"),
            })
        }
    }
}

/// Names the microversion that the call is meant in, also in Nova's older header.
pub(crate) fn add_microversion(
    headers: &mut HeaderMap,
    service: Service,
    version: ServiceMicroversion,
) {
    let kind = if service == Service::Compute {
        "compute"
    } else {
        "volume"
    };
    if let Ok(value) = HeaderValue::from_str(&format!("{kind} {version}")) {
        headers.insert("openstack-api-version", value);
    }
    if service == Service::Compute
        && let Ok(value) = HeaderValue::from_str(&version.to_string())
    {
        headers.insert("x-openstack-nova-api-version", value);
    }
}

/// One line for the log: no query, no body, no token.
pub(crate) fn log(call: &Call, outcome: &Result<Response, CallError>, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(answer) => tracing::debug!(
            service = call.service.name(),
            method = %call.method,
            path = call.path,
            status = answer.status,
            cloud_request_id = request_id(&answer.headers),
            took_ms,
            "cloud call"
        ),
        Err(error) => {
            tracing::debug!(service = call.service.name(), %error, took_ms, "cloud call failed")
        }
    }
}

/// What is wrong with a value, without the place in a body that nobody sees.
pub(crate) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// An answer in another form than is read. `why` may hold texts of the cloud's, of any length.
pub(crate) fn unexpected(call: &Call, why: impl AsRef<str>) -> CallError {
    CallError::Unexpected {
        call: Box::new(call.clone()),
        why: tidy(why.as_ref()),
    }
}
