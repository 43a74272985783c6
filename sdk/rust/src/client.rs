//! The client: follows one environment's manifest and hands out tenants.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::keys::{KeyError, TenantKey};
use flagforge_flags::manifest::{HeldFlag, ScopeId, Thumbprint};
use flagforge_flags::{Revision, Snapshot};

use crate::clock;
use crate::connect::{Connect, ConnectError, Described};
use crate::connection::Connection;
use crate::load_tenant::LoadTenant;
use crate::loader::Manifest;
use crate::origin::{self, Origin};
use crate::shared::{Inner, Shared};
use crate::tenant::{Tenant, Untenanted};
use crate::tenant_id::{Elsewhere, TenantId};
use crate::waiting::{Close, Refresh, WaitFor};

/// What answers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A verified manifest that the origin confirmed when it was last asked.
    Ready,
    /// A verified manifest that could not be confirmed: the origin does not answer, or answers with what is
    /// refused, or the manifest should have been signed again by now. [`Client::age`] says how old it is.
    LastKnownGood,
    /// No manifest: every flag answers its caller's default.
    Defaults,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::LastKnownGood => "last known good",
            Self::Defaults => "defaults",
        })
    }
}

/// A client of one environment. Cheap to clone; the clones share one manifest, and the last of them, or of their tenants and
/// subscriptions, ends the following of it.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

impl Client {
    /// Describes a client by its connection string; `.await` starts it.
    ///
    /// The start waits for the origin as long as [`Connect::start_within`] says, then goes on with what it
    /// has: see [`Client::status`]. It fails for bad configuration only. It wants a tokio runtime,
    /// on which the following goes on in the background.
    pub fn connect(connection: &str) -> Connect {
        let described = Connection::parse(connection).map_err(ConnectError::from);
        let described = described.and_then(|connection| {
            let scope = connection.scope()?;
            let roots = connection.roots().to_vec();
            let described = Described::new(origin::open(&connection)?, scope, roots);
            Ok(described.pushed(&connection)?)
        });
        Connect::new(described)
    }

    /// The same over an origin of one's own.
    pub fn over(origin: Arc<dyn Origin>, scope: ScopeId, roots: Vec<Thumbprint>) -> Connect {
        Connect::new(Ok(Described::new(origin, scope, roots)))
    }

    /// A client that answers from one snapshot for ever: for tests and tools. It needs no runtime.
    pub fn fixed(snapshot: Snapshot) -> Self {
        let shared = Shared::fixed(Manifest::fixed(snapshot), None);
        Self { inner: Arc::new(Inner::new(Arc::new(shared), Vec::new())) }
    }

    /// A tenant to ask flags for. Owned, `Clone` and `Send`: jobs carry it, messages carry its id. A tenant
    /// that the directory does not know evaluates too, and its details say so.
    pub fn tenant(&self, key: impl AsRef<str>) -> Result<Tenant, KeyError> {
        Ok(self.tenant_with(TenantKey::new(key.as_ref())?))
    }

    /// A tenant, once what the directory says of it is loaded, for clients that hold a part of it
    /// ([`Connect::directory`]): before that it answers defaults, with an error. One that is loaded costs a look. Ask so at the
    /// start of each request or job, since a tenant that is not asked for is let go after a while. `.await` waits up to 5 s,
    /// `.within(…)` as long as it says. Other clients hold every tenant, and wait for nothing but their manifest.
    pub fn load_tenant(&self, key: impl AsRef<str>) -> LoadTenant<'_> {
        LoadTenant { client: self, key: TenantKey::new(key.as_ref()) }
    }

    pub(crate) fn tenant_with(&self, key: TenantKey) -> Tenant {
        Tenant::new(Arc::clone(&self.inner), key)
    }

    /// The tenant that a job or a message was sent for. An id of another organization or environment is an error:
    /// its tenant is not this client's, even under the same key.
    pub fn tenant_of(&self, id: &TenantId) -> Result<Tenant, Elsewhere> {
        Ok(self.tenant_with(id.within(self.scope())?))
    }

    /// For flags of start-up and infrastructure, which no tenant asks for; `why` is for whoever reads
    /// the code or the log. A flag that reads the tenant answers its caller's default and an error.
    pub fn untenanted(&self, why: &'static str) -> Untenanted {
        Untenanted::new(Arc::clone(&self.inner), why)
    }

    /// What answers are made of, now.
    pub fn status(&self) -> Status {
        self.inner.shared.status()
    }

    /// The time since the origin last confirmed the manifest; `None` without one.
    pub fn age(&self) -> Option<Duration> {
        let current = self.inner.shared.current.load();
        current.is_there().then(|| clock::now().since(current.confirmed()))
    }

    /// The manifest's revision; `None` without one.
    pub fn revision(&self) -> Option<Revision> {
        let current = self.inner.shared.current.load();
        current.is_there().then(|| current.snapshot().revision())
    }

    /// The flags that go on in an earlier form, because as they are they could not be published, each with the revision at
    /// which that was seen first. A kill of one passes all the same. A manifest names [`MAX_HELD`] of them at most.
    ///
    /// [`MAX_HELD`]: flagforge_flags::manifest::MAX_HELD
    pub fn held(&self) -> Vec<HeldFlag> {
        self.inner.shared.current.load().held().to_vec()
    }

    /// What went wrong when the origin was last asked, causes included; `None` when nothing did.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.inner.shared.trouble()
    }

    /// The environment that the client follows.
    pub fn scope(&self) -> &ScopeId {
        &self.inner.shared.scope
    }

    /// For functions whose timers stand still between calls: asks the origin when the manifest is older
    /// than `age`. Calls at the same time share one refresh. `.within(…)` bounds the wait.
    pub const fn refresh_if_older(&self, age: Duration) -> Refresh<'_> {
        Refresh { client: self, age }
    }

    /// For whoever has just made a change, or heard of one: waits until answers are of a manifest that includes
    /// the revision. The origin is asked once, at once; after that its announcements and the polls bring it.
    /// `.within(…)` bounds the wait.
    pub const fn wait_for(&self, revision: Revision) -> WaitFor<'_> {
        WaitFor { client: self, revision }
    }

    /// Ends the following, of all clones, and waits for what is on its way to the disk. Tenants go on answering
    /// from the manifest that is held, which ages. `.await` waits up to 5 s, `.within(…)` as long as it says.
    pub const fn close(&self) -> Close<'_> {
        Close { client: self }
    }
}
