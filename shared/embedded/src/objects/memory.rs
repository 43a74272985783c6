//! Objects in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, MAX_LISTED_OBJECTS, ObjectError, Objects, PutIf, Timer,
};

use super::{allows, check_size, fetched, name, tag_of, unavailable};

/// Objects that live as long as this value.
#[derive(Debug)]
pub struct MemoryObjects {
    /// What was put, and when.
    objects: Mutex<BTreeMap<String, (Bytes, Timestamp)>>,
    timer: Arc<dyn Timer>,
}

impl MemoryObjects {
    /// Objects whose puts this timer dates.
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self { objects: Mutex::default(), timer }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (Bytes, Timestamp)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        name::check(name).map_err(unavailable)?;
        let standing = self.objects().get(name).cloned();
        Ok(standing.map_or(Fetched::Absent, |(bytes, _)| fetched(bytes, held)))
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        _content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        name::check(name).map_err(unavailable)?;
        check_size(name, bytes.len())?;
        let mut objects = self.objects();
        let standing = objects.get(name).map(|(bytes, _)| tag_of(bytes));
        allows(&condition, standing.as_ref())?;
        let etag = tag_of(&bytes);
        objects.insert(name.to_owned(), (bytes, self.timer.now()));
        Ok(etag)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        let objects = self.objects();
        let after = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let listed = objects
            .range::<str, _>((after, Bound::Unbounded))
            .skip_while(|(name, _)| name.as_str() < prefix)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, (_, put))| ListedObject { name: name.clone(), put: *put });
        Ok(listed.take(MAX_LISTED_OBJECTS).collect())
    }

    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        name::check(name).map_err(unavailable)?;
        let mut objects = self.objects();
        let is_old = objects.get(name).is_some_and(|(_, put)| *put < before);
        if is_old {
            objects.remove(name);
        }
        Ok(is_old)
    }
}
