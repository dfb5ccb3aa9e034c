//! The engine of protector: carries operations out.

use std::process::ExitCode;

use clap::Parser;
use protector::engine_service;
use protector_service::{command_line, runtime};

/// The engine of OpenStack disaster recovery
#[derive(Parser)]
#[command(name = "protector-engine", version)]
struct Arguments {
    #[command(flatten)]
    config: command_line::ConfigArgs,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    command_line::exit("protector-engine", start(&arguments))
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let log = protector_oslo::log::init(&config.general, "protector-engine")?;
    protector_service::tls::choose_tls_provider();
    runtime::runtime()?.block_on(engine_service::run(config, log))
}
