//! How long a cloud takes: to answer, and to finish what it accepted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times of one cloud. In JSON all members are seconds with fractions; members left out keep the value of
/// [`Latency::quick`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Answering GET and HEAD.
    #[serde(with = "seconds")]
    pub read: Duration,
    /// Answering POST, PUT, PATCH and DELETE.
    #[serde(with = "seconds")]
    pub write: Duration,
    /// Answering a password authentication.
    #[serde(with = "seconds")]
    pub token: Duration,
    /// From the 202 to `ACTIVE`.
    #[serde(with = "seconds")]
    pub server_build: Duration,
    /// From the 204 to the 404.
    #[serde(with = "seconds")]
    pub server_delete: Duration,
    /// A graceful stop whose guest obeys.
    #[serde(with = "seconds")]
    pub server_stop: Duration,
    /// Start, and each reboot.
    #[serde(with = "seconds")]
    pub server_start: Duration,
    /// How long Nova waits for a guest that ignores the stop, before it powers off (Nova's `shutdown_timeout`).
    #[serde(with = "seconds")]
    pub shutdown_timeout: Duration,
    #[serde(with = "seconds")]
    pub volume_create: Duration,
    /// A volume from an image.
    #[serde(with = "seconds")]
    pub volume_from_image: Duration,
    /// From the 202 to the 404.
    #[serde(with = "seconds")]
    pub volume_delete: Duration,
    /// Attaching to a server.
    #[serde(with = "seconds")]
    pub attach: Duration,
    /// Detaching from a server.
    #[serde(with = "seconds")]
    pub detach: Duration,
    /// Managing an existing backend object.
    #[serde(with = "seconds")]
    pub manage: Duration,
    #[serde(with = "seconds")]
    pub unmanage: Duration,
    /// Snapshots: creating and deleting.
    #[serde(with = "seconds")]
    pub snapshot: Duration,
    /// Groups: creating, updating and deleting.
    #[serde(with = "seconds")]
    pub group: Duration,
    /// Seeded spread: 0.2 makes each time up to 20 % shorter or longer.
    pub jitter: f64,
}

impl Latency {
    /// Tens of milliseconds: for tests over HTTP and for the demo.
    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Self {
            read: ms(0),
            write: ms(0),
            token: ms(0),
            server_build: ms(80),
            server_delete: ms(50),
            server_stop: ms(40),
            server_start: ms(40),
            shutdown_timeout: Duration::from_secs(60),
            volume_create: ms(20),
            volume_from_image: ms(40),
            volume_delete: ms(30),
            attach: ms(30),
            detach: ms(30),
            manage: ms(30),
            unmanage: ms(20),
            snapshot: ms(20),
            group: ms(20),
            jitter: 0.0,
        }
    }

    /// What clouds in service take: server delete 2.5 s, volume delete 2.3 s, detach 2.7 s, boot 13 s.
    pub fn real() -> Self {
        let ms = Duration::from_millis;
        Self {
            read: ms(60),
            write: ms(150),
            token: ms(400),
            server_build: ms(13_000),
            server_delete: ms(2_500),
            server_stop: ms(4_000),
            server_start: ms(3_000),
            shutdown_timeout: Duration::from_secs(60),
            volume_create: ms(1_500),
            volume_from_image: ms(6_000),
            volume_delete: ms(2_300),
            attach: ms(2_500),
            detach: ms(2_700),
            manage: ms(1_500),
            unmanage: ms(800),
            snapshot: ms(1_500),
            group: ms(1_000),
            jitter: 0.0,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::quick()
    }
}

/// Durations as seconds with fractions.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(input)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}
