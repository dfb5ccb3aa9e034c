//! A session with one cloud: one user in one project, its token, its endpoints, and how calls are carried out.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use protector_core::id::{ProjectId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    answer::{add_microversion, judge, log, said, unexpected},
    ask::{Ask, BaseUrl, secret_header},
    bounds::{self, Allowance},
    catalog::{Catalog, EndpointInterface},
    credentials::{CallerToken, Credentials},
    endpoint,
    error::{Call, CallError, ErrorClass, request_id},
    exchange_observer::{Exchange, ExchangeObserver},
    message_signer::{MessageSigner, UnsignedMessage},
    microversion::{ServiceMicroversion, newest_in_document},
    options::ClientOptions,
    permit::WritePermit,
    request_log::RequestLog,
    retry::JitterSource,
    service::Service,
    token::{Token, TokenInfo, time_of_use},
    transport::{Request, Response, Transport, TransportError},
};

/// A session with one cloud. Cheap to clone; clones share the token. `Debug` shows no secret.
///
/// A call takes a token from the cache or logs in (one login for all who wait), finds the endpoint, agrees on the
/// microversion, and sends. A read is repeated as [`RetryPolicy`](crate::retry::RetryPolicy) allows, and a 401 makes it
/// log in again once. A call that changes something is sent once: what it rests on was read before, and is out of date
/// after a pause. Who asked for it gets the refusal and looks again; after a 401 the next call logs in. All of it ends
/// before the call's deadline.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    request_id: Option<HeaderValue>,
    request_log: Option<RequestLog>,
    observer: Option<Arc<dyn ExchangeObserver>>,
    permit: Option<Arc<dyn WritePermit>>,
    allowance: Option<Allowance>,
    signer: Option<Arc<dyn MessageSigner>>,
    deadline: Duration,
    list_deadline: Duration,
}

struct Shared {
    transport: Arc<dyn Transport>,
    options: ClientOptions,
    auth: Auth,
    /// Keystone's URL with `/v3` and without a slash at its end.
    identity_url: String,
    region: Option<String>,
    interface: EndpointInterface,
    login: tokio::sync::Mutex<Login>,
    /// How many logins have ended, well or not.
    logins_ended: AtomicU64,
    newest: HashMap<Service, OnceCell<ServiceMicroversion>>,
    dice: Mutex<JitterSource>,
}

enum Auth {
    Password(Credentials),
    Caller(Arc<Token>),
}

/// The state of logging in. Its lock is held during a login, so that there is one at a time.
#[derive(Default)]
struct Login {
    token: Option<Arc<Token>>,
    /// Why the last login failed: the answer for everyone who waited for it.
    failure: Option<CallError>,
}

/// The longest token that is taken. It is sent in the header of every call; Keystone's own are some hundred bytes long, and web
/// servers take 8 KiB by default.
const LONGEST_TOKEN: usize = 16 << 10;

/// The body of Keystone's answers about tokens.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    pub(crate) token: TokenInfo,
}

impl Session {
    /// A session that logs in with a password when it first needs to.
    pub fn new(
        transport: Arc<dyn Transport>,
        credentials: Credentials,
        options: ClientOptions,
    ) -> Self {
        let place = (
            credentials.auth_url.clone(),
            credentials.region_name.clone(),
            credentials.interface,
        );
        Self::build(transport, Auth::Password(credentials), place, options)
    }

    /// A session that acts with a caller's own token and never renews it.
    ///
    /// # Errors
    /// [`CloudError::Setup`] when the token holds characters that no token has.
    pub fn with_token(
        transport: Arc<dyn Transport>,
        caller: CallerToken,
        options: ClientOptions,
    ) -> Result<Self, CallError> {
        let header = secret_header(caller.token.expose_secret()).ok_or_else(|| {
            CallError::Setup("the caller's token holds characters that no token has".to_owned())
        })?;
        let token = Token {
            header,
            catalog: caller.catalog,
            project_id: caller.project_id,
            user_id: None,
            use_until: None,
            login: 0,
        };
        let place = (caller.auth_url, caller.region_name, caller.interface);
        Ok(Self::build(
            transport,
            Auth::Caller(Arc::new(token)),
            place,
            options,
        ))
    }

    fn build(
        transport: Arc<dyn Transport>,
        auth: Auth,
        (auth_url, region, interface): (String, Option<String>, EndpointInterface),
        options: ClientOptions,
    ) -> Self {
        let with_versions = [Service::Compute, Service::Volume];
        Self {
            request_id: None,
            request_log: None,
            observer: None,
            permit: None,
            allowance: None,
            signer: None,
            deadline: options.deadline,
            list_deadline: options.list_deadline,
            shared: Arc::new(Shared {
                transport,
                auth,
                identity_url: endpoint::identity(&auth_url),
                region,
                interface,
                login: tokio::sync::Mutex::default(),
                logins_ended: AtomicU64::new(0),
                newest: with_versions
                    .into_iter()
                    .map(|service| (service, OnceCell::new()))
                    .collect(),
                dice: Mutex::new(JitterSource::new(options.retry.jitter)),
                options,
            }),
        }
    }

    /// A session on the same cloud, by the same route, that acts with a caller's own token.
    ///
    /// # Errors
    /// As [`Session::with_token`].
    pub fn acting_as(
        &self,
        token: SecretString,
        catalog: Catalog,
        project_id: Option<ProjectId>,
    ) -> Result<Self, CallError> {
        let caller = CallerToken {
            auth_url: self.shared.identity_url.clone(),
            token,
            catalog,
            project_id,
            region_name: self.shared.region.clone(),
            interface: self.shared.interface,
        };
        let session = Self::with_token(
            self.shared.transport.clone(),
            caller,
            self.shared.options.clone(),
        )?;
        Ok(Self {
            request_id: self.request_id.clone(),
            request_log: self.request_log.clone(),
            observer: self.observer.clone(),
            permit: self.permit.clone(),
            allowance: self.allowance.clone(),
            signer: self.signer.clone(),
            deadline: self.deadline,
            list_deadline: self.list_deadline,
            ..session
        })
    }

    /// The same session whose calls carry `id` as their global request id (`X-OpenStack-Request-ID`), so that the
    /// clouds' logs name it. Services take ids of the form `req-<uuid>` only; another text is left out.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        let valid = id
            .strip_prefix("req-")
            .is_some_and(|uuid| uuid::Uuid::try_parse(uuid).is_ok());
        let request_id = if valid {
            HeaderValue::from_str(id).ok()
        } else {
            None
        };
        Self {
            request_id,
            ..self.clone()
        }
    }

    /// The same session, which notes in `log` the request id of each call that changed something.
    #[must_use]
    pub fn with_request_log(&self, log: &RequestLog) -> Self {
        Self {
            request_log: Some(log.clone()),
            ..self.clone()
        }
    }

    /// The same session, which tells `observer` of each of its exchanges. A login that several callers wait for is told
    /// by the one that began it.
    #[must_use]
    pub fn with_observer(&self, observer: Arc<dyn ExchangeObserver>) -> Self {
        Self {
            observer: Some(observer),
            ..self.clone()
        }
    }

    /// The same session, which asks `permit` right before it sends a call that changes something.
    #[must_use]
    pub fn with_permit(&self, permit: Arc<dyn WritePermit>) -> Self {
        Self {
            permit: Some(permit),
            ..self.clone()
        }
    }

    /// The same session, whose answers count against `allowance`. When it is used up, reads fail as
    /// [`CloudError::TooMuch`]; what changes something is sent all the same, since its answers are small.
    #[must_use]
    pub fn with_allowance(&self, allowance: Allowance) -> Self {
        Self {
            allowance: Some(allowance),
            ..self.clone()
        }
    }

    /// The same session, which signs its calls to a protector with `signer`. No other service gets a signature.
    #[must_use]
    pub fn with_signer(&self, signer: Arc<dyn MessageSigner>) -> Self {
        Self {
            signer: Some(signer),
            ..self.clone()
        }
    }

    /// The same session whose calls end within `deadline`, repeats and logins included; a list with all its pages is one.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            list_deadline: deadline,
            ..self.clone()
        }
    }

    /// The id of the project that the session acts in. Logs in if needed.
    ///
    /// # Errors
    /// As any call; [`CloudError::Setup`] for a token without a project.
    pub async fn project_id(&self) -> Result<ProjectId, CallError> {
        let call = Ask::get(Service::Identity, &["auth", "tokens"]).call;
        let token = self.token(&call, Instant::now() + self.deadline).await?;
        token
            .project_id
            .clone()
            .ok_or_else(|| CallError::Setup("the token is not for a project".to_owned()))
    }

    /// The id of the user that the session acts as. Logs in if needed.
    ///
    /// # Errors
    /// As any call; [`CloudError::Setup`] for a caller's own token.
    pub async fn user_id(&self) -> Result<UserId, CallError> {
        let call = Ask::get(Service::Identity, &["auth", "tokens"]).call;
        let token = self.token(&call, Instant::now() + self.deadline).await?;
        token
            .user_id
            .clone()
            .ok_or_else(|| CallError::Setup("the token is a caller's own".to_owned()))
    }

    /// The catalogue of the session's project. Logs in if needed.
    ///
    /// # Errors
    /// As any call.
    pub async fn catalog(&self) -> Result<Catalog, CallError> {
        let call = Ask::get(Service::Identity, &["auth", "tokens"]).call;
        Ok(self
            .token(&call, Instant::now() + self.deadline)
            .await?
            .catalog
            .clone())
    }

    /// The base URL that calls to `service` go to. Logs in if needed.
    ///
    /// # Errors
    /// As any call; [`CloudError::NoEndpoint`] when the catalogue has none.
    pub async fn endpoint(&self, service: Service) -> Result<String, CallError> {
        let call = Ask::get(service, &[]).call;
        let token = self.token(&call, Instant::now() + self.deadline).await?;
        self.base_url(service, &token)
    }

    /// The newest microversion that the cloud offers of `service` (Nova or Cinder), asked once per session.
    ///
    /// # Errors
    /// As any call.
    pub async fn newest_microversion(
        &self,
        service: Service,
    ) -> Result<ServiceMicroversion, CallError> {
        let call = Ask::get(service, &[]).call;
        self.newest(&call, Instant::now() + self.deadline).await
    }

    /// Every call of every service ends here. Gives the answer of a 2xx.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Response, CallError> {
        self.send_until(ask, self.end_of_a_call()).await
    }

    pub(crate) fn page_size(&self) -> usize {
        self.shared.options.page_size
    }

    /// When a call that begins now must have ended.
    pub(crate) fn end_of_a_call(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// When a list that begins now must have been read.
    pub(crate) fn end_of_a_list(&self) -> Instant {
        Instant::now() + self.list_deadline
    }

    pub(crate) async fn send_until(
        &self,
        ask: &Ask,
        until: Instant,
    ) -> Result<Response, CallError> {
        ask.check()?;
        match ask.call.writes {
            true => self.change(ask, until).await,
            false => self.read(ask, until).await,
        }
    }

    /// Carries out a call that changes something: one exchange, right after the permit was asked.
    async fn change(&self, ask: &Ask, until: Instant) -> Result<Response, CallError> {
        let token = self.token(&ask.call, until).await?;
        let (url, headers) = self.prepare(ask, &token, until).await?;
        let outcome = self.exchange(ask, url, headers, until).await;
        match &outcome {
            Ok(response) => self.note(response),
            Err(error) if error.class() == ErrorClass::Unauthorized => self.forget(&token).await,
            Err(_) => {}
        }
        outcome
    }

    async fn read(&self, ask: &Ask, until: Instant) -> Result<Response, CallError> {
        let mut tries = 0;
        let mut logged_in_again = false;
        loop {
            let token = self.token(&ask.call, until).await?;
            let (url, headers) = self.prepare(ask, &token, until).await?;
            let error = match self.exchange(ask, url, headers, until).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let renewable = matches!(self.shared.auth, Auth::Password(_)) && !logged_in_again;
            if renewable && error.class() == ErrorClass::Unauthorized {
                logged_in_again = true;
                self.forget(&token).await;
                continue;
            }
            tries += 1;
            self.pause_or_give_up(tries, error, until).await?;
        }
    }

    fn note(&self, response: &Response) {
        if let Some(log) = &self.request_log {
            log.note(request_id(&response.headers));
        }
    }

    /// Waits before the next try, or gives the error back when there must be none.
    async fn pause_or_give_up(
        &self,
        tries: u32,
        error: CallError,
        until: Instant,
    ) -> Result<(), CallError> {
        let pause = {
            let mut dice = self
                .shared
                .dice
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.shared.options.retry.pause(tries, &error, &mut dice)
        };
        match pause {
            Some(pause) if Instant::now() + pause < until => {
                tracing::debug!(%error, ?pause, tries, "will be tried again");
                sleep(pause).await;
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn prepare(
        &self,
        ask: &Ask,
        token: &Token,
        until: Instant,
    ) -> Result<(String, HeaderMap), CallError> {
        let base = self.base_url(ask.call.service, token)?;
        let mut headers = self.plain_headers(ask);
        headers.insert("x-auth-token", token.header.clone());
        if ask.base == BaseUrl::VersionRoot {
            return Ok((endpoint::version_root(&base), headers));
        }
        if let Some(subject) = &ask.subject {
            headers.insert("x-subject-token", subject.clone());
        }
        if let Some(version) = self.agreed(ask, until).await? {
            add_microversion(&mut headers, ask.call.service, version);
        }
        Ok((ask.url(&base), headers))
    }

    fn plain_headers(&self, ask: &Ask) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(agent) = HeaderValue::from_str(&self.shared.options.user_agent) {
            headers.insert(header::USER_AGENT, agent);
        }
        if ask.body.is_some() {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        if let Some(id) = &self.request_id {
            headers.insert("x-openstack-request-id", id.clone());
        }
        headers
    }

    fn base_url(&self, service: Service, token: &Token) -> Result<String, CallError> {
        if service == Service::Identity {
            return Ok(self.shared.identity_url.clone());
        }
        let url = match self.shared.options.endpoint_overrides.get(&service) {
            Some(url) => url,
            None => token.catalog.endpoint(
                service,
                self.shared.interface,
                self.shared.region.as_deref(),
            )?,
        };
        Ok(endpoint::complete(service, url, token.project_id.as_ref()))
    }

    /// The microversion to send: the newest that both sides know, if it is not older than the call needs.
    async fn agreed(
        &self,
        ask: &Ask,
        until: Instant,
    ) -> Result<Option<ServiceMicroversion>, CallError> {
        let Some(wanted) = ServiceMicroversion::wanted(ask.call.service) else {
            return Ok(None);
        };
        let offered = Box::pin(self.newest(&ask.call, until)).await?;
        match ask.needs {
            Some(needed) if needed > offered => Err(CallError::TooOld {
                call: Box::new(ask.call.clone()),
                needed,
                offered,
            }),
            _ => Ok(Some(wanted.min(offered))),
        }
    }

    async fn newest(&self, call: &Call, until: Instant) -> Result<ServiceMicroversion, CallError> {
        let (Some(cell), Some(wanted)) = (
            self.shared.newest.get(&call.service),
            ServiceMicroversion::wanted(call.service),
        ) else {
            return Err(CallError::Setup(format!(
                "{} has no microversions",
                call.service
            )));
        };
        let asking = cell.get_or_try_init(|| async {
            let mut ask = Ask::get(call.service, &[]);
            ask.base = BaseUrl::VersionRoot;
            ask.wants_json = true;
            ask.call.path = "/".to_owned();
            let answer = self.send_until(&ask, until).await?;
            newest_in_document(&answer.body, wanted.major).map_err(|why| unexpected(&ask.call, why))
        });
        match timeout_at(until, asking).await {
            Ok(newest) => newest.copied(),
            Err(_) => Err(out_of_time(call)),
        }
    }

    /// One exchange, its outcome as an error class. No repeats.
    async fn exchange(
        &self,
        ask: &Ask,
        url: String,
        headers: HeaderMap,
        until: Instant,
    ) -> Result<Response, CallError> {
        let call = &ask.call;
        let left = until.saturating_duration_since(Instant::now());
        let allowed = left.min(self.shared.options.exchange_timeout);
        if allowed.is_zero() {
            return Err(out_of_time(call));
        }
        let body = ask
            .body
            .as_ref()
            .map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let largest_body = self.largest_body(call);
        if largest_body == 0 {
            return Err(self.too_large(call, &url, largest_body));
        }
        let headers = self.signed(ask, headers, &body)?;
        let request = Request {
            method: call.method.clone(),
            url: url.clone(),
            headers,
            body,
            timeout: allowed,
            largest_body,
        };
        if let Some(permit) = self.permit.as_ref().filter(|_| call.writes) {
            permit.pass(call, allowed)?;
        }
        let exchange = Exchange::begin(call, self.observer.as_ref());
        // The end comes first: a process that was frozen meanwhile must not go on with sending when it is over.
        let answer = tokio::select! {
            biased;
            () = sleep(allowed) => Err(TransportError::TimedOut(allowed)),
            answer = self.shared.transport.send(request) => answer,
        };
        let took = exchange.end(&answer);
        let outcome = match answer {
            Ok(response) if is_too_large(&response, largest_body) => {
                Err(self.too_large(call, &url, largest_body))
            }
            Ok(response) => {
                self.spend(response.body.len());
                judge(ask, &url, response)
            }
            Err(TransportError::NotSent(why)) => Err(CallError::Setup(why)),
            Err(TransportError::TooLarge(_)) => Err(self.too_large(call, &url, largest_body)),
            Err(TransportError::Unreachable(why)) => Err(CallError::Unreachable {
                call: Box::new(call.clone()),
                why,
            }),
            Err(TransportError::NotAsked(why)) => Err(CallError::NotAsked {
                call: Box::new(call.clone()),
                why,
            }),
            Err(lost) => Err(CallError::Lost {
                call: Box::new(call.clone()),
                why: lost.to_string(),
            }),
        };
        log(call, &outcome, took);
        outcome
    }

    /// The most bytes of the answer to `call` that are taken.
    fn largest_body(&self, call: &Call) -> usize {
        let largest = bounds::largest_body(call.service);
        match &self.allowance {
            Some(allowance) if !call.writes => largest.min(allowance.left()),
            _ => largest,
        }
    }

    fn spend(&self, bytes: usize) {
        if let Some(allowance) = &self.allowance {
            allowance.spend(bytes);
        }
    }

    fn too_large(&self, call: &Call, url: &str, taken: usize) -> CallError {
        let largest = bounds::largest_body(call.service);
        let why = match &self.allowance {
            Some(allowance) if taken < largest => {
                format!("all answers to one request together are larger than {allowance}")
            }
            _ => format!("its body is larger than {}", bounds::Bytes(largest)),
        };
        self.spend(taken);
        CallError::too_much(call, url, why)
    }

    /// The headers of a complete request, with its signature where it is for a protector.
    fn signed(
        &self,
        ask: &Ask,
        mut headers: HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, CallError> {
        let is_for_a_protector = ask.call.service == Service::DisasterRecovery;
        let Some(signer) = self.signer.as_ref().filter(|_| is_for_a_protector) else {
            return Ok(headers);
        };
        let message = UnsignedMessage {
            method: &ask.call.method,
            target: &ask.url(""),
            headers: &headers,
            body,
        };
        let signature = signer.sign(&message).map_err(CallError::Setup)?;
        headers.extend(signature);
        Ok(headers)
    }

    /// A token to use now: the cached one, or one from a login that all callers share.
    async fn token(&self, call: &Call, until: Instant) -> Result<Arc<Token>, CallError> {
        let credentials = match &self.shared.auth {
            Auth::Caller(token) => return Ok(token.clone()),
            Auth::Password(credentials) => credentials,
        };
        let ended_before = self.shared.logins_ended.load(Ordering::SeqCst);
        let Ok(mut login) = timeout_at(until, self.shared.login.lock()).await else {
            return Err(out_of_time(call));
        };
        if let Some(token) = login.token.as_ref().filter(|token| token.is_usable()) {
            return Ok(token.clone());
        }
        let waited_for_one = self.shared.logins_ended.load(Ordering::SeqCst) > ended_before;
        if let Some(failure) = login.failure.as_ref().filter(|_| waited_for_one) {
            return Err(failure.clone());
        }
        let outcome = self.log_in(credentials, until).await;
        self.shared.logins_ended.fetch_add(1, Ordering::SeqCst);
        match outcome {
            Ok(token) => {
                *login = Login {
                    token: Some(token.clone()),
                    failure: None,
                };
                Ok(token)
            }
            Err(error) => {
                *login = Login {
                    token: None,
                    failure: Some(error.clone()),
                };
                Err(error)
            }
        }
    }

    /// Drops a token that was refused, unless a newer one is there already.
    async fn forget(&self, refused: &Token) {
        let mut login = self.shared.login.lock().await;
        if login
            .token
            .as_ref()
            .is_some_and(|token| token.login == refused.login)
        {
            login.token = None;
        }
    }

    /// `POST /v3/auth/tokens`. It changes nothing in the cloud, so it is repeated like a read.
    async fn log_in(
        &self,
        credentials: &Credentials,
        until: Instant,
    ) -> Result<Arc<Token>, CallError> {
        let mut ask = Ask::new(Method::POST, Service::Identity, &["auth", "tokens"]);
        ask.call.writes = false;
        ask.wants_json = true;
        ask.body = Some(credentials.auth_body());
        let mut tries = 0;
        let answer = loop {
            let url = ask.url(&self.shared.identity_url);
            match self
                .exchange(&ask, url, self.plain_headers(&ask), until)
                .await
            {
                Ok(answer) => break answer,
                Err(error) => {
                    tries += 1;
                    self.pause_or_give_up(tries, error, until).await?;
                }
            }
        };
        let unexpected = |why: &str| unexpected(&ask.call, why);
        let header = answer.headers.get("x-subject-token");
        let header = header
            .and_then(|value| value.to_str().ok())
            .filter(|token| token.len() <= LONGEST_TOKEN)
            .and_then(secret_header);
        let header = header
            .ok_or_else(|| unexpected("the X-Subject-Token header is missing or no token"))?;
        let info = serde_json::from_slice::<TokenAnswer>(&answer.body)
            .map_err(|error| unexpected(&said(&error)))?
            .token;
        Ok(Arc::new(Token {
            header,
            use_until: Some(Instant::now() + time_of_use(&info)),
            project_id: info.project.map(|project| project.id),
            user_id: Some(info.user.id),
            catalog: info.catalog.unwrap_or_default(),
            login: self.shared.logins_ended.load(Ordering::SeqCst) + 1,
        }))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("identity_url", &self.shared.identity_url)
            .field("region", &self.shared.region)
            .field("interface", &self.shared.interface)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// For transports that do not count.
fn is_too_large(response: &Response, largest: usize) -> bool {
    (200..=300).contains(&response.status) && response.body.len() > largest
}

fn out_of_time(call: &Call) -> CallError {
    CallError::OutOfTime {
        call: Box::new(call.clone()),
    }
}

#[cfg(test)]
mod tests;
