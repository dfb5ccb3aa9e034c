//! The catalogue: services, endpoints, regions.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, text, uuid_of},
    identity::{CatalogService, Endpoint, IdentityService, hex, need_admin, not_found},
    reply::{Answer, Reply, empty, identity_error, ok},
};

impl IdentityService {
    /// The catalogue of a project's token; an empty one without a project.
    pub(crate) fn catalog(&self, project: Uuid) -> Value {
        if project.is_nil() {
            return json!([]);
        }
        let rows: Vec<Value> = self
            .services
            .iter()
            .map(|service| {
                let endpoints: Vec<Value> = self
                    .endpoints
                    .iter()
                    .filter(|endpoint| endpoint.service == service.id)
                    .map(|endpoint| {
                        json!({
                            "id": hex(endpoint.id),
                            "interface": endpoint.interface,
                            "region": endpoint.region,
                            "region_id": endpoint.region,
                            "url": expand(&endpoint.url, project),
                        })
                    })
                    .collect();
                json!({
                    "id": hex(service.id),
                    "name": service.name,
                    "type": service.kind,
                    "endpoints": endpoints,
                })
            })
            .filter(|row| {
                row["endpoints"]
                    .as_array()
                    .is_some_and(|list| !list.is_empty())
            })
            .collect();
        json!(rows)
    }
}

fn expand(url: &str, project: Uuid) -> String {
    let id = hex(project);
    url.replace("%(project_id)s", &id)
        .replace("$(project_id)s", &id)
        .replace("%(tenant_id)s", &id)
        .replace("$(tenant_id)s", &id)
}

impl SimCloud {
    pub(crate) fn identity_catalog(
        &mut self,
        call: &Call<'_>,
        kind: &str,
        rest: &[&str],
    ) -> Answer {
        let caller = self.identity_caller(call)?;
        match (call.method.as_str(), kind, rest) {
            ("GET", "services", []) => {
                need_admin(&caller, "identity:list_services")?;
                let rows = self
                    .identity
                    .services
                    .iter()
                    .filter(|row| call.query("type").is_none_or(|wanted| row.kind == wanted))
                    .filter(|row| call.query("name").is_none_or(|wanted| row.name == wanted))
                    .map(|row| self.service_view(row))
                    .collect();
                self.identity_list("services", rows)
            }
            ("POST", "services", []) => {
                need_admin(&caller, "identity:create_service")?;
                let given = member(call, "service")?;
                let service = CatalogService {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    kind: text(&given, "type").unwrap_or_default().to_owned(),
                };
                let view = self.service_view(&service);
                self.identity.services.insert(service.id, service);
                Ok(Reply::json(201, &json!({"service": view})))
            }
            (method, "services", [id]) => {
                need_admin(&caller, "identity:get_service")?;
                let service = uuid_of(id)
                    .and_then(|id| self.identity.services.get(id))
                    .cloned()
                    .ok_or_else(|| not_found("service", id))?;
                if method == "DELETE" {
                    self.identity.services.remove(service.id);
                    let gone: Vec<Uuid> = self
                        .identity
                        .endpoints
                        .iter()
                        .filter(|row| row.service == service.id)
                        .map(|row| row.id)
                        .collect();
                    for id in gone {
                        self.identity.endpoints.remove(id);
                    }
                    return empty(204);
                }
                ok(json!({"service": self.service_view(&service)}))
            }
            ("GET", "endpoints", []) => {
                need_admin(&caller, "identity:list_endpoints")?;
                let rows = self
                    .identity
                    .endpoints
                    .iter()
                    .filter(|row| {
                        call.query("interface")
                            .is_none_or(|want| row.interface == want)
                    })
                    .filter(|row| {
                        call.query("service_id")
                            .is_none_or(|want| hex(row.service) == want)
                    })
                    .map(|row| self.endpoint_view(row))
                    .collect();
                self.identity_list("endpoints", rows)
            }
            ("POST", "endpoints", []) => {
                need_admin(&caller, "identity:create_endpoint")?;
                self.endpoint_create(call)
            }
            (method, "endpoints", [id]) => {
                need_admin(&caller, "identity:get_endpoint")?;
                let endpoint = uuid_of(id)
                    .and_then(|id| self.identity.endpoints.get(id))
                    .cloned()
                    .ok_or_else(|| not_found("endpoint", id))?;
                if method == "DELETE" {
                    self.identity.endpoints.remove(endpoint.id);
                    return empty(204);
                }
                ok(json!({"endpoint": self.endpoint_view(&endpoint)}))
            }
            ("GET", "regions", []) => {
                let rows = vec![self.region_view()];
                self.identity_list("regions", rows)
            }
            ("GET", "regions", [id]) if *id == self.options.name => {
                ok(json!({"region": self.region_view()}))
            }
            _ => Err(identity_error(
                404,
                "Not Found",
                "The resource could not be found.",
            )),
        }
    }

    fn endpoint_create(&mut self, call: &Call<'_>) -> Answer {
        let given = member(call, "endpoint")?;
        let service = text(&given, "service_id").unwrap_or_default();
        let service = uuid_of(service)
            .filter(|id| self.identity.services.contains(*id))
            .ok_or_else(|| not_found("service", service))?;
        let endpoint = Endpoint {
            id: self.ids.next(),
            service,
            interface: text(&given, "interface").unwrap_or("public").to_owned(),
            url: text(&given, "url").unwrap_or_default().to_owned(),
            region: text(&given, "region_id")
                .or_else(|| text(&given, "region"))
                .map(str::to_owned),
        };
        let view = self.endpoint_view(&endpoint);
        self.identity.endpoints.insert(endpoint.id, endpoint);
        Ok(Reply::json(201, &json!({"endpoint": view})))
    }

    fn service_view(&self, row: &CatalogService) -> Value {
        json!({
            "id": hex(row.id),
            "name": row.name,
            "type": row.kind,
            "enabled": true,
            "description": "",
            "links": self.identity_links(&format!("services/{}", hex(row.id))),
        })
    }

    fn endpoint_view(&self, row: &Endpoint) -> Value {
        json!({
            "id": hex(row.id),
            "interface": row.interface,
            "region": row.region,
            "region_id": row.region,
            "service_id": hex(row.service),
            "url": row.url,
            "enabled": true,
            "links": self.identity_links(&format!("endpoints/{}", hex(row.id))),
        })
    }

    fn region_view(&self) -> Value {
        json!({
            "id": self.options.name,
            "description": "",
            "parent_region_id": null,
            "links": self.identity_links(&format!("regions/{}", self.options.name)),
        })
    }
}

/// The named object of a request body; Keystone's schema refusal when it is missing.
pub(crate) fn member(call: &Call<'_>, key: &str) -> Answer<Value> {
    let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
    body.get(key).filter(|value| value.is_object()).cloned().ok_or_else(|| {
        identity_error(
            400,
            "Bad Request",
            format!(
                "Expecting to find {key} in request body. The server could not comply with the request \
                 since it is either malformed or otherwise incorrect. The client is assumed to be in error."
            ),
        )
    })
}
