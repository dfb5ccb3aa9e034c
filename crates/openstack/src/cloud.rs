//! All services of one cloud for one project, and a cache of them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    bounds::Allowance,
    catalog::EndpointInterface,
    compute::Compute,
    credentials::{Credentials, ProjectScope},
    exchange_observer::ExchangeObserver,
    identity::Identity,
    image::Images,
    message_signer::MessageSigner,
    network::NeutronNetwork,
    options::ClientOptions,
    permit::WritePermit,
    protector::ProtectorApi,
    request_log::RequestLog,
    session::Session,
    transport::Transport,
    volume::BlockStorage,
};

/// The services of one cloud as one user sees them in one project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cloud {
    session: Session,
}

impl Cloud {
    /// The services behind `session`.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The same cloud whose calls carry `id` as their global request id. See [`Session::with_request_id`].
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        Self::new(self.session.with_request_id(id))
    }

    /// The same cloud, which notes in `log` the request id of each call that changed something.
    #[must_use]
    pub fn with_request_log(&self, log: &RequestLog) -> Self {
        Self::new(self.session.with_request_log(log))
    }

    /// The same cloud, which tells `observer` of each exchange. See [`Session::with_observer`].
    #[must_use]
    pub fn with_observer(&self, observer: Arc<dyn ExchangeObserver>) -> Self {
        Self::new(self.session.with_observer(observer))
    }

    /// The same cloud, which asks `permit` before each call that changes something. See [`Session::with_permit`].
    #[must_use]
    pub fn with_permit(&self, permit: Arc<dyn WritePermit>) -> Self {
        Self::new(self.session.with_permit(permit))
    }

    /// The same cloud, whose protector is told with the signatures of `signer`. See [`Session::with_signer`].
    #[must_use]
    pub fn with_signer(&self, signer: Arc<dyn MessageSigner>) -> Self {
        Self::new(self.session.with_signer(signer))
    }

    /// The same cloud whose calls end within `deadline` each.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self::new(self.session.with_deadline(deadline))
    }

    /// The same cloud, whose answers count against `allowance`. See [`Session::with_allowance`].
    #[must_use]
    pub fn with_allowance(&self, allowance: Allowance) -> Self {
        Self::new(self.session.with_allowance(allowance))
    }

    pub fn identity(&self) -> Identity {
        Identity::new(self.session.clone())
    }

    pub fn compute(&self) -> Compute {
        Compute::new(self.session.clone())
    }

    pub fn volume(&self) -> BlockStorage {
        BlockStorage::new(self.session.clone())
    }

    pub fn network(&self) -> NeutronNetwork {
        NeutronNetwork::new(self.session.clone())
    }

    pub fn image(&self) -> Images {
        Images::new(self.session.clone())
    }

    /// The site's protector API.
    pub fn protector(&self) -> ProtectorApi {
        ProtectorApi::new(self.session.clone())
    }
}

/// How many sessions are kept. One is some tens of KiB, most of it the catalogue.
const KEPT: usize = 1000;

/// Keeps one session for each user, cloud and project, so that a token is fetched once for all who work there.
pub struct CloudSessions {
    options: ClientOptions,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    uses: u64,
    by_login: HashMap<LoginKey, KeptCloud>,
}

struct KeptCloud {
    transport: Arc<dyn Transport>,
    credentials: Credentials,
    cloud: Cloud,
    used: u64,
}

/// Who and where, without the password: a new password replaces the session of the old one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LoginKey {
    auth_url: String,
    username: String,
    user_domain_name: String,
    project: ProjectScope,
    region_name: Option<String>,
    interface: EndpointInterface,
}

impl CloudSessions {
    /// An empty cache whose sessions all have `options`.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            options,
            kept: Mutex::default(),
        }
    }

    /// The cloud that `credentials` name, reached by `transport`: the kept one, or a new one. Nothing is sent.
    pub fn cloud(&self, transport: &Arc<dyn Transport>, credentials: Credentials) -> Cloud {
        let key = LoginKey {
            auth_url: credentials.auth_url.clone(),
            username: credentials.username.clone(),
            user_domain_name: credentials.user_domain_name.clone(),
            project: credentials.project.clone(),
            region_name: credentials.region_name.clone(),
            interface: credentials.interface,
        };
        let mut guard = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *guard;
        kept.uses += 1;
        if let Some(entry) = kept.by_login.get_mut(&key)
            && Arc::ptr_eq(&entry.transport, transport)
            && entry.credentials == credentials
        {
            entry.used = kept.uses;
            return entry.cloud.clone();
        }
        let cloud = Cloud::new(Session::new(
            transport.clone(),
            credentials.clone(),
            self.options.clone(),
        ));
        kept.drop_oldest();
        let entry = KeptCloud {
            transport: transport.clone(),
            credentials,
            cloud: cloud.clone(),
            used: kept.uses,
        };
        kept.by_login.insert(key, entry);
        cloud
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        if self.by_login.len() < KEPT {
            return;
        }
        let oldest = self
            .by_login
            .iter()
            .min_by_key(|(_, entry)| entry.used)
            .map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.by_login.remove(&key);
        }
    }
}

impl fmt::Debug for CloudSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clouds")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
