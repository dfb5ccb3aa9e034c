//! The REST API of protector.

use std::process::ExitCode;

use clap::Parser;
use protector::api_service;
use protector_service::{command_line, runtime};

/// The REST API of OpenStack disaster recovery
#[derive(Parser)]
#[command(name = "protector-api", version)]
struct Arguments {
    #[command(flatten)]
    config: command_line::ConfigArgs,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    command_line::exit("protector-api", start(&arguments))
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let log = protector_oslo::log::init(&config.general, "protector-api")?;
    protector_service::tls::choose_tls_provider();
    runtime::runtime()?.block_on(api_service::run(config, log))
}
