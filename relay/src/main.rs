//! `flagforge-relay`: the data plane as a server of its own. `flagforge relay` is the same.

use clap::Parser;
use flagforge_relay::Settings;

/// FlagForge's relay: answers over OFREP, and manifests and streams for SDKs, from an installation or a mirror of it.
#[derive(Debug, Parser)]
#[command(name = "flagforge-relay", version)]
struct Args {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    // The one that is compiled in; nobody chose another before.
    #[cfg(feature = "https")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    flagforge_relay::run(&Args::parse().settings).await
}
