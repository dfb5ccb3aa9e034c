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
    /// When it is worth asking again.
    pub look_again: Duration,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(percent) = self.percent {
            write!(f, " ({percent} %")?;
            match self.bytes_left {
                Some(bytes) => write!(f, ", {bytes} bytes left)")?,
                None => f.write_str(")")?,
            }
        } else if let Some(bytes) = self.bytes_left {
            write!(f, " ({bytes} bytes left)")?;
        }
        Ok(())
    }
}
