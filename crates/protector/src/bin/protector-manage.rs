//! Administration of a protector installation.

use std::process::ExitCode;

use clap::Parser;
use protector::{assembly, command_line, manage};

fn main() -> ExitCode {
    let arguments = manage::Arguments::parse();
    assembly::choose_tls_provider();
    command_line::exit_with("protector-manage", manage::run(&arguments))
}
