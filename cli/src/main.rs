//! `flagforge`: the whole product in one process, and the operator's commands.

mod args;
mod demo;
mod eval;
mod explain;
mod inside;
mod manage;
mod manifest;
mod page;
mod sample;
mod serve;
mod trust;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command, TrustCommand};

#[tokio::main]
async fn main() -> ExitCode {
    #[cfg(feature = "https")]
    // An error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command = Args::parse().command;
    // A relay logs as it is told, and may be told otherwise while it runs.
    if !matches!(command, Command::Relay(_)) {
        let filter =
            EnvFilter::try_from_env("FLAGFORGE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let done = match command {
        Command::Serve(serve) => serve::run(&serve).await,
        Command::Relay(settings) => flagforge_relay::run(&settings).await,
        Command::Sample(sample) => sample::run(&sample.connection, &sample.tenants).await,
        Command::Eval(eval) => eval::run(&eval),
        Command::Explain(explain) => explain::run(&explain).await,
        Command::Manifest(command) => manifest::run(&command).await,
        Command::Trust(TrustCommand::Create(create)) => trust::create(&create),
        Command::Trust(TrustCommand::Install(install)) => trust::install(&install).await,
        Command::Manage(command) => manage::run(&command).await,
        Command::Completion { shell } => {
            args::complete(shell);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            args::complain(&error);
            manage::exit_code(&error)
        }
    }
}
