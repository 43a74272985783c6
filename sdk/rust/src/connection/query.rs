//! The parameters of a connection string.

use flagforge_flags::manifest::Thumbprint;

use super::{ConnectionError, MAX_PINNED_ROOTS};

/// The parameters behind the `?`, taken out one by one so that what is left over is noticed.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, ConnectionError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name, "query")?, decode(value, "query")?);
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(ConnectionError::Unexpected(name));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn roots(&mut self) -> Result<Vec<Thumbprint>, ConnectionError> {
        let text = self.take("roots").unwrap_or_default();
        let parse = |text: &str| {
            text.parse::<Thumbprint>().map_err(|_| ConnectionError::Root(text.to_owned()))
        };
        let roots: Vec<_> =
            text.split(',').filter(|part| !part.is_empty()).map(parse).collect::<Result<_, _>>()?;
        match roots.len() {
            0 => Err(ConnectionError::Missing("root key to believe (roots=<thumbprint>)")),
            many if many > MAX_PINNED_ROOTS => Err(ConnectionError::TooManyRoots(many)),
            _ => Ok(roots),
        }
    }

    pub(super) fn nothing_left(self) -> Result<(), ConnectionError> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(ConnectionError::Unexpected(name)),
            None => Ok(()),
        }
    }
}

pub(super) fn decode(text: &str, part: &'static str) -> Result<String, ConnectionError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(ConnectionError::Encoding(part));
        };
        // Two hexadecimal digits are at most 255.
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
    }
    String::from_utf8(bytes).map_err(|_| ConnectionError::Encoding(part))
}
