//! The peer: the protector API of another site, found in that site's catalogue by its service type.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    ask::Ask,
    error::{CallError, ErrorClass},
    service::Service,
    session::Session,
};

/// The protector API of one site. Paths are below its endpoint and begin with `/`; they hold no query.
///
/// What one protector tells another carries its version, and means the same when it is said twice. So, other than a
/// change of a cloud, it is said again after a 401, with a fresh token.
#[derive(Clone, Debug)]
pub struct ProtectorApi {
    session: Session,
}

const PEER: Service = Service::DisasterRecovery;

impl ProtectorApi {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET` of `path`. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(Ask::get(PEER, &segments(path))).await
    }

    /// `GET` of `path` with query parameters. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn get_json_where<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
    ) -> Result<T, CallError> {
        self.read(with_query(Ask::get(PEER, &segments(path)), query))
            .await
    }

    /// `PUT` of `body` to `path`. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn put_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.read(Ask::put(PEER, &segments(path), json_of(body)?))
            .await
    }

    /// `POST` of `body` to `path`. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.read(Ask::post(PEER, &segments(path), json_of(body)?))
            .await
    }

    /// `DELETE` of `path`. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete(&self, path: &str) -> Result<(), CallError> {
        self.remove(Ask::delete(PEER, &segments(path))).await
    }

    /// `DELETE` of `path` with query parameters. Role: as the peer's policy has it.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete_where(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
    ) -> Result<(), CallError> {
        let ask = with_query(Ask::delete(PEER, &segments(path)), query);
        self.remove(ask).await
    }

    async fn remove(&self, ask: Ask) -> Result<(), CallError> {
        match self.session.done(ask.clone()).await {
            Err(error) if error.class() == ErrorClass::Unauthorized => self.session.done(ask).await,
            answer => answer,
        }
    }

    async fn read<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, CallError> {
        match self.session.typed(ask.clone()).await {
            Err(error) if error.class() == ErrorClass::Unauthorized => {
                self.session.typed(ask).await
            }
            answer => answer,
        }
    }
}

fn with_query(ask: Ask, query: &[(&'static str, &str)]) -> Ask {
    query
        .iter()
        .fold(ask, |ask, (name, value)| ask.query(name, *value))
}

fn segments(path: &str) -> Vec<&str> {
    path.trim_matches('/').split('/').collect()
}

fn json_of(body: &impl Serialize) -> Result<Value, CallError> {
    serde_json::to_value(body)
        .map_err(|error| CallError::Setup(format!("the body for the peer: {error}")))
}
