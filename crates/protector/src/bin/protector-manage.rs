//! Administration of a protector installation.

use std::process::ExitCode;

use clap::Parser;
use protector::manage;
use protector_service::command_line;

fn main() -> ExitCode {
    let arguments = manage::Arguments::parse();
    protector_service::tls::choose_tls_provider();
    command_line::exit_with("protector-manage", manage::run(&arguments))
}
