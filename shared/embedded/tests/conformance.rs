//! The ports' own suite, over every hand of this crate.

#[cfg(test)]
#[macro_use]
#[path = "../../../tests/conformance/mod.rs"]
mod conformance;

#[cfg(test)]
mod hands {
    use std::sync::Arc;

    use flagforge_embedded::{
        EmbeddedTable, FaultPlan, FaultTable, FolderObjects, LocalBus, LocalSigner, MemoryObjects,
    };
    use flagforge_platform::ports::{Bus, Objects, Signer, Table, Timer};
    use tempfile::TempDir;

    pub(super) async fn file_table() -> (Arc<dyn Table>, TempDir) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("table.redb");
        (
            Arc::new(
                EmbeddedTable::open(&path, Arc::new(flagforge_platform::ports::SystemTimer))
                    .unwrap(),
            ),
            folder,
        )
    }

    pub(super) async fn memory_table() -> (Arc<dyn Table>, ()) {
        (
            Arc::new(
                EmbeddedTable::memory(Arc::new(flagforge_platform::ports::SystemTimer)).unwrap(),
            ),
            (),
        )
    }

    /// With nothing planned, a table over a table is that table.
    pub(super) async fn calm_fault_table() -> (Arc<dyn Table>, ()) {
        let (inner, ()) = memory_table().await;
        let timer = Arc::new(flagforge_platform::ports::SystemTimer);
        (Arc::new(FaultTable::new(inner, timer, 1, FaultPlan::default())), ())
    }

    pub(super) async fn folder_objects() -> (Arc<dyn Objects>, TempDir) {
        let folder = TempDir::new().unwrap();
        (Arc::new(FolderObjects::open(&folder.path().join("objects")).unwrap()), folder)
    }

    pub(super) async fn memory_objects() -> (Arc<dyn Objects>, ()) {
        let timer = Arc::new(flagforge_platform::ports::SystemTimer);
        (Arc::new(MemoryObjects::new(timer)), ())
    }

    pub(super) async fn file_signer() -> (Arc<dyn Signer>, TempDir) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("keys").join("online.pem");
        (Arc::new(LocalSigner::open(&path).unwrap()), folder)
    }

    pub(super) async fn bus() -> (Arc<dyn Bus>, ()) {
        (Arc::new(LocalBus::new()), ())
    }

    pub(super) async fn timer() -> (Arc<dyn Timer>, ()) {
        (Arc::new(flagforge_platform::ports::SystemTimer), ())
    }
}

table_conformance!(file_table, crate::hands::file_table);
table_conformance!(memory_table, crate::hands::memory_table);
table_conformance!(fault_table_without_faults, crate::hands::calm_fault_table);
objects_conformance!(folder_objects, crate::hands::folder_objects);
objects_conformance!(memory_objects, crate::hands::memory_objects);
signer_conformance!(file_signer, crate::hands::file_signer);
bus_conformance!(local_bus, crate::hands::bus);
timer_conformance!(system_timer, crate::hands::timer);
