//! A small HTTP client: JSON in, JSON out, and a memory of what was answered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The body; panics when the status is not 2xx.
    pub fn good(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    /// The fault's text, as the services write it.
    pub fn text(&self) -> String {
        self.body.to_string()
    }
}

/// Whether an answer is kept for the look for secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Kept,
    Forgotten,
}

/// A client.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    kept: Arc<Mutex<Vec<String>>>,
}

impl Http {
    pub fn new() -> Self {
        protector_service::tls::choose_tls_provider();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            kept: Arc::default(),
        }
    }

    /// One request. `None` when nobody answers.
    pub async fn try_get(&self, url: &str) -> Option<u16> {
        let response = self.client.get(url).send().await.ok()?;
        Some(response.status().as_u16())
    }

    /// One request.
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
        memory: Memory,
    ) -> Answer {
        let mut request = self
            .client
            .request(method.clone(), url)
            .header("OpenStack-API-Version", "volume 3.70")
            .header("X-OpenStack-Nova-API-Version", "2.79");
        if let Some(token) = token {
            request = request.header("X-Auth-Token", token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error:?}"));
        let status = response.status().as_u16();
        let headers = format!("{:?}", response.headers());
        let text = response.text().await.unwrap();
        if memory == Memory::Kept {
            self.kept
                .lock()
                .unwrap()
                .push(format!("{method} {url} {status} {headers} {text}"));
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, body }
    }

    /// A token of a user for a project, and the token's body.
    pub async fn token(
        &self,
        keystone: &str,
        user: &str,
        password: &str,
        project: &str,
    ) -> (String, Value) {
        let body = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user":
                {"name": user, "password": password, "domain": {"name": "Default"}}}},
            "scope": {"project": {"name": project, "domain": {"name": "Default"}}}}});
        let response = self
            .client
            .post(format!("{keystone}/auth/tokens"))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 201, "a token for {user}");
        let token = response.headers()["x-subject-token"].to_str().unwrap();
        let token = token.to_owned();
        let body: Value = response.json().await.unwrap();
        (token, body["token"].clone())
    }

    /// Everything that was answered with [`Memory::Kept`].
    pub fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }
}
