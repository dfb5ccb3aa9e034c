//! The arguments that all services share, and how a program ends.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use protector_oslo::Config;

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Path of a configuration file; several are read in order, later ones win. Without it, protector.conf is looked for
    /// in ~/.protector, ~, /etc/protector and /etc
    #[arg(long, value_name = "PATH")]
    pub config_file: Vec<PathBuf>,
    /// A directory whose *.conf files are read after the files, in order of their names
    #[arg(long, value_name = "DIR")]
    pub config_dir: Vec<PathBuf>,
}

impl ConfigArgs {
    /// Reads and judges the configuration.
    ///
    /// # Errors
    ///
    /// All problems at once, each with file, line, option and what would be valid.
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config_file, &self.config_dir)?)
    }
}

/// Ends a program: 0, or 1 with the reason on stderr.
pub fn exit(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    exit_with(program, outcome.map(|()| ExitCode::SUCCESS))
}

/// Ends a program as it says, or with 1 and the reason on stderr.
#[allow(
    clippy::print_stderr,
    reason = "the last word of a program that cannot go on, also when logging is not set up"
)]
pub fn exit_with(program: &str, outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
