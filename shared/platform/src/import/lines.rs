//! From a file's lines to tenants. Every bad line is named; reading never stops at one.

use flagforge_flags::keys::TenantKey;
use serde::Deserialize;
use serde_json::{Map, Number, Value as Json};

use super::csv;
use super::{BadLine, ImportFormat};
use crate::error::Error;
use crate::plan::tenants::check_tenant;
use crate::record::Tenant;
use crate::schema::{AttributeType, TenantSchema};
use crate::{fresh, strict};

/// Tenants of one import: as many as an organization is designed for (DESIGN §11).
pub const MAX_IMPORT_TENANTS: usize = 100_000;
/// Bytes of one line: attributes of 64 KiB, a name of 2 KiB, a key of 128 bytes, and their names.
pub const MAX_IMPORT_LINE_BYTES: usize = 68 * 1024;

/// A good line, ready to be applied.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) key: TenantKey,
    /// The tenant as JSON: 100,000 texts take a fifth of the memory of as many maps.
    pub(super) tenant: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) lines: u64,
    /// By key, each once.
    pub(super) good: Vec<Row>,
    /// By line.
    pub(super) bad: Vec<BadLine>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    key: TenantKey,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attributes: Map<String, Json>,
    #[serde(default)]
    synthetic: bool,
}

/// Reads and checks a whole file.
pub(super) fn read(format: ImportFormat, text: &str, schema: &TenantSchema) -> Result<Read, Error> {
    let mut read = Read::default();
    match format {
        ImportFormat::Ndjson => {
            for (number, line) in
                (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
            {
                let parsed = bounded_line(line)
                    .and_then(|()| strict::from_slice::<Line>(line.as_bytes(), &[]));
                if !read.take(number, parsed, schema)? {
                    break;
                }
            }
        }
        ImportFormat::Csv => read_csv(&mut read, text, schema)?,
    }
    read.refuse_repeats();
    Ok(read)
}

fn read_csv(read: &mut Read, text: &str, schema: &TenantSchema) -> Result<(), Error> {
    let mut records = csv::records(text);
    let header = match records.next() {
        Some((_, Ok(header))) if header.iter().any(|name| name == "key") => header,
        first => {
            let line = first.map_or(1, |(line, _)| line);
            let message = "the first line names the columns, and one of them is `key`";
            read.bad.push(BadLine {
                line,
                field: "header".to_owned(),
                message: message.to_owned(),
                limit: None,
            });
            return Ok(());
        }
    };
    for (number, record) in records {
        let parsed = record
            .map_err(|why| Error::invalid("line", why))
            .and_then(|fields| of_fields(&header, &fields, schema));
        if !read.take(number, parsed, schema)? {
            break;
        }
    }
    Ok(())
}

fn of_fields(header: &[String], fields: &[String], schema: &TenantSchema) -> Result<Line, Error> {
    if fields.len() != header.len() {
        let message = format!("{} fields where the header names {}", fields.len(), header.len());
        return Err(Error::invalid("line", message));
    }
    bounded_line(&fields.concat())?;
    let mut key = None;
    let (mut name, mut synthetic, mut attributes) = (String::new(), false, Map::new());
    for (column, field) in header.iter().zip(fields) {
        match column.as_str() {
            "key" => {
                key = Some(TenantKey::new(field).map_err(|error| Error::invalid("key", error))?);
            }
            "name" => name.clone_from(field),
            "synthetic" => {
                synthetic = truth(field)
                    .ok_or_else(|| Error::invalid("synthetic", "must be true or false"))?
            }
            _ if field.is_empty() => {}
            _ => drop(attributes.insert(column.clone(), typed(column, field, schema)?)),
        }
    }
    let key = key.ok_or_else(|| Error::invalid("key", "is missing"))?;
    Ok(Line { key, name, attributes, synthetic })
}

/// A field as what the schema says it is.
fn typed(column: &str, field: &str, schema: &TenantSchema) -> Result<Json, Error> {
    let refuse =
        |wanted: &str| Error::invalid(format!("attributes.{column}"), format!("must be {wanted}"));
    let text = || Json::String(field.to_owned());
    Ok(match schema.attributes.get(column).map(|spec| spec.kind) {
        None | Some(AttributeType::String | AttributeType::Date) => text(),
        Some(AttributeType::Boolean) => {
            Json::Bool(truth(field).ok_or_else(|| refuse("true or false"))?)
        }
        Some(AttributeType::Integer) => {
            let number: i64 = field.trim().parse().map_err(|_| refuse("an integer"))?;
            Json::Number(number.into())
        }
        Some(AttributeType::Number) => {
            let number: Number = field.trim().parse().map_err(|_| refuse("a number"))?;
            Json::Number(number)
        }
        Some(AttributeType::Strings) => {
            field.split(';').map(|element| Json::String(element.trim().to_owned())).collect()
        }
    })
}

fn truth(field: &str) -> Option<bool> {
    match field {
        "true" => Some(true),
        "false" | "" => Some(false),
        _ => None,
    }
}

fn bounded_line(line: &str) -> Result<(), Error> {
    crate::input::bounded("line", "bytes", MAX_IMPORT_LINE_BYTES, line.len())
}

impl Read {
    /// Takes a line in, good or bad. Answers whether there may be another.
    fn take(
        &mut self,
        line: u64,
        parsed: Result<Line, Error>,
        schema: &TenantSchema,
    ) -> Result<bool, Error> {
        self.lines += 1;
        if self.lines > MAX_IMPORT_TENANTS as u64 {
            let over = crate::input::bounded(
                "tenants",
                "tenants",
                MAX_IMPORT_TENANTS,
                MAX_IMPORT_TENANTS + 1,
            );
            self.bad.extend(over.err().map(|error| bad(line, error)));
            return Ok(false);
        }
        let checked = parsed.and_then(|Line { key, name, attributes, synthetic }| {
            let name = if name.is_empty() { key.to_string() } else { name };
            let tenant = Tenant { key, uid: fresh::id()?, name, attributes, synthetic };
            check_tenant(&tenant, schema).map(|()| tenant)
        });
        match checked {
            Ok(tenant) => {
                let text = serde_json::to_string(&tenant)
                    .map_err(|error| Error::internal("a tenant did not serialize", error))?;
                self.good.push(Row { line, key: tenant.key, tenant: text });
            }
            Err(error @ (Error::Internal { .. } | Error::Busy { .. })) => return Err(error),
            Err(error) => self.bad.push(bad(line, error)),
        }
        Ok(true)
    }

    /// Of two lines with one key the later is bad: nobody could say which is meant.
    fn refuse_repeats(&mut self) {
        self.good.sort_by(|a, b| (&a.key, a.line).cmp(&(&b.key, b.line)));
        let mut last: Option<(TenantKey, u64)> = None;
        let bad = &mut self.bad;
        self.good.retain(|row| match &last {
            Some((key, first)) if *key == row.key => {
                let message = format!("`{key}` stands on line {first} already");
                bad.push(BadLine { line: row.line, field: "key".to_owned(), message, limit: None });
                false
            }
            _ => {
                last = Some((row.key.clone(), row.line));
                true
            }
        });
        bad.sort_by_key(|bad| bad.line);
    }
}

fn bad(line: u64, error: Error) -> BadLine {
    let message = error.to_string();
    match error {
        Error::Invalid { field, message } => BadLine { line, field, message, limit: None },
        Error::OverLimit { field, limit, .. } => {
            BadLine { line, field, message, limit: Some(limit) }
        }
        _ => BadLine { line, field: "line".to_owned(), message, limit: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> TenantSchema {
        serde_json::from_value(json!({"attributes": {
            "plan": {"type": "string", "allowed": ["free", "gold"]},
            "seats": {"type": "integer"},
            "tags": {"type": "strings"},
            "trial": {"type": "boolean"},
        }}))
        .unwrap()
    }

    fn bad_lines(format: ImportFormat, text: &str) -> Vec<(u64, String)> {
        let read = read(format, text, &schema()).unwrap();
        read.bad.into_iter().map(|bad| (bad.line, bad.field)).collect()
    }

    #[test]
    fn every_bad_line_is_named_with_its_field() {
        let text = concat!(
            "{\"key\": \"a\", \"attributes\": {\"plan\": \"gold\"}}\n",
            "{\"key\": \"b\", \"attributes\": {\"plan\": \"silver\"}}\n",
            "{\"key\": \"a/b\"}\n",
            "\n",
            "{\"key\": \"c\", \"atributes\": {}}\n",
            "{\"key\": \"a\"}\n",
            "{\"key\": \"d\", \"attributes\": {\"seats\": \"7\"}}\n",
            "nonsense\n",
        );
        let expected = [
            (2, "attributes.plan"),
            (3, "key"),
            (5, "atributes"),
            (6, "key"),
            (7, "attributes.seats"),
            (8, "the body"),
        ];
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(line, field)| (*line, (*field).to_owned())).collect();
        assert_eq!(bad_lines(ImportFormat::Ndjson, text), expected);
    }

    #[test]
    fn columns_are_read_as_what_the_schema_says() {
        let text =
            "key,name,plan,seats,tags,trial,synthetic\na,Acme,gold,7,x; y,true,true\nb,,,,,,\n";
        let read = read(ImportFormat::Csv, text, &schema()).unwrap();
        assert_eq!(read.bad, []);
        let tenants: Vec<Json> =
            read.good.iter().map(|row| serde_json::from_str(&row.tenant).unwrap()).collect();
        let attributes = json!({"plan": "gold", "seats": 7, "tags": ["x", "y"], "trial": true});
        assert_eq!(tenants[0]["attributes"], attributes);
        assert_eq!((&tenants[0]["synthetic"], &tenants[1]["name"]), (&json!(true), &json!("b")));
        assert_eq!(tenants[1]["attributes"], json!({}));
        let bad = bad_lines(
            ImportFormat::Csv,
            "key,plan,seats\na,gold\nb,gold,many\nc,\"x\"y,1\n,gold,1\n",
        );
        let fields: Vec<&str> = bad.iter().map(|(_, field)| field.as_str()).collect();
        assert_eq!(fields, ["line", "attributes.seats", "line", "key"]);
        assert_eq!(bad_lines(ImportFormat::Csv, "name\nAcme\n"), [(1, "header".to_owned())]);
    }

    #[test]
    fn a_hundred_thousand_tenants_are_read_and_one_more_is_bad() {
        let lines = |count: usize| {
            (0..count).map(|n| format!("{{\"key\": \"t{n}\"}}\n")).collect::<String>()
        };
        let most = read(ImportFormat::Ndjson, &lines(MAX_IMPORT_TENANTS), &schema()).unwrap();
        assert_eq!((most.good.len(), most.bad.len()), (MAX_IMPORT_TENANTS, 0));
        let over = read(ImportFormat::Ndjson, &lines(MAX_IMPORT_TENANTS + 5), &schema()).unwrap();
        assert_eq!(over.bad.len(), 1);
        assert_eq!((over.bad[0].line, over.bad[0].limit), (100_001, Some(100_000)));
        let long =
            format!("{{\"key\": \"a\", \"name\": \"{}\"}}\n", "x".repeat(MAX_IMPORT_LINE_BYTES));
        let long = read(ImportFormat::Ndjson, &long, &schema()).unwrap();
        assert_eq!(long.bad[0].limit, Some(MAX_IMPORT_LINE_BYTES as u64));
    }
}
