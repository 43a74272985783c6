//! Comma-separated values (RFC 4180): quoted fields may hold commas, line ends and doubled quotes.

/// One record: the line it begins on, from 1, and its fields. Or what is wrong with it.
pub(super) type Record = (u64, Result<Vec<String>, &'static str>);

/// The records of a text. Empty lines are passed over; after a broken record reading goes on at the next line.
pub(super) fn records(text: &str) -> impl Iterator<Item = Record> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    std::iter::from_fn(move || reader.record())
}

struct Reader<'t> {
    rest: &'t str,
    line: u64,
}

impl Reader<'_> {
    fn record(&mut self) -> Option<Record> {
        while let Some(after) =
            self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix(['\n', '\r']))
        {
            self.rest = after;
            self.line += 1;
        }
        if self.rest.is_empty() {
            return None;
        }
        let begins = self.line;
        let mut fields = Vec::new();
        loop {
            match self.field() {
                Ok(field) => fields.push(field),
                Err(why) => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..).unwrap_or_default();
                    return Some((begins, Err(why)));
                }
            }
            match self.rest.strip_prefix(',') {
                Some(after) => self.rest = after,
                None => return Some((begins, Ok(fields))),
            }
        }
    }

    fn field(&mut self) -> Result<String, &'static str> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
            let (field, after) = self.rest.split_at(end);
            self.rest = after;
            if field.contains('"') {
                return Err(
                    "a field with a quote in it must be quoted whole, and its quotes doubled",
                );
            }
            return Ok(field.to_owned());
        };
        let mut field = String::new();
        let mut rest = quoted;
        loop {
            let Some((before, after)) = rest.split_once('"') else {
                self.rest = "";
                return Err("a quoted field does not end");
            };
            field.push_str(before);
            self.line += before.matches('\n').count() as u64;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None => {
                    self.rest = after;
                    let ended = after.is_empty() || after.starts_with([',', '\n', '\r']);
                    return if ended { Ok(field) } else { Err("something follows a quoted field") };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Result<Vec<String>, &'static str>)> {
        records(text).collect()
    }

    fn fields(fields: &[&str]) -> Result<Vec<String>, &'static str> {
        Ok(fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn fields_quotes_and_line_ends_of_rfc_4180() {
        let text = "\u{feff}key,name\r\na,\"x, \"\"y\"\"\"\n\nb,\"two\nlines\"\nc,\n";
        let expected = [
            (1, fields(&["key", "name"])),
            (2, fields(&["a", "x, \"y\""])),
            (4, fields(&["b", "two\nlines"])),
            (6, fields(&["c", ""])),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_broken_record_is_told_and_the_next_is_read() {
        let told = read("a,b\"c\nd,\"e\"f\ng,h\ni,\"open\n");
        let lines: Vec<(u64, bool)> =
            told.iter().map(|(line, read)| (*line, read.is_ok())).collect();
        assert_eq!(lines, [(1, false), (2, false), (3, true), (4, false)]);
    }
}
