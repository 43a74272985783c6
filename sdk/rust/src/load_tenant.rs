//! Loading what the directory says of one tenant, for clients that do not hold all of it.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::keys::{KeyError, TenantKey};
use thiserror::Error;
use tokio::time::timeout;

use crate::client::Client;
use crate::shared::Shared;
use crate::tenant::Tenant;

/// How long a load is waited for unless told otherwise.
const LOAD_WITHIN: Duration = Duration::from_secs(5);

/// Why a tenant is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadTenantError {
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Neither disk nor origin handed over the chunk that the tenant is in, or it is not what the root says.
    #[error("the tenant's chunk could not be loaded: {0}")]
    Unloadable(Arc<str>),
    /// The chunk alone is over what the client may hold.
    #[error("the tenant's chunk has {bytes} bytes; the client holds {limit} of the directory")]
    TooLarge {
        /// The chunk's bytes.
        bytes: u64,
        /// What [`Directory::OnDemand`](crate::Directory::OnDemand) allows.
        limit: u64,
    },
    /// [`MAX_WAITING`](crate::loader::MAX_WAITING) calls wait already.
    #[error("too many calls wait for tenants to be loaded")]
    Busy,
    /// The time is over. The load goes on, for those who come later.
    #[error("the tenant was not loaded in time")]
    Late,
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

/// A tenant to load; see [`Client::load_tenant`].
#[derive(Debug)]
#[must_use = "a tenant is loaded when this is awaited"]
pub struct LoadTenant<'c> {
    pub(crate) client: &'c Client,
    pub(crate) key: Result<TenantKey, KeyError>,
}

impl<'c> LoadTenant<'c> {
    /// Waits at most so long.
    pub async fn within(self, limit: Duration) -> Result<Tenant, LoadTenantError> {
        let key = self.key?;
        let shared = &self.client.inner.shared;
        // Most are loaded already, and a fixed client may be outside of the runtime that waiting needs.
        if !is_loaded(shared, &key) {
            let loaded = timeout(limit, load(shared, &key)).await;
            loaded.unwrap_or(Err(LoadTenantError::Late))?;
        }
        Ok(self.client.tenant_with(key))
    }
}

impl<'c> IntoFuture for LoadTenant<'c> {
    type Output = Result<Tenant, LoadTenantError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.within(LOAD_WITHIN))
    }
}

/// Whether what is held has the tenant's shard. Then the tenant counts as asked for now.
fn is_loaded(shared: &Shared, key: &TenantKey) -> bool {
    let manifest = shared.current.load();
    let loaded = manifest.is_there() && manifest.snapshot().has_loaded(key);
    // Names that strangers invent are not remembered.
    if let Some(directory) = &shared.directory
        && loaded
        && manifest.snapshot().tenant(key.as_str()).is_some()
    {
        directory.touch(key);
    }
    loaded
}

async fn load(shared: &Shared, key: &TenantKey) -> Result<(), LoadTenantError> {
    let mut progress = shared.progress.subscribe();
    let there = || shared.current.load().is_there();
    // An error says that the sender is gone, which is the client's.
    let _ = progress.wait_for(|progress| progress.ended || there()).await;
    if is_loaded(shared, key) {
        return Ok(());
    }
    let Some(directory) = &shared.directory else { return Err(LoadTenantError::Closed) };
    let answered = directory.ask(key.clone())?;
    tokio::select! {
        // The task that answers ends with the client.
        answered = answered => answered.unwrap_or(Err(LoadTenantError::Closed)),
        () = shared.ended() => Err(LoadTenantError::Closed),
    }
}
