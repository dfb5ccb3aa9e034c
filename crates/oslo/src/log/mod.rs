//! Logs as OpenStack's operators read them: oslo.log's line form, or JSON.
//!
//! Spans give the context: a field `request_id`, `global_request_id` or `operation_id` of any
//! span around a record appears in the record's brackets. Values of fields that are named like a
//! secret are replaced by `***`, whatever they hold.

mod context;
mod file;
mod format;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use context::SpanContext;
pub use file::LogFile;
use format::Format;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{MakeWriter, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::General;

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be written.
    #[error("the log file {path} cannot be opened for writing: {source}; see {option}")]
    File {
        /// The file.
        path: PathBuf,
        /// What names it.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Called twice in a process.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up the process's logs: to `<log_dir>/<program>.log` (appended to) or standard error. Returns the file, if it is
/// one.
///
/// # Errors
/// The file cannot be opened, or logs are set up already.
pub fn init(general: &General, program: &str) -> Result<Option<Arc<LogFile>>, LogError> {
    let open = |path| LogFile::open(path, "[DEFAULT] log_dir").map(Arc::new);
    let file = file_path(general, program).map(open).transpose()?;
    let writer = match &file {
        Some(file) => BoxMakeWriter::new(Arc::clone(file)),
        None => BoxMakeWriter::new(io::stderr),
    };
    subscriber(general, writer).try_init()?;
    Ok(file)
}

/// The log file, after oslo.log: `log_file` within `log_dir`, else `<program>.log` there, else none.
fn file_path(general: &General, program: &str) -> Option<PathBuf> {
    match (&general.log_dir, &general.log_file) {
        (Some(dir), Some(file)) => Some(dir.join(file)),
        (None, Some(file)) => Some(file.clone()),
        (Some(dir), None) => Some(dir.join(Path::new(program)).with_extension("log")),
        (None, None) => None,
    }
}

/// The subscriber that [`init`] installs, with a writer of the caller's choice.
pub fn subscriber<W>(general: &General, writer: W) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let format = if general.use_json {
        Format::Json
    } else {
        Format::Line
    };
    tracing_subscriber::registry()
        .with(levels(general))
        .with(SpanContext)
        .with(
            tracing_subscriber::fmt::layer()
                .event_format(format)
                .with_ansi(false)
                // What cannot be written, on a full disk, would be complained of with a macro that panics when that
                // cannot be written either.
                .log_internal_errors(false)
                .with_writer(writer),
        )
}

fn levels(general: &General) -> Targets {
    let level = if general.debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    Targets::new()
        .with_default(level)
        .with_targets(general.default_log_levels.iter().cloned())
}
