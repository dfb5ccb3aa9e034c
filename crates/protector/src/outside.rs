//! Probes and hooks over the network, as far as the operator allows them.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use protector_core::{outside::AllowedOutside, recovery_plan::Probe};
use protector_engine::outside::{News, Outside, OutsideError};
use reqwest::{Client, StatusCode, redirect::Policy};
use tokio::net::TcpStream;

/// How long a server may take to answer one probe.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The network around the engine.
pub struct Network {
    allowed: AllowedOutside,
    http: Client,
}

impl Network {
    /// The part of the network that is `allowed`.
    ///
    /// # Errors
    ///
    /// What kept the HTTP client from being made.
    pub fn new(allowed: AllowedOutside) -> reqwest::Result<Self> {
        // A redirect could lead where the operator does not allow, a proxy asks from another place.
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("protector/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { allowed, http })
    }
}

#[async_trait]
impl Outside for Network {
    async fn probe(&self, address: IpAddr, probe: &Probe) -> Result<(), OutsideError> {
        if !self.allowed.allows_probe(address) {
            return Err(OutsideError::Forbidden(format!(
                "the operator allows probes in {} only ([engine] probe_networks)",
                or_nothing(&self.allowed.probe_networks())
            )));
        }
        match probe {
            Probe::Tcp { port } => connect(address, *port).await,
            Probe::Http { port, path, status } => {
                let host = match address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                let call = self.http.get(format!("http://{host}:{port}{path}"));
                let answer = call.timeout(PROBE_LIMIT).send().await.map_err(silent)?;
                match answer.status().as_u16() {
                    seen if seen == *status => Ok(()),
                    seen => Err(OutsideError::Silent(format!("it answered {seen}"))),
                }
            }
        }
    }

    async fn call_hook(&self, url: &str, news: &News, limit: Duration) -> Result<(), OutsideError> {
        if !self.allowed.allows_hook(url) {
            return Err(OutsideError::Forbidden(format!(
                "the operator allows hooks below {} only ([engine] hook_url_prefixes)",
                or_nothing(&self.allowed.hook_url_prefixes())
            )));
        }
        let call = self
            .http
            .post(url)
            .header("Idempotency-Key", &news.delivery)
            .json(news)
            .timeout(limit);
        let status = call.send().await.map_err(silent)?.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("it answered {}", status.as_u16());
        if may_pass(status) {
            Err(OutsideError::Silent(why))
        } else {
            Err(OutsideError::Forbidden(why))
        }
    }
}

/// Whether the same call may be answered otherwise later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

fn or_nothing(allowed: &[String]) -> String {
    if allowed.is_empty() {
        "nothing".to_owned()
    } else {
        allowed.join(", ")
    }
}

async fn connect(address: IpAddr, port: u16) -> Result<(), OutsideError> {
    let connection = TcpStream::connect((address, port));
    match tokio::time::timeout(PROBE_LIMIT, connection).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(OutsideError::Silent(error.to_string())),
        Err(_) => Err(OutsideError::Silent(format!(
            "no answer within {} s",
            PROBE_LIMIT.as_secs()
        ))),
    }
}

fn silent(error: reqwest::Error) -> OutsideError {
    if error.is_timeout() {
        return OutsideError::Silent("no answer in time".to_owned());
    }
    // Without the URL, which the record has already; the last cause is what the network said.
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(source) = last.source() {
        last = source;
    }
    OutsideError::Silent(last.to_string())
}
