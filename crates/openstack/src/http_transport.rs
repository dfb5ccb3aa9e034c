//! The real wire: HTTP/1.1 with TLS.

use std::{
    error::Error as _,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use protector_file::FileState;
use tokio::sync::Semaphore;

use crate::{
    bounds::LARGEST_ERROR_BODY,
    error::CallError,
    transport::{Request, Response, Transport, TransportError},
};

/// The largest file of authorities that is read. A system's whole bundle has a quarter of a MiB.
const LARGEST_CA_FILE: usize = 4 << 20;

/// How long a look at the file of authorities may take. Its file system can hang.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// A PEM bundle of certificate authorities. It is read again when it has changed; as long as what it then holds cannot be used,
/// those before it stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaFile {
    pub path: PathBuf,
    /// Where it is named, for errors: `[openstack] cafile`.
    pub named_by: &'static str,
}

impl CaFile {
    fn told(&self, why: impl fmt::Display) -> String {
        format!(
            "cannot use the CA file {} ({}): {why}",
            self.path.display(),
            self.named_by
        )
    }

    fn read(&self) -> Result<(Vec<reqwest::Certificate>, FileState), String> {
        let (pem, stamp) = protector_file::read_with_stamp(&self.path, LARGEST_CA_FILE)
            .map_err(|error| self.told(error))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| self.told(in_full(&error)))?;
        match certificates.is_empty() {
            true => Err(self.told("it holds no PEM certificate")),
            false => Ok((certificates, stamp)),
        }
    }
}

/// How connections are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// The longest that connecting, TLS included, may take.
    pub connect_timeout: Duration,
    /// Further certificate authorities, beside the system's.
    pub cacert: Option<CaFile>,
    /// Accept any certificate. For test clouds only.
    pub insecure: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            cacert: None,
            insecure: false,
        }
    }
}

impl HttpOptions {
    fn client(&self) -> Result<Made, String> {
        install_tls_provider();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(15))
            .tls_danger_accept_invalid_certs(self.insecure);
        let mut stamp = None;
        if let Some(file) = &self.cacert {
            let (certificates, read) = file.read()?;
            builder = builder.tls_certs_merge(certificates);
            stamp = Some(read);
        }
        let client = builder
            .build()
            .map_err(|error| format!("cannot set up TLS: {}", in_full(&error)))?;
        Ok(Made { client, stamp })
    }
}

/// Sends requests over TCP. Proxies of the environment are not used, and redirects are not followed: a token
/// must not go where nobody sent it.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: HttpOptions,
    made: Mutex<Option<Made>>,
    /// One look at the CA file at a time, so that a file system that hangs holds one thread.
    looks: Arc<Semaphore>,
}

/// A pool of connections, and the CA file that it was made with.
#[derive(Clone, Debug)]
struct Made {
    client: reqwest::Client,
    stamp: Option<FileState>,
}

impl HttpTransport {
    /// A transport with its own pool of connections. Reads the CA file now, and waits for it: for the start of a program.
    ///
    /// # Errors
    /// [`CloudError::Setup`] when the CA file cannot be read or holds no certificate.
    pub fn new(options: &HttpOptions) -> Result<Self, CallError> {
        let transport = Self::reading_later(options);
        transport.shared.now().map_err(CallError::Setup)?;
        Ok(transport)
    }

    /// As [`HttpTransport::new`], but nothing is read before the first exchange, which fails as [`TransportError::NotSent`]
    /// when the CA file cannot be used.
    pub fn reading_later(options: &HttpOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options: options.clone(),
                made: Mutex::default(),
                looks: Arc::new(Semaphore::new(1)),
            }),
        }
    }

    /// The connections to use now. Looks at the CA file away from the runtime.
    async fn client(&self) -> Result<reqwest::Client, TransportError> {
        let Some(file) = &self.shared.options.cacert else {
            return self.shared.now().map_err(TransportError::NotSent);
        };
        let shared = self.shared.clone();
        let looking = async move {
            let look = shared.looks.clone().acquire_owned().await;
            let looked = tokio::task::spawn_blocking(move || {
                let _look = look;
                shared.now()
            });
            looked.await.unwrap_or_else(|error| Err(error.to_string()))
        };
        let seconds = LONGEST_LOOK.as_secs();
        tokio::time::timeout(LONGEST_LOOK, looking)
            .await
            .unwrap_or_else(|_| Err(file.told(format!("it was not read within {seconds} s"))))
            .map_err(TransportError::NotSent)
    }
}

impl Shared {
    /// The connections that were made, or new ones when the CA file has changed since.
    fn now(&self) -> Result<reqwest::Client, String> {
        let file = self.options.cacert.as_ref();
        let stamp = file.and_then(|file| FileState::of(&file.path).ok());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.stamp == stamp) {
            return Ok(made.client.clone());
        }
        match (self.options.client(), made.as_mut()) {
            (Ok(new), before) => {
                if before.is_some() {
                    tracing::info!(file = ?file, "CA file read again");
                }
                Ok(made.insert(new).client.clone())
            }
            (Err(why), None) => Err(why),
            (Err(why), Some(before)) => {
                tracing::error!("{why}; the authorities before it stay");
                before.stamp = stamp;
                Ok(before.client.clone())
            }
        }
    }
}

/// Chooses *ring* for every user of rustls in the process, unless one was chosen already.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker, with the same choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let (timeout, largest) = (request.timeout, request.largest_body);
        let told = |error: reqwest::Error| failure(&error, timeout);
        let sending = self
            .client()
            .await?
            .request(request.method, request.url)
            .headers(request.headers)
            .timeout(timeout)
            .body(request.body);
        let response = sending.send().await.map_err(told)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = match is_whole(status) {
            true => whole_body(response, timeout, largest).await?,
            false => start_of_body(response, timeout).await?,
        };
        Ok(Response {
            status,
            headers,
            body,
        })
    }
}

/// Whether all of an answer counts: a success, or a version document that leaves a choice (300).
fn is_whole(status: u16) -> bool {
    (200..=300).contains(&status)
}

/// The body, counted while it comes, whatever its headers say of its length.
async fn whole_body(
    mut response: reqwest::Response,
    timeout: Duration,
    largest: usize,
) -> Result<Bytes, TransportError> {
    let too_large = TransportError::TooLarge(response.status().as_u16());
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > largest) {
        return Err(too_large);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = next_chunk(&mut response, timeout).await? {
        if body.len() + chunk.len() > largest {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The start of an error's body. What comes after is of no use, so it is not waited for.
async fn start_of_body(
    mut response: reqwest::Response,
    timeout: Duration,
) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = next_chunk(&mut response, timeout).await? {
        let wanted = chunk.len().min(LARGEST_ERROR_BODY - body.len());
        body.extend_from_slice(&chunk.slice(..wanted));
        if body.len() == LARGEST_ERROR_BODY {
            break;
        }
    }
    Ok(body.freeze())
}

async fn next_chunk(
    response: &mut reqwest::Response,
    timeout: Duration,
) -> Result<Option<Bytes>, TransportError> {
    response
        .chunk()
        .await
        .map_err(|error| failure(&error, timeout))
}

/// Only what failed before anything was sent is `Unreachable` or `NotAsked`.
fn failure(error: &reqwest::Error, timeout: Duration) -> TransportError {
    let why = in_full(error);
    if error.is_connect() {
        return match not_asked_because(error) {
            Some(cure) => TransportError::NotAsked(format!("{why}; {cure}")),
            None => TransportError::Unreachable(why),
        };
    }
    if error.is_builder() {
        TransportError::Unreachable(why)
    } else if error.is_timeout() {
        TransportError::TimedOut(timeout)
    } else {
        TransportError::Lost(why)
    }
}

/// What to do where a connection failed although nobody can say that the other end is silent.
fn not_asked_because(error: &reqwest::Error) -> Option<&'static str> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<rustls::Error>() {
            return Some(UNTRUSTED);
        }
        let of_system = inner.downcast_ref::<std::io::Error>();
        if of_system.is_some_and(is_own_lack) {
            return Some(OUT_OF_CONNECTIONS);
        }
        cause = match of_system.and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    None
}

const UNTRUSTED: &str = "somebody answers there who is not trusted: renew the certificate, or correct cacert of the site; if the site is lost and something else has its address, have an administrator give its registration an auth_url where nobody answers";
const OUT_OF_CONNECTIONS: &str =
    "this host has no more connections to give: raise LimitNOFILE, or see what holds so many";

/// EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: this side's doing.
fn is_own_lack(error: &std::io::Error) -> bool {
    use rustix::io::Errno;

    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    own.iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The causes of an error in one line. The URL is left out: it can hold a query.
fn in_full(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut texts = Vec::new();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
        cause = inner.source();
    }
    match texts.is_empty() {
        true if error.is_builder() => "the request cannot be built".to_owned(),
        true => "the connection failed".to_owned(),
        false => texts.join(": "),
    }
}
