//! The table of `testbed/conformance`, which real clouds answer too, against a simulated cloud.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod client;

use std::collections::BTreeMap;

use client::{World, pick};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../../testbed/conformance/table.jsonl");

struct Run {
    world: World,
    saved: BTreeMap<String, Value>,
    texts: BTreeMap<String, String>,
}

impl Run {
    fn fill_text(&self, text: &str) -> Value {
        let whole = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        if let Some(value) = whole.and_then(|name| self.saved.get(name)) {
            return value.clone();
        }
        let mut text = text.to_owned();
        for (name, value) in &self.saved {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text = text.replace(&format!("{{{name}}}"), &value);
        }
        Value::String(text)
    }

    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_text(text),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, item)| (key.clone(), self.fill(item)))
                .collect(),
            other => other.clone(),
        }
    }

    fn text(&self, value: &Value) -> String {
        let filled = self.fill(value);
        filled
            .as_str()
            .map_or_else(|| filled.to_string(), str::to_owned)
    }

    fn step(&mut self, step: &Value) {
        if let Some(name) = step["text"].as_str() {
            self.texts
                .insert(name.to_owned(), step["is"].as_str().unwrap().to_owned());
        } else if step.get("wait").is_some() {
            let url = self.text(&step["wait"]);
            let until: Vec<&str> = step["until"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            self.world.wait(&url, step["at"].as_str().unwrap(), &until);
        } else if step.get("do").is_some() || step.get("boot").is_some() {
            self.call(step);
        }
    }

    fn call(&mut self, step: &Value) {
        let (what, body) = match step.get("do") {
            Some(what) => (
                self.text(what),
                step.get("body")
                    .map(|body| self.fill(body))
                    .or_else(|| step.get("file").cloned()),
            ),
            None => {
                let mut server = self.fill(&json!({
                    "name": "c-x", "flavorRef": "{flavor}", "networks": "none",
                    "block_device_mapping_v2": [{"uuid": "{boot}", "source_type": "volume",
                        "destination_type": "volume", "boot_index": 0}]}));
                let changes = self.fill(&step["boot"]);
                server
                    .as_object_mut()
                    .unwrap()
                    .extend(changes.as_object().unwrap().clone());
                (
                    "POST compute /servers".to_owned(),
                    Some(json!({"server": server})),
                )
            }
        };
        let (method, url) = what.split_once(' ').unwrap();
        let role = step["as"].as_str().unwrap_or("member");
        let got = self
            .world
            .call_version(role, method, url, body.as_ref(), step["mv"].as_str());
        assert_eq!(
            got.status,
            step["status"].as_u64().unwrap() as u16,
            "{what}: {}",
            got.body
        );
        if let Some(wanted) = self.wanted_body(step, got.status) {
            assert_eq!(normal(&got.body), wanted, "{what}");
        }
        for (place, value) in step["holds"].as_object().into_iter().flatten() {
            assert_eq!(
                normal(&pick(&got.body, place)),
                self.fill(value),
                "{what}: {place}"
            );
        }
        for (name, place) in step["save"].as_object().into_iter().flatten() {
            let value = pick(&got.body, place.as_str().unwrap());
            assert!(!value.is_null(), "{what}: nothing at {place}");
            self.saved.insert(name.clone(), value);
        }
    }

    fn wanted_body(&self, step: &Value, status: u16) -> Option<Value> {
        if let Some(text) = step["says"].as_str() {
            let text = match text.strip_prefix('@') {
                Some(name) => self.texts[name].clone(),
                None => self.text(&json!(text)),
            };
            let name = match status {
                400 => "badRequest",
                403 => "forbidden",
                404 => "itemNotFound",
                409 => "conflictingRequest",
                413 => "overLimit",
                _ => "computeFault",
            };
            return Some(json!({name: {"code": status, "message": text}}));
        }
        if let Some([kind, text]) = step["neutron"].as_array().map(Vec::as_slice) {
            let error = json!({"type": kind, "message": self.fill(text), "detail": ""});
            return Some(json!({"NeutronError": error}));
        }
        match step.get("reply")? {
            Value::String(empty) if empty.is_empty() => Some(Value::Null),
            reply => Some(self.fill(reply)),
        }
    }
}

/// Ids replaced by `<id>`: UUIDs, and 32 hexadecimal digits.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(normal_text(text)),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, item)| (key.clone(), normal(item)))
            .collect(),
        other => other.clone(),
    }
}

fn normal_text(text: &str) -> String {
    let is_id = |word: &str| matches!(word.len(), 32 | 36) && uuid::Uuid::parse_str(word).is_ok();
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() || letter == '-' {
            word.push(letter);
            continue;
        }
        match word.strip_prefix("req-") {
            Some(id) if is_id(id) => out.push_str("req-<id>"),
            _ if is_id(&word) => out.push_str("<id>"),
            _ => out.push_str(&word),
        }
        word.clear();
        if letter != '\0' {
            out.push(letter);
        }
    }
    out
}

#[test]
fn a_simulated_cloud_answers_as_the_table_says() {
    let mut world = World::new(|_| {});
    let mut saved = BTreeMap::new();
    saved.insert(
        "no".to_owned(),
        json!("11111111-2222-4333-8444-555555555555"),
    );
    for (name, user) in [("member_project", "demo"), ("admin_project", "admin")] {
        let (_, project) = world.session(user, user);
        saved.insert(name.to_owned(), json!(project));
    }
    let mut run = Run {
        world,
        saved,
        texts: BTreeMap::new(),
    };
    for (number, line) in TABLE.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let step: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("line {}: {error}", number + 1));
        run.step(&step);
    }
    assert!(
        run.world
            .cloud
            .volumes()
            .iter()
            .all(|volume| volume.status == "deleting")
    );
    assert!(run.world.cloud.servers().is_empty());
    assert!(run.world.cloud.ports().is_empty());
}
