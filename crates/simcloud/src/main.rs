//! Simulated OpenStack clouds for the demo, for rehearsals and for tests.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use protector_service::{command_line, signals};
use protector_simcloud::{
    cloud::{CloudOptions, Latency, ServiceSeed},
    http::{CloudSite, ServeOptions, serve},
};
use tracing_subscriber::EnvFilter;

/// Simulated OpenStack clouds: Keystone, Nova, Cinder, Neutron and Glance of as many clouds as asked for
#[derive(Parser)]
#[command(name = "protector-simcloud", version)]
struct Arguments {
    /// A cloud: its name, the address to listen on, and the directory of its volumes' files (in memory without one)
    #[arg(long, value_name = "NAME,ADDRESS[,DIR]", required = true)]
    cloud: Vec<String>,
    /// URL of the protector of a cloud, for its catalogue
    #[arg(long, value_name = "NAME=URL")]
    protector: Vec<String>,
    /// Take as long as clouds in service do: server delete 2.5 s, volume delete 2.3 s, detach 2.7 s, boot 13 s
    #[arg(long)]
    real_latency: bool,
    /// Give the first cloud this many running servers of project demo, each with a boot and a data volume
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    fleet: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    command_line::exit("protector-simcloud", start(&arguments))
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let clouds = arguments
        .cloud
        .iter()
        .enumerate()
        .map(|(place, cloud)| site(arguments, place, cloud))
        .collect::<anyhow::Result<Vec<_>>>()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let stop = signals::stop_on_signal()?;
        serve(ServeOptions { clouds }, stop.cancelled_owned()).await?;
        Ok(())
    })
}

fn site(arguments: &Arguments, place: usize, cloud: &str) -> anyhow::Result<CloudSite> {
    let mut parts = cloud.splitn(3, ',');
    let (name, address) = match (parts.next(), parts.next()) {
        (Some(name), Some(address)) if !name.is_empty() => (name, address),
        _ => anyhow::bail!(
            "--cloud {cloud}: expected NAME,ADDRESS[,DIR], e.g. site-a,127.0.0.1:15000"
        ),
    };
    let listen: SocketAddr = address
        .parse()
        .with_context(|| format!("--cloud {cloud}: {address:?} is not an address and port"))?;
    let mut options = CloudOptions::demo(name, &format!("http://{listen}"));
    if arguments.real_latency {
        options.latency = Latency::real();
    }
    if place == 0 {
        options = options.with_fleet(arguments.fleet);
    }
    options.services.extend(protector_of(arguments, name)?);
    Ok(CloudSite {
        listen,
        options,
        volumes_dir: parts.next().map(PathBuf::from),
    })
}

fn protector_of(arguments: &Arguments, name: &str) -> anyhow::Result<Option<ServiceSeed>> {
    for pair in &arguments.protector {
        let (cloud, url) = pair
            .split_once('=')
            .with_context(|| format!("--protector {pair}: expected NAME=URL"))?;
        if cloud == name {
            return Ok(Some(ServiceSeed {
                name: "protector".to_owned(),
                service_type: "protector".to_owned(),
                url: url.to_owned(),
            }));
        }
    }
    Ok(None)
}
