//! The composition of a platform on AWS.

use std::sync::Arc;

use flagforge_platform::Platform;
use flagforge_platform::ports::{Objects, OneTable, Signer, SystemTimer, Tables};

use crate::sessions::DynamoTables;
use crate::settings::{Settings, Variable};
use crate::unset::Unset;
use crate::{Connection, KmsSigner, S3Objects, SnsBus, SnsEvents};

/// A platform on the hands that the settings name. Nothing is sent yet; a hand without a setting fails when it is used,
/// and says which variable it misses.
pub fn hands(settings: &Settings) -> Platform {
    let connection = Connection::new(settings);
    let timer = Arc::new(SystemTimer);
    let tables = tables(&connection, settings);
    let objects: Arc<dyn Objects> = match &settings.bucket {
        Some(name) => Arc::new(S3Objects::new(&connection, name)),
        None => Arc::new(Unset(Variable::Bucket)),
    };
    let signer: Arc<dyn Signer> = match &settings.key {
        Some(id) => Arc::new(KmsSigner::new(&connection, id)),
        None => Arc::new(Unset(Variable::Key)),
    };
    let bus = Arc::new(SnsBus::new(&connection, settings.topics.clone()));
    Platform::new(tables, objects, signer, bus, timer, settings.operator.clone())
}

/// The table that the settings name, alone. Nothing is sent yet.
pub fn tables(connection: &Connection, settings: &Settings) -> Arc<dyn Tables> {
    match &settings.table {
        Some(name) => {
            let role = settings.org_role.as_ref();
            Arc::new(DynamoTables::new(connection, name, role, Arc::new(SystemTimer)))
        }
        None => Arc::new(OneTable(Arc::new(Unset(Variable::Table)))),
    }
}

/// The topic that tells those outside what changed, if the settings name one. Nothing is sent yet.
pub fn event_sink(settings: &Settings) -> Option<SnsEvents> {
    let topic = settings.events_topic.as_ref()?;
    Some(SnsEvents::new(&Connection::new(settings), topic))
}
