//! Who is connected, in a table of their own: by environment, for whoever has something to tell, and by the connection's
//! id, because that is all that is known of one that ends.
//!
//! | partition | sort key | |
//! |---|---|---|
//! | `<org>#env#<env>` | `CONNECTION#<scope>#<id>` | one that is to be told |
//! | `<org>#env#<env>` | `TOLD#<scope>` | what those of the scope were told last |
//! | `<org>#env#<env>` | `FULL#<key>` | a key that has all the connections that one may have |
//! | `~#<id>` | `CONNECTION` | whose it is |

use std::sync::Arc;
use std::time::Duration;

use flagforge::origin::Announcement;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::ScopeId;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Condition, Item, ItemKey, PageToken, Query, Reach, Table, TableError, Tables, Write,
};
use flagforge_relay::Admitted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// API Gateway ends a connection after two hours; its item goes with it, should nobody have said that it ended.
const CONNECTION_LIVES: Duration = Duration::from_secs(2 * 3_600);
/// Four times as long as a root goes unsigned: what was told last is not forgotten while somebody listens.
const TOLD_LIVES: Duration = Duration::from_secs(24 * 3_600);
/// Until it is counted again, or for so long, a key that is full is let in no more.
const FULL_LIVES: Duration = Duration::from_secs(10 * 60);

const CONNECTION: &str = "CONNECTION";

/// The table of connections.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    tables: Arc<dyn Tables>,
}

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whose {
    pub(crate) scope: ScopeId,
    /// The id of the key that was shown; the key itself is kept nowhere.
    pub(crate) key: String,
    pub(crate) since: Timestamp,
    /// When the key ends, where it does.
    pub(crate) ends: Option<Timestamp>,
}

/// Somebody who is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connected {
    pub(crate) id: String,
    pub(crate) whose: Whose,
}

/// Some of those who are connected, and where the next begin.
pub(crate) type Page = (Vec<Connected>, Option<PageToken>);

impl Connections {
    pub(crate) fn new(tables: Arc<dyn Tables>) -> Self {
        Self { tables }
    }

    /// Keeps a connection. What its scope has by now is what was told, unless something was told before.
    pub(crate) async fn keep(
        &self,
        id: &str,
        Admitted { scope, key, ends, newest }: Admitted,
        now: Timestamp,
    ) -> Result<(), TableError> {
        if let Some(newest) = newest
            && self.told(&scope).await?.is_none()
        {
            match self.note_told(&scope, &newest, Condition::Absent, now).await {
                // Somebody else who connects notes it, or has.
                Ok(()) | Err(TableError::Conflict { .. } | TableError::Contended) => {}
                Err(error) => return Err(error),
            }
        }
        let whose = Whose { scope, key, since: now, ends };
        let put = |key| put(key, &whose, Condition::Any, now.plus(CONNECTION_LIVES));
        let listed = vec![put(listed(id, &whose.scope))?];
        self.within(&whose.scope.org).transact(listed, None).await?;
        self.tables.at_the_door().transact(vec![put(by_id(id))?], None).await
    }

    /// Whose a connection is; `None` where it is not known, or over.
    pub(crate) async fn find(&self, id: &str, now: Timestamp) -> Result<Option<Whose>, TableError> {
        let found = self.tables.at_the_door().get(&by_id(id)).await?;
        Ok(found.filter(|item| lives(item, now)).as_ref().and_then(read))
    }

    /// Forgets a connection.
    pub(crate) async fn forget(&self, id: &str, scope: &ScopeId) -> Result<(), TableError> {
        let delete = |key| vec![Write::Delete { key, condition: Condition::Any }];
        self.within(&scope.org).transact(delete(listed(id, scope)), None).await?;
        self.tables.at_the_door().transact(delete(by_id(id)), None).await
    }

    /// Some who are connected to an environment, those of a scope one after the other.
    pub(crate) async fn page(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        page: Option<PageToken>,
        now: Timestamp,
    ) -> Result<Page, TableError> {
        let all = Query::prefix(partition(org, env), &format!("{CONNECTION}#"));
        let page = self.within(org).query(&Query { page, ..all }).await?;
        let living = page.items.iter().filter(|item| lives(item, now));
        let connected = living.filter_map(|item| {
            let (_, id) = item.key.sk.rsplit_once('#')?;
            Some(Connected { id: id.to_owned(), whose: read(item)? })
        });
        Ok((connected.collect(), page.next))
    }

    /// What those of a scope were told last.
    pub(crate) async fn told(&self, scope: &ScopeId) -> Result<Option<Announcement>, TableError> {
        let found = self.within(&scope.org).get(&told(scope)).await?;
        Ok(found.as_ref().and_then(read))
    }

    /// Notes what they were told.
    pub(crate) async fn note_told(
        &self,
        scope: &ScopeId,
        announcement: &Announcement,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let write = put(told(scope), announcement, condition, now.plus(TOLD_LIVES))?;
        self.within(&scope.org).transact(vec![write], None).await
    }

    /// Whether a key has all the connections that one may have, as of when they were counted.
    pub(crate) async fn is_full(
        &self,
        scope: &ScopeId,
        key: &str,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        let found = self.within(&scope.org).get(&full(&scope.org, &scope.env, key)).await?;
        Ok(found.is_some_and(|item| lives(&item, now)))
    }

    /// Notes that it has.
    pub(crate) async fn note_full(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        key: &str,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let write = put(full(org, env, key), &key, Condition::Any, now.plus(FULL_LIVES))?;
        self.within(org).transact(vec![write], None).await
    }

    fn within(&self, org: &OrgKey) -> Arc<dyn Table> {
        self.tables.within(&Reach::Organization(org.clone()))
    }
}

fn partition(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}#env#{env}")
}

fn listed(id: &str, ScopeId { org, env, scope }: &ScopeId) -> ItemKey {
    ItemKey::new(partition(org, env), format!("{CONNECTION}#{scope}#{id}"))
}

fn told(ScopeId { org, env, scope }: &ScopeId) -> ItemKey {
    ItemKey::new(partition(org, env), format!("TOLD#{scope}"))
}

fn full(org: &OrgKey, env: &EnvKey, key: &str) -> ItemKey {
    ItemKey::new(partition(org, env), format!("FULL#{key}"))
}

/// `~` is in no organization's key.
fn by_id(id: &str) -> ItemKey {
    ItemKey::new(format!("~#{id}"), CONNECTION)
}

fn put(
    key: ItemKey,
    body: &impl Serialize,
    condition: Condition,
    expires: Timestamp,
) -> Result<Write, TableError> {
    let body =
        serde_json::to_string(body).map_err(|error| TableError::Unavailable(error.into()))?;
    let expires_at_seconds = Some(expires.as_seconds());
    Ok(Write::Put { item: Item { key, version: 1, body, expires_at_seconds }, condition })
}

/// DynamoDB takes its time to remove what is over.
fn lives(item: &Item, now: Timestamp) -> bool {
    item.expires_at_seconds.is_none_or(|seconds| now.as_seconds() < seconds)
}

/// An item of another form is nobody's: one that cannot be read spoils itself.
fn read<T: DeserializeOwned>(item: &Item) -> Option<T> {
    serde_json::from_str(&item.body).ok()
}
