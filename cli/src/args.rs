//! What can be said on the command line, and how the program answers there.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use flagforge_formats::Format;
use flagforge_platform::people::{Issuer, LEEWAY_SECONDS};

use crate::manage::{self, EXIT_CODES};

/// FlagForge: feature flags for software with many tenants.
#[derive(Debug, Parser)]
#[command(name = "flagforge", version, propagate_version = true)]
#[command(after_help = format!("\
Begin with:
  flagforge serve --demo        the whole product in this process, with something to look at
It prints a page to open, a connection string for SDKs, and what to try. In another terminal:
  flagforge profile add demo --url http://127.0.0.1:8080 --key-file demo-data/admin.key --env prod
  flagforge flag list
  flagforge flag off new-dashboard --reason 'looking around'
  flagforge tenant flags acme --user u-2
  flagforge audit list

{EXIT_CODES}"))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole product in this process: API, publisher, relay and a page to look at.
    ///
    /// Everything is kept in one folder. The first start makes it, with an organization, its
    /// environments dev, staging and prod, and an admin key.
    Serve(Serve),
    /// Run a relay: answers over OFREP, and manifests and streams for SDKs, from an installation or a mirror of it.
    ///
    /// It verifies what it reads, keeps the last good manifests, and goes on with them when its origin is gone. The program
    /// `flagforge-relay` is the same.
    Relay(Box<flagforge_relay::Settings>),
    /// Run the sample service: a small program that uses the SDK and says what its flags tell it.
    Sample(Sample),
    /// Ask a configuration, ours or another vendor's, a line at a time. Needs no server.
    Eval(Eval),
    /// Show every step to one answer, of a configuration in a file or of a running server.
    Explain(Explain),
    /// Manifests: look at them as SDKs read them, without a control plane; and look after those of an installation.
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Make and renew the documents that SDKs trust.
    #[command(subcommand)]
    Trust(TrustCommand),
    #[command(flatten)]
    Manage(Box<manage::Command>),
    /// Print what a shell needs to complete commands.
    #[command(after_help = "\
  flagforge completion bash > ~/.local/share/bash-completion/completions/flagforge
  flagforge completion zsh > ~/.zfunc/_flagforge
  flagforge completion fish > ~/.config/fish/completions/flagforge.fish")]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Have a look around, with data to play with:
  flagforge serve --demo
Begin something of your own, in ./data:
  flagforge serve
Set FLAGFORGE_LOG=info (or debug) to see what it does.")]
pub(crate) struct Serve {
    /// Bring an organization `demo` with tenants, a flag of each class and a sample service.
    #[arg(long)]
    pub(crate) demo: bool,
    /// The folder for everything that is kept. Default: ./data, or ./demo-data with --demo.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen. It speaks plain HTTP, so keep it to this machine or behind a proxy.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// An address for /healthz, /readyz and /configuration of the data plane, and /metrics where this program is built with the
    /// feature `metrics`. It names organizations: nobody else should reach it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operation_listen: Option<SocketAddr>,
    /// A web origin whose pages may call the management API, say https://console.example.com. Repeat it for
    /// several; none may unless named.
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    pub(crate) cors_origins: Vec<String>,
    /// Let issuers of people's tokens, and sources of tenants, be on this machine, over plain HTTP: for trying things out.
    #[arg(long)]
    pub(crate) allow_loopback: bool,
    /// An OpenID Connect issuer whose people every organization here can take in: its address and the audience that its
    /// tokens are for, say https://login.example.com=flagforge. Repeat it for several. What its tokens claim gives no role.
    #[arg(long = "issuer", value_name = "URL=AUDIENCE", value_parser = issuer)]
    pub(crate) issuers: Vec<Issuer>,
    #[command(flatten)]
    pub(crate) events: EventsTo,
}

/// Somebody's own message bus.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EventsTo {
    /// A NATS server, or several with commas between, that hears of every change, as CloudEvents under
    /// flagforge.<org>.<env>.<type>. An address may hold a user and password, or a token: the environment variable
    /// keeps them out of the list of processes.
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "URL", env = "FLAGFORGE_NATS_URL", hide_env_values = true)]
    pub(crate) nats: Option<String>,
    /// A file of credentials for it, as `nsc` makes them.
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "FILE", env = "FLAGFORGE_NATS_CREDENTIALS", requires = "nats")]
    pub(crate) nats_credentials: Option<PathBuf>,
}

/// An issuer of the whole installation. What else can be said of one is as for everybody.
fn issuer(text: &str) -> Result<Issuer, String> {
    // An audience may have `=` in it; an address without a query has none.
    let (url, audience) = text.split_once('=').ok_or("say <URL>=<AUDIENCE>")?;
    let audiences = vec![audience.to_owned()];
    let (algorithms, roles) = (Vec::new(), Vec::new());
    let issuer = Issuer {
        url: url.to_owned(),
        audiences,
        algorithms,
        leeway_seconds: LEEWAY_SECONDS,
        roles,
    };
    issuer.check().map_err(|error| error.to_string())?;
    Ok(issuer)
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sample {
    /// The connection string that `serve` printed. It holds a key: the environment variable keeps it
    /// out of the list of processes.
    #[arg(env = "FLAGFORGE_CONNECTION", hide_env_values = true)]
    pub(crate) connection: String,
    /// A tenant to speak for. Repeat it for several.
    #[arg(long = "tenant", value_name = "KEY", default_values_t = crate::demo::TENANTS.map(String::from))]
    pub(crate) tenants: Vec<String>,
}

/// A configuration in a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Configuration {
    /// Whose format it is in: flagforge, unleash, featureprobe, flipt or flagd.
    #[arg(long, value_name = "FORMAT", default_value_t = Format::FlagForge)]
    pub(crate) format: Format,
    /// The file; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line in is a question, and a line out its answer:
  {\"flag\": \"beta\", \"tenant\": \"acme\", \"context\": {\"userId\": \"ann\"}, \"default\": false}
  {\"flag\": \"beta\", \"value\": true, \"variant\": \"blue\", \"reason\": \"TARGETING_MATCH\", \"errorCode\": null}
The context has the format's own shape. Only `flag` is needed.
  flagforge eval --format unleash --config features.json --contexts questions.jsonl
What could not be carried over is said on the standard error, and answered with an error.")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// The questions, a JSON object a line; `-` is the standard input.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) contexts: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A configuration in a file:
  flagforge explain --format unleash --config features.json --flag beta --context '{\"userId\": \"ann\"}'
A running server, which knows its tenants, with a server's key:
  flagforge explain --flag beta --tenant acme --user u-2 --key-file demo-data/server-prod.key")]
pub(crate) struct Explain {
    /// Whose format the file is in: flagforge, unleash, featureprobe, flipt or flagd.
    #[arg(long, value_name = "FORMAT", default_value_t = Format::FlagForge, requires = "config")]
    pub(crate) format: Format,
    /// The file; `-` is the standard input. Without one, a running server is asked.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The flag.
    #[arg(long, value_name = "KEY")]
    pub(crate) flag: String,
    /// Who asks, in the format's own shape.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) context: String,
    /// The user who asks a server, by key.
    #[arg(long, value_name = "KEY", conflicts_with = "config")]
    pub(crate) user: Option<String>,
    /// The tenant that asks.
    #[arg(long, value_name = "KEY")]
    pub(crate) tenant: Option<String>,
    /// Print the trace as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: manage::Place,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Say what the root is that stands: its place, its age, what it lists, which flags are held.
    Show(ManifestAt),
    /// Read all of it as an SDK would: every signature, digest and limit. Fails where an SDK would refuse it, where a flag
    /// in it is malformed, and where it should have been signed again.
    Verify(ManifestAt),
    /// Say which flags differ between two manifests, and in what: two environments, or two installations.
    Diff(ManifestDiff),
    #[command(flatten)]
    Manage(Box<manage::ManifestCommand>),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With the connection string that `serve` printed:
  flagforge manifest show \"$FLAGFORGE_CONNECTION\"
From a folder or a mirror, when everything else is gone:
  flagforge manifest verify 'flagforge+file:///backup/objects?org=demo&env=prod&roots=…'")]
pub(crate) struct ManifestAt {
    /// Where it is, and which root keys are believed. It may hold a key: the environment variable keeps it out of the list of
    /// processes.
    #[arg(env = "FLAGFORGE_CONNECTION", hide_env_values = true)]
    pub(crate) connection: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManifestDiff {
    /// The connection string of one.
    pub(crate) before: String,
    /// The connection string of the other.
    pub(crate) after: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Sign a trust document with offline root keys. Needs no network.
    ///
    /// The document names the online key that may certify manifests. SDKs pin the root keys'
    /// thumbprints, which this prints, and nothing else: rotating the online key is a new document
    /// with a higher number, and no redeployment.
    Create(TrustCreate),
    /// Install a trust document in a running installation: the first, or one that succeeds the current. For its operator.
    Install(TrustInstall),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TrustInstall {
    /// The document, as `create` wrote it.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: manage::Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first document, with a new root key:
  flagforge trust create --root-key root.pem --create --online-key kms.pem --number 1 --out trust.json
Another online key:
  flagforge trust create --root-key root.pem --online-key kms-2.pem --number 2 --out trust.json
Another root key; the old one signs as well, so that readers can follow:
  flagforge trust create --root-key new.pem --create --retired-root-key root.pem \\
      --online-key kms.pem --number 3 --out trust.json")]
pub(crate) struct TrustCreate {
    /// A root key (PEM, PKCS#8, P-256). Repeat it for several; all of them sign.
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) root_key: Vec<PathBuf>,
    /// Draw a root key where the file does not exist, readable by its owner only.
    #[arg(long)]
    pub(crate) create: bool,
    /// The public half of an online key (PEM). Repeat it for several.
    #[arg(long, required = true, value_name = "PEM")]
    pub(crate) online_key: Vec<PathBuf>,
    /// The document's number: one more than the last one's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..u64::MAX))]
    pub(crate) number: u64,
    /// Raise it to make every manifest of before worthless, after a theft.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) epoch: u64,
    /// How many of the root keys the next document needs. Default: all of them.
    #[arg(long, value_name = "K")]
    pub(crate) threshold: Option<u16>,
    /// Days until it should have been replaced. Readers go on past it, and say that it is stale.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub(crate) days: u32,
    /// A root key of the document before that is not one of this one's. Repeat it for several.
    #[arg(long, value_name = "FILE")]
    pub(crate) retired_root_key: Vec<PathBuf>,
    /// Where to write the document.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// A line for the person at the terminal. One who closed the pipe wants no more of them.
pub(crate) fn say(line: &str) {
    _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line beside the answers.
pub(crate) fn note(line: &str) {
    _ = writeln!(std::io::stderr().lock(), "flagforge: {line}");
}

/// The error and its causes, each once.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    _ = writeln!(stderr, "flagforge: {error}");
    for cause in error.chain().skip(1) {
        _ = writeln!(stderr, "  because {cause}");
    }
}

/// What a shell needs to complete commands, on the standard output.
pub(crate) fn complete(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "flagforge", &mut script);
    _ = std::io::stdout().lock().write_all(&script);
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }

    /// A command whose own argument has the name of one that all take would swallow that one.
    #[test]
    fn no_argument_hides_one_that_all_commands_take() {
        fn walk(command: &Command, above: &[String]) {
            let own = |global| {
                let arguments =
                    command.get_arguments().filter(move |a| a.is_global_set() == global);
                arguments.map(|argument| argument.get_id().to_string())
            };
            let hidden: Vec<String> = own(false).filter(|id| above.contains(id)).collect();
            assert!(hidden.is_empty(), "{}: {hidden:?}", command.get_name());
            let above: Vec<String> = above.iter().cloned().chain(own(true)).collect();
            command.get_subcommands().for_each(|below| walk(below, &above));
        }
        walk(&Args::command(), &[]);
    }
}
