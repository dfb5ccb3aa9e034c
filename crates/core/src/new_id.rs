//! Where new ids come from: a port, so that tests know them.

use uuid::Uuid;

/// Where new ids come from.
pub trait Ids: Send + Sync {
    /// A new random UUID.
    fn uuid(&self) -> Uuid;
}

/// Ids from the operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[allow(clippy::disallowed_methods, reason = "this is the port")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
