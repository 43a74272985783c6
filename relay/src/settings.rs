//! What a relay that runs by itself is told at its start, by options or by the environment: the same for the program
//! `flagforge-relay` and the command `flagforge relay`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use flagforge::Connection;
use flagforge::connection::Source;
use flagforge::propagation::{ControlPlane, Reporter};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::{AccessKey, KeyKind};

use crate::config::{Config, PER_SECOND_OF_A_KEY, PER_SECOND_OF_A_TENANT, Ring};
use crate::relay::Relay;
use crate::server::Lock;
use crate::tuning::MAX_PER_SECOND;

/// What a relay is told at its start.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In front of an installation, with a key of kind `relay`:
  flagforge key create --kind relay --name edge --only-env prod --out relay.key
  export FLAGFORGE_CONNECTION=\"flagforge+http://$(cat relay.key)@127.0.0.1:8080/demo/prod?roots=<thumbprint>\"
  flagforge relay --cache-dir ./relay-cache
The connection string that `flagforge serve` prints has the thumbprint. Ask it as OpenFeature's clients do, with a server's key:
  curl -H \"Authorization: Bearer $KEY\" -H 'FlagForge-Tenant: acme' -d '{\"context\": {\"targetingKey\": \"u-2\"}}' \\
      http://127.0.0.1:8081/ofrep/v1/evaluate/flags
Without any installation, from its folder or a mirror of it:
  flagforge relay 'flagforge+file:///backup/objects?org=demo&env=prod&roots=<thumbprint>'
On SIGTERM and Ctrl-C it drains: streams end, what is under way has 25 seconds, nothing new is taken.")]
pub struct Settings {
    /// Where manifests come from, and which root keys are believed. With `ring=canary` changes that are tried out count
    /// here. It may hold a key: the environment variable keeps it out of the list of processes.
    #[arg(env = "FLAGFORGE_CONNECTION", hide_env_values = true)]
    pub connection: String,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "FLAGFORGE_LISTEN",
        default_value = "127.0.0.1:8081"
    )]
    pub listen: String,
    /// An address for /healthz, /readyz and /metrics. It names organizations: nobody else should reach it.
    #[arg(long, value_name = "ADDRESS:PORT", env = "FLAGFORGE_OPERATION_LISTEN")]
    pub operation_listen: Option<String>,
    /// The key that /debug/pprof/profile asks for, at that address: where the relay's processor time goes, for up to a minute. Needs
    /// the feature `profile`.
    #[arg(
        long,
        value_name = "KEY",
        env = "FLAGFORGE_PROFILE_KEY",
        hide_env_values = true,
        requires = "operation_listen"
    )]
    pub profile_key: Option<String>,
    /// Keeps last good manifests, so that it starts without its origin.
    #[arg(long, value_name = "DIR", env = "FLAGFORGE_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Environments to load at once, besides the connection's own: demo/prod,demo/dev. Until it has them all it does not
    /// call itself ready. Others are loaded when they are asked for.
    #[arg(long, value_name = "ORG/ENV,…", env = "FLAGFORGE_BEGIN_WITH", value_parser = places)]
    pub begin_with: Option<Places>,
    /// What one key may ask a second, sustained; five seconds' worth may come at once.
    #[arg(long, value_name = "N", env = "FLAGFORGE_REQUESTS_PER_SECOND_OF_A_KEY")]
    #[arg(default_value_t = PER_SECOND_OF_A_KEY, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PER_SECOND)))]
    pub requests_per_second_of_a_key: u32,
    /// What may be asked a second on behalf of one tenant, whichever keys ask.
    #[arg(long, value_name = "N", env = "FLAGFORGE_REQUESTS_PER_SECOND_OF_A_TENANT")]
    #[arg(default_value_t = PER_SECOND_OF_A_TENANT, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PER_SECOND)))]
    pub requests_per_second_of_a_tenant: u32,
    /// The management API that is told how far this relay and the SDKs behind it are. Default: the origin, where that is
    /// another relay.
    #[arg(long, value_name = "URL", env = "FLAGFORGE_CONTROL_PLANE")]
    pub control_plane: Option<String>,
    /// The key for it. Default: the connection's.
    #[arg(
        long,
        value_name = "KEY",
        env = "FLAGFORGE_CONTROL_PLANE_KEY",
        hide_env_values = true,
        requires = "control_plane"
    )]
    pub control_plane_key: Option<String>,
    /// The certificate to show, with its chain (PEM). Replaced files are read again. Needs the feature `https`.
    #[arg(long, value_name = "FILE", env = "FLAGFORGE_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, value_name = "FILE", env = "FLAGFORGE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// A topic of SNS that is believed when it announces roots at /notify/sns, by its ARN; several with commas between. Needs the
    /// feature `sns`.
    #[arg(long = "sns-topic", value_name = "ARN,…", env = "FLAGFORGE_SNS_TOPICS")]
    pub sns_topics: Option<String>,
    /// A queue of SQS that is subscribed to the topic of published roots, by its URL, with the credentials of the environment. It is
    /// this relay's alone: a message rings at one reader. Needs the feature `sqs`.
    #[arg(long, value_name = "URL", env = "FLAGFORGE_SQS_QUEUE")]
    pub sqs_queue: Option<String>,
    /// A file in JSON of what may change while it runs, read again when it is replaced and on SIGHUP: rates, limits, the
    /// poll interval, environments, this filter of logs. What is in force is told at /configuration of the other address.
    #[arg(long, value_name = "FILE", env = "FLAGFORGE_RELAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// What is logged: `warn`, `info`, `debug`, or by part, as in `info,flagforge_relay=debug`.
    #[arg(long, value_name = "FILTER", env = "FLAGFORGE_LOG", default_value = "info")]
    pub log: String,
}

/// Environments by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(pub Vec<(OrgKey, EnvKey)>);

/// Reads `demo/prod,demo/dev`.
fn places(text: &str) -> Result<Places, String> {
    let named = text.split(',').map(str::trim).filter(|place| !place.is_empty());
    named.map(place).collect::<Result<Vec<_>, _>>().map(Places)
}

pub(crate) fn place(text: &str) -> Result<(OrgKey, EnvKey), String> {
    let (org, env) = text
        .split_once('/')
        .ok_or_else(|| format!("`{text}` is not <organization>/<environment>"))?;
    let org = OrgKey::new(org).map_err(|error| format!("`{text}`: {error}"))?;
    let env = EnvKey::new(env).map_err(|error| format!("`{text}`: {error}"))?;
    Ok((org, env))
}

impl Settings {
    /// Where manifests come from, refused where this program cannot read from there.
    pub(crate) fn connection(&self) -> anyhow::Result<Connection> {
        let connection = Connection::parse(&self.connection).context("FLAGFORGE_CONNECTION")?;
        let base = match connection.source() {
            Source::Http { key, base, .. } => {
                let kind = key.kind();
                anyhow::ensure!(
                    kind == KeyKind::Relay,
                    "FLAGFORGE_CONNECTION: a relay needs a key of kind `relay` (flagforge key create --kind relay); \
                     this is one of kind `{kind}`"
                );
                base.as_str()
            }
            Source::S3 { endpoint, .. } => endpoint.as_deref().unwrap_or("https://"),
            Source::Folder(_) => "",
        };
        speaks_with(base, "FLAGFORGE_CONNECTION")?;
        Ok(connection)
    }

    /// What the relay itself is told.
    pub(crate) fn config(&self, connection: &Connection) -> anyhow::Result<Config> {
        let mut config = Config::new(connection.roots().to_vec());
        config.ring = if connection.is_canary() { Ring::Canary } else { Ring::All };
        config.cache_dir.clone_from(&self.cache_dir);
        config.requests_per_second_of_a_key = self.requests_per_second_of_a_key;
        config.requests_per_second_of_a_tenant = self.requests_per_second_of_a_tenant;
        config.reports_to = self.control_plane(connection)?;
        config.begin_with = self.begin_with(connection);
        if let Some(topics) = &self.sns_topics {
            believe(&mut config, topics)?;
        }
        Ok(config)
    }

    /// The environments that are loaded at once: the connection's own, and those that are named.
    fn begin_with(&self, connection: &Connection) -> Vec<(OrgKey, EnvKey)> {
        let own = connection.environment().ok().map(|(org, env)| (org.clone(), env.clone()));
        let named = self.begin_with.iter().flat_map(|places| places.0.iter().cloned());
        let mut all: Vec<(OrgKey, EnvKey)> = own.into_iter().chain(named).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Who is told how far SDKs are, besides the origin.
    fn control_plane(&self, connection: &Connection) -> anyhow::Result<Option<Arc<dyn Reporter>>> {
        let Some(base) = &self.control_plane else { return Ok(None) };
        speaks_with(base, "FLAGFORGE_CONTROL_PLANE")?;
        let key = match (&self.control_plane_key, connection.source()) {
            (Some(key), _) => AccessKey::parse(key).context("FLAGFORGE_CONTROL_PLANE_KEY")?,
            (None, Source::Http { key, .. }) => key.clone(),
            (None, _) => anyhow::bail!("FLAGFORGE_CONTROL_PLANE_KEY is not set"),
        };
        Ok(Some(Arc::new(ControlPlane::new(base, &key)?)))
    }

    /// Has a queue ring at the relay, where one is named.
    pub(crate) fn listen(&self, relay: &Arc<Relay>) -> anyhow::Result<()> {
        self.sqs_queue.as_deref().map_or(Ok(()), |url| listen(url, relay))
    }

    /// What whoever runs the relay asks of it besides, where they have a key for it.
    pub(crate) fn profiling(&self) -> anyhow::Result<axum::Router> {
        self.profile_key.as_deref().map_or_else(|| Ok(axum::Router::new()), profiling)
    }

    /// The certificate to show, where one is named.
    pub(crate) fn lock(&self) -> anyhow::Result<Lock> {
        match (&self.tls_certificate, &self.tls_key) {
            (None, None) => Ok(Lock::default()),
            (Some(certificate), Some(key)) => lock(certificate, key),
            _ => anyhow::bail!("FLAGFORGE_TLS_CERTIFICATE and FLAGFORGE_TLS_KEY go together"),
        }
    }
}

#[cfg(feature = "sqs")]
fn listen(url: &str, relay: &Arc<Relay>) -> anyhow::Result<()> {
    const NAME: &str = "FLAGFORGE_SQS_QUEUE";
    speaks_with(url, NAME)?;
    let (queue, relay) =
        (flagforge::origin::SqsQueue::from_env(url).context(NAME)?, Arc::clone(relay));
    tokio::spawn(async move { relay.listen_to(&queue).await });
    Ok(())
}

#[cfg(not(feature = "sqs"))]
fn listen(_: &str, _: &Arc<Relay>) -> anyhow::Result<()> {
    anyhow::bail!("FLAGFORGE_SQS_QUEUE: this program is built without the feature `sqs`")
}

#[cfg(feature = "profile")]
fn profiling(key: &str) -> anyhow::Result<axum::Router> {
    crate::profile::profiling(key)
}

#[cfg(not(feature = "profile"))]
fn profiling(_: &str) -> anyhow::Result<axum::Router> {
    anyhow::bail!("FLAGFORGE_PROFILE_KEY: this program is built without the feature `profile`")
}

#[cfg(feature = "https")]
fn lock(certificate: &std::path::Path, key: &std::path::Path) -> anyhow::Result<Lock> {
    let tls = crate::tls::Tls::read(certificate, key)?;
    tokio::spawn(Arc::clone(&tls).follow());
    Ok(Lock::of(tls))
}

#[cfg(not(feature = "https"))]
fn lock(_: &std::path::Path, _: &std::path::Path) -> anyhow::Result<Lock> {
    anyhow::bail!("FLAGFORGE_TLS_CERTIFICATE: this program is built without the feature `https`")
}

#[cfg(feature = "sns")]
fn believe(config: &mut Config, topics: &str) -> anyhow::Result<()> {
    let topics = topics.split(',').map(str::trim).filter(|topic| !topic.is_empty());
    let topics = topics.map(str::parse).collect::<Result<Vec<_>, _>>();
    let topics = topics.context("FLAGFORGE_SNS_TOPICS")?;
    config.sns = Some(crate::sns::Sns::new(topics, Arc::new(crate::sns::OverHttps::new()?)));
    Ok(())
}

#[cfg(not(feature = "sns"))]
fn believe(_: &mut Config, _: &str) -> anyhow::Result<()> {
    anyhow::bail!("FLAGFORGE_SNS_TOPICS: this program is built without the feature `sns`")
}

/// Refuses at the start what would fail at every request.
fn speaks_with(base: &str, name: &str) -> anyhow::Result<()> {
    let refused = base.starts_with("https://") && !cfg!(feature = "https");
    anyhow::ensure!(
        !refused,
        "{name} is an address with https, and this program is built without the feature `https`"
    );
    Ok(())
}
