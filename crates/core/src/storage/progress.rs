//! How far an array is with what it was asked for.

use std::{fmt, time::Duration};

/// What a call that may take long has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayProgress<T> {
    Done(T),
    /// It has begun, and the same call is to be made again.
    Pending(Pending),
}

impl<T> ArrayProgress<T> {
    /// The same with another answer.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> ArrayProgress<U> {
        match self {
            Self::Done(answer) => ArrayProgress::Done(into(answer)),
            Self::Pending(pending) => ArrayProgress::Pending(pending),
        }
    }
}

/// What an array is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is waited for, in words that follow "waits for".
    pub what: String,
    /// How much of it is done.
    pub percent: Option<u8>,
    /// Bytes that are still to be sent.
    pub bytes_left: Option<u64>,
    /// How long it may take yet, as it went until now.
    pub time_left: Option<Duration>,
    /// When it is worth asking again.
    pub look_again: Duration,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut far = Vec::new();
        far.extend(self.percent.map(|percent| format!("{percent} %")));
        far.extend(self.bytes_left.map(|bytes| format!("{bytes} bytes left")));
        far.extend(
            self.time_left
                .map(|time| format!("about {} left", rough(time))),
        );
        match far.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", far.join(", ")),
        }
    }
}

/// A time of which only the order of magnitude is known.
fn rough(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0..=1 => "1 min".to_owned(),
        2..=119 => format!("{minutes} min"),
        _ => format!("{} h", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(percent: Option<u8>, bytes_left: Option<u64>, seconds: Option<u64>) -> String {
        let pending = Pending {
            what: "the first copy".to_owned(),
            percent,
            bytes_left,
            time_left: seconds.map(Duration::from_secs),
            look_again: Duration::ZERO,
        };
        pending.to_string()
    }

    #[test]
    fn what_is_known_of_the_way_is_told_in_one_sentence() {
        assert_eq!(pending(None, None, None), "the first copy");
        assert_eq!(
            pending(Some(42), None, Some(170)),
            "the first copy (42 %, about 3 min left)"
        );
        assert_eq!(
            pending(Some(1), Some(7), Some(7201)),
            "the first copy (1 %, 7 bytes left, about 3 h left)"
        );
        assert_eq!(
            pending(None, Some(7), Some(2)),
            "the first copy (7 bytes left, about 1 min left)"
        );
    }
}
