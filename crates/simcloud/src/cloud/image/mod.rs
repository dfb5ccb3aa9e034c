//! Glance: images.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, SimulatedService, next_query, paginate, text, uuid_of},
    identity::{Caller, hex},
    ids::IdSource,
    options::CloudOptions,
    reply::{Answer, Reply, empty, ok, webob_error},
    table::Table,
};

/// An image with its content.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) content: Bytes,
    pub(crate) disk_format: String,
    container_format: String,
    visibility: String,
    status: &'static str,
    owner: Option<Uuid>,
    created: SimTime,
    /// What else was said of it.
    pub(crate) properties: BTreeMap<String, String>,
}

impl Image {
    pub(crate) fn is_active(&self) -> bool {
        self.status == "active"
    }
}

#[derive(Default)]
pub(crate) struct Images {
    images: Table<Image>,
}

impl Images {
    pub(crate) fn seed(options: &CloudOptions, ids: &IdSource) -> Self {
        let mut images = Table::default();
        for seed in &options.images {
            let mut content = BytesMut::from(seed.text.as_bytes());
            content.resize(content.len().max(seed.mib << 20), 0);
            let id = ids.fixed("image", &seed.name);
            images.insert(
                id,
                Image {
                    id,
                    name: seed.name.clone(),
                    content: content.freeze(),
                    disk_format: "raw".to_owned(),
                    container_format: "bare".to_owned(),
                    visibility: "public".to_owned(),
                    status: "active",
                    owner: None,
                    created: SimTime::ZERO,
                    properties: BTreeMap::new(),
                },
            );
        }
        Self { images }
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&Image> {
        self.images.get(id)
    }

    pub(crate) fn named(&self, name: &str) -> Option<Uuid> {
        self.images
            .iter()
            .find(|image| image.name == name)
            .map(|image| image.id)
    }
}

/// What Glance has no field of its own for.
fn properties_of(given: &Value) -> BTreeMap<String, String> {
    const FIELDS: [&str; 9] = [
        "id",
        "name",
        "disk_format",
        "container_format",
        "visibility",
        "min_disk",
        "min_ram",
        "protected",
        "tags",
    ];
    let all = given.as_object().into_iter().flatten();
    all.filter(|(key, _)| !FIELDS.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn missing(id: &str) -> Box<Reply> {
    webob_error(404, "Not Found", &format!("No image found with ID {id}"))
}

impl SimCloud {
    pub(crate) fn image(&mut self, call: &Call<'_>) -> Answer {
        let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        if call.method == http::Method::GET && matches!(parts.as_slice(), [] | ["versions"]) {
            let url = self.service_url(SimulatedService::Image);
            let row = |id: &str, status: &str| {
                json!({
                    "id": id,
                    "status": status,
                    "links": [{"rel": "self", "href": format!("{url}/v2/")}],
                })
            };
            let versions = json!([row("v2.17", "CURRENT"), row("v2.0", "SUPPORTED")]);
            let status = if parts.is_empty() { 300 } else { 200 };
            return Ok(Reply::json(status, &json!({"versions": versions})));
        }
        let caller = self.caller(call)?;
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", ["v2", "images"]) => self.image_list(call, &caller),
            ("POST", ["v2", "images"]) => self.image_create(call, &caller),
            ("GET", ["v2", "images", id]) => {
                let image = self.image_of(&caller, id)?;
                ok(self.image_view(image))
            }
            ("PUT", ["v2", "images", id, "file"]) => {
                let id = self.image_of(&caller, id)?.id;
                if let Some(image) = self.images.images.get_mut(id) {
                    image.content = call.body.clone();
                    image.status = "active";
                }
                empty(204)
            }
            ("GET", ["v2", "images", id, "file"]) => {
                let content = self.image_of(&caller, id)?.content.clone();
                let headers = vec![("content-type", "application/octet-stream".to_owned())];
                Ok(Reply {
                    headers,
                    body: content,
                    ..Reply::empty(200)
                })
            }
            ("DELETE", ["v2", "images", id]) => {
                let image = self.image_of(&caller, id)?;
                if !caller.is_admin() && image.owner != Some(caller.project) {
                    return Err(webob_error(
                        403,
                        "Forbidden",
                        "You are not authorized to complete delete_image action.",
                    ));
                }
                let id = image.id;
                self.images.images.remove(id);
                empty(204)
            }
            ("GET", ["v2", "schemas", ..]) => ok(json!({"name": "image", "properties": {}})),
            _ => Err(webob_error(
                404,
                "Not Found",
                "The resource could not be found.",
            )),
        }
    }

    fn image_of(&self, caller: &Caller, id: &str) -> Answer<&Image> {
        uuid_of(id)
            .and_then(|id| self.images.get(id))
            .filter(|image| {
                image.visibility == "public" || image.owner.is_some_and(|owner| caller.sees(owner))
            })
            .ok_or_else(|| missing(id))
    }

    fn image_list(&self, call: &Call<'_>, caller: &Caller) -> Answer {
        let rows: Vec<&Image> = self
            .images
            .images
            .iter()
            .rev()
            .filter(|image| {
                image.visibility == "public" || image.owner.is_some_and(|owner| caller.sees(owner))
            })
            .filter(|image| call.query("name").is_none_or(|name| image.name == name))
            .filter(|image| {
                call.query("status")
                    .is_none_or(|status| image.status == status)
            })
            .collect();
        // Glance gives 25 rows to a client that does not say how many it wants.
        let ceiling = if call.query("limit").is_some() {
            1000
        } else {
            25
        };
        let page = paginate(call, rows, ceiling, |row| row.id.to_string())?;
        let list: Vec<Value> = page.rows.iter().map(|row| self.image_view(row)).collect();
        let mut body =
            json!({"images": list, "first": "/v2/images", "schema": "/v2/schemas/images"});
        if let Some(marker) = page.next {
            body["next"] = json!(format!("/v2/images?{}", next_query(call, &marker)));
        }
        ok(body)
    }

    fn image_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        if !caller.is_member() {
            return Err(webob_error(
                403,
                "Forbidden",
                "You are not authorized to complete add_image action.",
            ));
        }
        let given: Value = serde_json::from_slice(call.body).unwrap_or_default();
        let word = |key: &str, other: &str| text(&given, key).unwrap_or(other).to_owned();
        let image = Image {
            id: text(&given, "id")
                .and_then(uuid_of)
                .unwrap_or_else(|| self.ids.next()),
            name: word("name", ""),
            content: Bytes::new(),
            disk_format: word("disk_format", "raw"),
            container_format: word("container_format", "bare"),
            visibility: word("visibility", "shared"),
            status: "queued",
            owner: Some(caller.project),
            created: self.now,
            properties: properties_of(&given),
        };
        let view = self.image_view(&image);
        self.images.images.insert(image.id, image);
        Ok(Reply::json(201, &view))
    }

    fn image_view(&self, image: &Image) -> Value {
        let mut view = json!({
            "id": image.id.to_string(),
            "name": image.name,
            "status": image.status,
            "visibility": image.visibility,
            "owner": image.owner.map(hex),
            "size": if image.status == "active" { json!(image.content.len()) } else { Value::Null },
            "virtual_size": null,
            "disk_format": image.disk_format,
            "container_format": image.container_format,
            "min_disk": 0,
            "min_ram": 0,
            "protected": false,
            "os_hidden": false,
            "checksum": null,
            "os_hash_algo": null,
            "os_hash_value": null,
            "tags": [],
            "created_at": self.stamp(image.created),
            "updated_at": self.stamp(image.created),
            "self": format!("/v2/images/{}", image.id),
            "file": format!("/v2/images/{}/file", image.id),
            "schema": "/v2/schemas/image",
        });
        for (key, value) in &image.properties {
            view[key] = json!(value);
        }
        view
    }
}
