//! Tags of ports.

use serde_json::json;

use crate::cloud::{
    SimCloud,
    call::Call,
    identity::Caller,
    network::{forbidden, ports::body, unknown_path},
    reply::{Answer, Reply, empty, neutron_error, ok},
};

fn missing(tag: &str) -> Box<Reply> {
    let text = format!("Tag {tag} could not be found.");
    neutron_error(404, "TagNotFound", text)
}

impl SimCloud {
    pub(crate) fn port_tags(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        let found = self.port_of(caller, id)?.id;
        let method = call.method.as_str();
        if method != "GET" && !caller.is_member() {
            let verb = if method == "PUT" { "update" } else { "delete" };
            return Err(forbidden(&format!("{verb}_port:tags")));
        }
        let given = body(call)["tags"].clone();
        let Some(port) = self.network.ports.get_mut(found) else {
            return Err(unknown_path());
        };
        match (method, rest) {
            ("GET", []) => {
                let mut sorted = port.tags.clone();
                sorted.sort();
                ok(json!({"tags": sorted}))
            }
            ("GET", [tag]) if port.tags.iter().any(|held| held == tag) => empty(204),
            ("PUT", []) => {
                let Some(tags) = given.as_array() else {
                    let shown = given
                        .as_str()
                        .map_or_else(|| given.to_string(), str::to_owned);
                    let text = format!("Invalid input for operation: '{shown}' is not a list.");
                    return Err(neutron_error(400, "InvalidInput", text));
                };
                let tags = tags.iter().filter_map(|tag| tag.as_str());
                port.tags = tags.map(str::to_owned).collect();
                ok(json!({"tags": port.tags}))
            }
            ("PUT", [tag]) => {
                if !port.tags.iter().any(|held| held == tag) {
                    port.tags.push((*tag).to_owned());
                }
                empty(201)
            }
            ("DELETE", []) => {
                port.tags.clear();
                empty(204)
            }
            ("DELETE", [tag]) if port.tags.iter().any(|held| held == tag) => {
                port.tags.retain(|held| held != tag);
                empty(204)
            }
            ("GET" | "DELETE", [tag]) => Err(missing(tag)),
            _ => Err(unknown_path()),
        }
    }
}
