//! Lists of ids: who is in a segment. They live in objects, content-addressed, in parts; a record holds the
//! parts' digests and the count, so an item stays small however long its list is.

use bytes::Bytes;
use flagforge_flags::compile::MAX_SEGMENT_IDS;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::Digest;
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::error::Error;
use crate::input::bounded;
use crate::ports::{Fetched, MAX_OBJECT_BYTES, PutIf};

/// Bytes of one id; an address of mail has at most 254.
pub const MAX_ID_BYTES: usize = 256;
/// Bytes of a body that carries a list: [`MAX_SEGMENT_IDS`] UUIDs of 36 bytes, each with two quotes, a comma and a line's
/// end, are 40 MB. A gateway before the platform may take less (AWS's takes 6 MB); the rest is then added in parts.
pub const MAX_LIST_BODY_BYTES: usize = 40 * 1024 * 1024;
/// Ids of one call that adds or removes some: 100,000 UUIDs are 4 MB, which every gateway takes.
pub const MAX_EDITED_IDS: usize = 100_000;
/// Bytes of one part: well under [`MAX_OBJECT_BYTES`], and a list of 40 MB has five.
const PART_BYTES: usize = MAX_OBJECT_BYTES / 2;

/// A list of ids, as a record carries it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdList {
    /// How many ids it has.
    pub(crate) ids: u64,
    /// The digests of its parts: lines of ids, sorted, each id once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Digest>,
}

/// How a body writes a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// A JSON array of strings, or one JSON string a line.
    Json,
    /// One id a line.
    Lines,
}

/// The ids of a body, sorted, each once.
pub(crate) fn parse(form: ListForm, body: &[u8], limit: usize) -> Result<Vec<String>, Error> {
    let text = std::str::from_utf8(body).map_err(|e| Error::invalid("the body", e))?;
    let ids = match form {
        ListForm::Json if text.trim_start().starts_with('[') => serde_json::from_str(text)
            .map_err(|e| Error::invalid("the body", format!("not an array of strings: {e}")))?,
        ListForm::Json => by_line(text, |line| {
            serde_json::from_str(line).map_err(|e| format!("not a JSON string: {e}"))
        })?,
        ListForm::Lines => by_line(text, |line| Ok(line.to_owned()))?,
    };
    sorted(ids, limit)
}

fn by_line(
    text: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, Error> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            read(line).map_err(|why| Error::invalid(format!("line {number}"), why))
        })
        .collect()
}

/// Checks ids, sorts them and drops repeats.
pub(crate) fn sorted(mut ids: Vec<String>, limit: usize) -> Result<Vec<String>, Error> {
    for (place, id) in ids.iter().enumerate() {
        let field = || format!("ids[{place}]");
        if id.is_empty() {
            return Err(Error::invalid(field(), "an id has at least one character"));
        }
        if id.chars().any(char::is_control) {
            return Err(Error::invalid(field(), "an id has no control characters"));
        }
        if id.len() > MAX_ID_BYTES {
            bounded(&field(), "bytes", MAX_ID_BYTES, id.len())?;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    bounded("ids", "ids", limit, ids.len())?;
    Ok(ids)
}

/// `held` with `added` and without `removed`; all are sorted.
pub(crate) fn edited(mut held: Vec<String>, edit: &ListEdit, ids: Vec<String>) -> Vec<String> {
    match edit {
        ListEdit::Remove => held.retain(|id| ids.binary_search(id).is_err()),
        ListEdit::Add => {
            held.extend(ids);
            held.sort_unstable();
            held.dedup();
        }
    }
    held
}

/// What is done with ids to a list that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListEdit {
    Add,
    Remove,
}

/// Where the parts of lists are.
pub(crate) fn folder(org: &OrgKey) -> String {
    format!("{org}/lists/")
}

fn object(org: &OrgKey, digest: &Digest) -> String {
    format!("{}{digest}", folder(org))
}

impl Platform {
    /// Puts a sorted list where a record can name it. Nothing refers to it until a change does.
    pub(crate) async fn keep_list(&self, org: &OrgKey, ids: &[String]) -> Result<IdList, Error> {
        let mut list = IdList { ids: ids.len() as u64, parts: Vec::new() };
        let mut part = String::new();
        for id in ids {
            if part.len() + id.len() + 1 > PART_BYTES {
                list.parts.push(self.keep_part(org, std::mem::take(&mut part)).await?);
            }
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(id);
        }
        if !part.is_empty() {
            list.parts.push(self.keep_part(org, part).await?);
        }
        Ok(list)
    }

    async fn keep_part(&self, org: &OrgKey, part: String) -> Result<Digest, Error> {
        let digest = Digest::of(part.as_bytes());
        let name = object(org, &digest);
        // Put again where it stands already, so that it is young and nobody collects it before a record names it.
        self.objects().put(&name, Bytes::from(part), "text/plain", PutIf::Any).await?;
        Ok(digest)
    }

    /// Reads a list. `None`: a part of it is gone from the store, which only a loss of data does.
    pub(crate) async fn read_list(
        &self,
        org: &OrgKey,
        list: &IdList,
    ) -> Result<Option<Vec<String>>, Error> {
        let count = usize::try_from(list.ids).unwrap_or(MAX_SEGMENT_IDS).min(MAX_SEGMENT_IDS);
        let mut ids = Vec::with_capacity(count);
        for digest in &list.parts {
            let Fetched::Found { bytes, .. } =
                self.objects().get(&object(org, digest), None).await?
            else {
                return Ok(None);
            };
            if Digest::of(&bytes) != *digest {
                return Ok(None);
            }
            let text = std::str::from_utf8(&bytes)
                .map_err(|error| Error::internal("a stored list is not UTF-8", error))?;
            ids.extend(text.lines().map(str::to_owned));
        }
        Ok(Some(ids))
    }

    /// As [`Platform::read_list`], where a lost part is an error.
    pub(crate) async fn whole_list(
        &self,
        org: &OrgKey,
        list: &IdList,
    ) -> Result<Vec<String>, Error> {
        let context = "a segment's list is not in the store";
        self.read_list(org, list).await?.ok_or(Error::Internal { context, source: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: ListForm, body: &str) -> Result<Vec<String>, String> {
        parse(form, body.as_bytes(), 3).map_err(|error| error.to_string())
    }

    #[test]
    fn three_forms_are_one_list() {
        let wanted = Ok(vec!["a".to_owned(), "b c".to_owned()]);
        assert_eq!(read(ListForm::Json, r#" ["b c", "a", "a"]"#), wanted);
        assert_eq!(read(ListForm::Json, "\"b c\"\n\n\"a\"\r\n"), wanted);
        assert_eq!(read(ListForm::Lines, "b c\r\na\n\na"), wanted);
        assert_eq!(read(ListForm::Lines, ""), Ok(Vec::new()));
    }

    #[test]
    fn a_bad_line_is_named_and_so_is_the_limit() {
        assert!(read(ListForm::Json, "\"a\"\nb").unwrap_err().starts_with("line 2: "));
        assert!(read(ListForm::Json, "[1]").unwrap_err().starts_with("the body: "));
        assert!(read(ListForm::Json, r#"["a", ""]"#).unwrap_err().starts_with("ids[1]: "));
        assert!(read(ListForm::Json, r#"["a\nb"]"#).unwrap_err().starts_with("ids[0]: "));
        assert!(read(ListForm::Lines, "a\nb\nc").is_ok());
        let over = read(ListForm::Lines, "a\nb\nc\nd").unwrap_err();
        assert_eq!(over, "ids: the limit is 3 ids, this would be 4");
        let longest = "x".repeat(MAX_ID_BYTES);
        assert!(read(ListForm::Lines, &longest).is_ok());
        assert!(read(ListForm::Lines, &format!("{longest}x")).unwrap_err().contains("256 bytes"));
    }

    #[test]
    fn ids_come_and_go() {
        let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(edited(of(&["b"]), &ListEdit::Add, of(&["a", "b"])), of(&["a", "b"]));
        assert_eq!(edited(of(&["a", "b"]), &ListEdit::Remove, of(&["b", "c"])), of(&["a"]));
    }
}
