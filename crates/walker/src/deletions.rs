//! When the calls that take an object away were sent. An engine reads what a deletion rests on right before it sends it; what
//! becomes of the rest while the call is on its way it cannot know, nor can it call it back.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::Method;
use protector_openstack::transport::Request;
use tokio::time::Instant;

/// The deletions that were carried out, by the name of the object on its array.
#[derive(Default)]
pub(crate) struct Deletions {
    sent: Mutex<BTreeMap<String, Instant>>,
}

impl Deletions {
    /// The object that `request` deletes, if it deletes one.
    pub fn object_of(request: &Request) -> Option<String> {
        let (_, volume) = request.url.rsplit_once("/volumes/")?;
        let deletes = request.method == Method::DELETE && !volume.contains('/');
        deletes.then(|| format!("volume-{volume}"))
    }

    /// The deletion of this object that was sent at `sent` is carried out now. When the one before it was sent.
    pub fn carried_out(&self, object: &str, sent: Instant) -> Option<Instant> {
        self.sent().insert(object.to_owned(), sent)
    }

    /// It was refused; what was known before counts.
    pub fn refused(&self, object: &str, before: Option<Instant>) {
        let mut sent = self.sent();
        match before {
            Some(before) => sent.insert(object.to_owned(), before),
            None => sent.remove(object),
        };
    }

    /// When the call was sent that took this object away.
    pub fn sent_of(&self, object: &str) -> Option<Instant> {
        self.sent().get(object).copied()
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(method: Method, url: &str) -> Request {
        Request {
            method,
            url: url.to_owned(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(60),
            largest_body: 1 << 20,
        }
    }

    #[test]
    fn a_deletion_names_its_object() {
        let volume = "http://site-a/volume/v3/p/volumes/v-1";
        let of = |method, url: &str| Deletions::object_of(&request(method, url));
        assert_eq!(of(Method::DELETE, volume).as_deref(), Some("volume-v-1"));
        assert_eq!(of(Method::GET, volume), None);
        let key = format!("{volume}/metadata/key");
        assert_eq!(of(Method::DELETE, &key), None);
        assert_eq!(
            of(Method::DELETE, "http://site-a/compute/servers/s-1"),
            None
        );
    }

    #[test]
    fn what_was_refused_took_nothing_away() {
        let deletions = Deletions::default();
        let first = Instant::now();
        let second = first + Duration::from_secs(1);
        assert_eq!(deletions.carried_out("volume-1", first), None);
        let before = deletions.carried_out("volume-1", second);
        deletions.refused("volume-1", before);
        assert_eq!(deletions.sent_of("volume-1"), Some(first));
        deletions.refused("volume-1", None);
        assert_eq!(deletions.sent_of("volume-1"), None);
    }
}
