//! What names people in the log, kept so that it can be erased and the chain still holds.
//!
//! A person is named by an id, and whom it stands for is noted beside the log ([`people`]). Reasons go entry by entry
//! ([`reasons`]).
//! An entry has a seal in place of such a text: its digest with a salt. The texts and the salt stand beside the log, one
//! record for each actor, and readers of the log get the text in place of the seal. Erasing removes that record: then a
//! seal says nothing, and nobody can try names against it. The chain runs over the seals and never changes.

mod people;
mod reasons;

use std::collections::{BTreeMap, HashMap};

use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::error::Error;
use crate::fresh;
use crate::log::{Image, LogEntry};
use crate::place::{self, LogId};
use crate::plan::Plan;
use crate::ports::Table;
use crate::store::{self, Stored};

pub(crate) use people::{Found, IdOf, Identity};
pub(crate) use reasons::{each_in_entry, each_in_record, seal_reasons};

/// What readers get where a text was erased.
pub const ERASED: &str = "erased";
/// What a seal begins with.
pub(crate) const SEAL: &str = "seal:";
/// The fields of records that name people, by the kind of record. `<kind>#<id>` is the place of the actor of that id.
pub(crate) const NAMING: [(&str, &[&str]); 1] = [("KEY", &["name"])];

/// The texts that name one actor, by their seals.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Texts {
    salt: String,
    texts: BTreeMap<String, String>,
}

impl Texts {
    fn new() -> Result<Self, Error> {
        Ok(Self { salt: fresh::secret()?, texts: BTreeMap::new() })
    }

    /// The seal of a text. The same text has the same seal, so that a diff shows what did not change.
    fn seal(&mut self, text: &str) -> String {
        let seal = format!("{SEAL}{}", Digest::of(format!("{}\n{text}", self.salt).as_bytes()));
        self.texts.entry(seal.clone()).or_insert_with(|| text.to_owned());
        seal
    }
}

/// The fields of an image's record that name somebody.
fn naming(sk: &str) -> &'static [&'static str] {
    let kind = sk.split('#').next().unwrap_or_default();
    NAMING.iter().find(|(naming, _)| *naming == kind).map_or(&[], |(_, fields)| fields)
}

/// The texts of an image that name somebody, to be replaced.
fn texts_of(image: &mut Image) -> impl Iterator<Item = &mut String> {
    let fields = naming(&image.sk);
    let body = image.body.as_mut().and_then(Json::as_object_mut);
    let found = body.into_iter().flat_map(|body| body.iter_mut());
    found.filter(|(name, _)| fields.contains(&name.as_str())).filter_map(|(_, value)| match value {
        Json::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// Puts seals into the images of a plan, and the texts beside the log in the same transaction.
pub(crate) async fn seal(table: &dyn Table, org: &OrgKey, plan: &mut Plan) -> Result<(), Error> {
    let mut kept: BTreeMap<String, (u64, Texts)> = BTreeMap::new();
    for image in &mut plan.images {
        let sk = image.sk.clone();
        for text in texts_of(image).filter(|text| text.as_str() != ERASED) {
            if !kept.contains_key(&sk) {
                let stands: Option<Stored<Texts>> =
                    store::read(table, &place::texts(org, &sk)).await?;
                let fresh = match stands {
                    Some(stands) => (stands.version, stands.value),
                    None => (store::ABSENT, Texts::new()?),
                };
                kept.insert(sk.clone(), fresh);
            }
            if let Some((_, texts)) = kept.get_mut(&sk) {
                *text = texts.seal(text);
            }
        }
    }
    for (sk, (version, texts)) in kept {
        plan.put_beside(place::texts(org, &sk), version, &texts)?;
    }
    Ok(())
}

impl Platform {
    /// Puts texts in place of the seals of entries, for readers.
    pub(crate) async fn unseal(
        &self,
        log: &LogId,
        mut entries: Vec<&mut LogEntry>,
    ) -> Result<(), Error> {
        let org = &log.org;
        self.name_in_entries(org, &mut entries).await?;
        self.unseal_reasons(log, &mut entries).await?;
        let mut known: HashMap<String, Option<Texts>> = HashMap::new();
        for image in entries.into_iter().flat_map(|entry| &mut entry.images) {
            let sk = image.sk.clone();
            for text in texts_of(image).filter(|text| text.starts_with(SEAL)) {
                if !known.contains_key(&sk) {
                    let stands: Option<Stored<Texts>> =
                        store::read(self.table(), &place::texts(org, &sk)).await?;
                    known.insert(sk.clone(), stands.map(|stands| stands.value));
                }
                let texts = known.get(&sk).and_then(Option::as_ref);
                let found = texts.and_then(|texts| texts.texts.get(text));
                *text = found.map_or(ERASED, String::as_str).to_owned();
            }
        }
        Ok(())
    }

    /// Refuses who may not erase, before it is looked whom.
    pub(crate) fn may_erase(caller: &Caller, org: &OrgKey) -> Result<(), Error> {
        caller.can_everywhere(org, Permission::Purge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(sk: &str, body: Json) -> Image {
        Image { pk: "demo#".to_owned(), sk: sk.to_owned(), body: Some(body), over: 0 }
    }

    #[test]
    fn only_what_names_somebody_is_sealed() {
        let mut key = image("KEY#demo.a", json!({"name": "Ann's laptop", "role": "admin"}));
        assert_eq!(texts_of(&mut key).collect::<Vec<_>>(), ["Ann's laptop"]);
        let mut nameless = image("KEY#demo.a", json!({"name": ""}));
        assert_eq!(texts_of(&mut nameless).count(), 0);
        let mut tenant = image("TENANT#acme", json!({"name": "Acme"}));
        assert_eq!(texts_of(&mut tenant).count(), 0);
    }

    #[test]
    fn a_seal_is_of_its_text_and_salt() {
        let texts = |salt: &str| Texts { salt: salt.to_owned(), texts: BTreeMap::new() };
        let (mut one, mut other) = (texts("a"), texts("b"));
        let seal = one.seal("Ann");
        assert_eq!(one.seal("Ann"), seal);
        assert_ne!(one.seal("Bob"), seal);
        assert_ne!(other.seal("Ann"), seal);
        assert_eq!(one.texts.len(), 2);
    }
}
