//! Identifiers that depend on the seed alone, so that one seed always gives the same run.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// A deterministic source of version 4 UUIDs.
#[derive(Clone, Debug)]
pub(crate) struct IdSource {
    seed: u64,
    cloud: String,
    issued: u64,
}

impl IdSource {
    pub(crate) fn new(seed: u64, cloud: &str) -> Self {
        Self {
            seed,
            cloud: cloud.to_owned(),
            issued: 0,
        }
    }

    /// The next identifier of the run.
    pub(crate) fn next(&mut self) -> Uuid {
        self.issued += 1;
        self.digest(&format!("run/{}", self.issued))
    }

    /// The identifier of a thing that exists from the start: the same in every run of this cloud.
    pub(crate) fn fixed(&self, kind: &str, name: &str) -> Uuid {
        self.digest(&format!("{kind}/{name}"))
    }

    /// A number below one, for jitter.
    pub(crate) fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next().as_u128() & 0xffff_ffff).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }

    fn digest(&self, text: &str) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.cloud.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        let digest = hash.finalize();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}
