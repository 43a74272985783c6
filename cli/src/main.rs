//! `flagforge`: the whole product in one process, and the operator's commands.

mod args;
mod trust;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command, TrustCommand};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Trust(TrustCommand::Create(create)) => trust::create(&create),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            args::complain(&error);
            ExitCode::FAILURE
        }
    }
}
