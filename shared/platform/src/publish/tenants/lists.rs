//! Lists of segments as tenants may have them: read once, and kept while they stand.

use std::collections::{HashMap, HashSet};

use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::Digest;
use flagforge_flags::wire::DigestsWire;
use flagforge_flags::{FoldedList, digested_ids};

use super::super::view::View;
use crate::Platform;
use crate::error::Error;
use crate::record::SegmentRecord;
use crate::segments::ListName;

/// The entity of segments of tenants.
const TENANT: &str = "tenant";

/// A list, for every tenant.
#[derive(Debug)]
enum List {
    OfTenants(HashSet<String>),
    OfOthers(DigestsWire),
}

/// What makes a list the same: the salt, which list, whose keys, its content.
type ListKey = (String, &'static str, bool, Vec<Digest>);

/// All lists of an environment, and the segments and versions that they are of.
#[derive(Debug, Default)]
pub(in crate::publish) struct Lists {
    lists: HashMap<ListKey, List>,
    pub(super) made_of: Vec<(String, u64)>,
}

const NAMES: [(ListName, &str); 2] =
    [(ListName::Excluded, "excluded"), (ListName::Included, "included")];

fn key(segment: &SegmentRecord, (name, word): (ListName, &'static str)) -> ListKey {
    let parts = segment.list(name).parts.clone();
    (segment.salt.clone(), word, segment.entity == TENANT, parts)
}

impl Lists {
    /// Both lists of a segment (excluded, included) for one tenant; `None` where one of them is lost.
    pub(super) fn of(
        &self,
        segment: &SegmentRecord,
        tenant: &TenantKey,
    ) -> Option<[FoldedList; 2]> {
        let [excluded, included] = NAMES.map(|name| match self.lists.get(&key(segment, name))? {
            List::OfTenants(keys) => Some(FoldedList::OfTenants(keys.contains(tenant.as_str()))),
            List::OfOthers(digests) => Some(FoldedList::OfOthers(digests.clone())),
        });
        Some([excluded?, included?])
    }
}

impl Platform {
    /// Brings the lists up to date with the view's segments.
    pub(super) async fn read_lists(&self, view: &View, lists: &mut Lists) -> Result<(), Error> {
        let made_of: Vec<(String, u64)> =
            view.segments.iter().map(|(key, stored)| (key.clone(), stored.version)).collect();
        if lists.made_of == made_of {
            return Ok(());
        }
        let mut before = std::mem::take(&mut lists.lists);
        for segment in view.segments.values().map(|stored| &stored.value) {
            for name in NAMES {
                let key = key(segment, name);
                let list = match before.remove(&key) {
                    Some(list) => Some(list),
                    None => self.tenants_list(view, segment, name).await?,
                };
                lists.lists.extend(list.map(|list| (key, list)));
            }
        }
        lists.made_of = made_of;
        Ok(())
    }

    async fn tenants_list(
        &self,
        view: &View,
        segment: &SegmentRecord,
        (name, word): (ListName, &str),
    ) -> Result<Option<List>, Error> {
        let Some(ids) = self.read_list(&view.org, segment.list(name)).await? else {
            return Ok(None);
        };
        if segment.entity == TENANT {
            return Ok(Some(List::OfTenants(ids.into_iter().collect())));
        }
        // Nobody can tell from two lists' digests who is in both.
        let salt = format!("{}:{word}:tenant", segment.salt);
        Ok(Some(List::OfOthers(digested_ids(&salt, ids.iter().map(String::as_str)))))
    }
}
