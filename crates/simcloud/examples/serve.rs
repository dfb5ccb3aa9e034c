//! Two simulated clouds on fixed ports, until Ctrl-C: `cargo run -p protector-sim --example serve`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use protector_simcloud::{
    cloud::CloudOptions,
    http::{CloudSite, ServeError, ServeOptions, serve},
};

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let volumes = std::env::args().nth(1).map(PathBuf::from);
    let clouds = [("site-a", 15_500), ("site-b", 25_500)]
        .into_iter()
        .map(|(name, port)| CloudSite {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            options: CloudOptions::demo(name, ""),
            volumes_dir: volumes.as_ref().map(|dir| dir.join(name)),
        })
        .collect();
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(ServeOptions { clouds }, stop).await
}
