//! From text to words.

use serde_json::{Number, Value as Json};

use super::error::TextError;

/// A word and where it begins, in bytes.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) at: usize,
    pub(super) word: Word<'t>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word<'t> {
    Name(&'t str),
    /// A text or a number.
    Literal(Json),
    Symbol(&'static str),
    /// A character that begins no word, or a word that does not end as it should; nothing comes after it.
    Stray(char),
    Broken(Box<TextError>),
    End,
}

/// Longer ones first, for `<` begins `<=`.
const SYMBOLS: [&str; 19] = [
    "&&", "||", "==", "!=", "<=", ">=", "!", "<", ">", "%", "(", ")", "[", "]", "{", "}", ",", ".",
    ":",
];

/// The last word is the end, or what spoils the text.
pub(super) fn words(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let at = lexer.at;
        let word = lexer.word().unwrap_or_else(|error| Word::Broken(Box::new(error)));
        let last = matches!(word, Word::End | Word::Stray(_) | Word::Broken(_));
        tokens.push(Token { at, word });
        if last {
            return tokens;
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the longest beginning of such characters.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn take_char(&mut self) -> Option<char> {
        let character = self.rest().chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// White space, and comments from `//` to the end of the line.
    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| c.is_ascii_whitespace());
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn word(&mut self) -> Result<Word<'t>, TextError> {
        let rest = self.rest();
        let mut bytes = rest.bytes();
        match (bytes.next(), bytes.next()) {
            (None, _) => Ok(Word::End),
            (Some(b'r'), Some(quote @ (b'"' | b'\''))) => self.raw(quote.into()),
            (Some(quote @ (b'"' | b'\'')), _) => self.quoted(quote.into()),
            (Some(b'0'..=b'9'), _) | (Some(b'-'), Some(b'0'..=b'9')) => self.number(),
            (Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'), _) => {
                Ok(Word::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')))
            }
            _ => Ok(self.symbol()),
        }
    }

    fn symbol(&mut self) -> Word<'t> {
        let rest = self.rest();
        match SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Word::Symbol(symbol)
            }
            None => rest.chars().next().map_or(Word::End, Word::Stray),
        }
    }

    /// JSON's numbers: digits alone are a whole number of 64 bits, anything else a finite number.
    fn number(&mut self) -> Result<Word<'t>, TextError> {
        let at = self.at;
        let mut exponent = false;
        let rest = self.rest();
        let end = rest.char_indices().find(|(place, c)| {
            let sign = matches!(c, '+' | '-') && (*place == 0 || exponent);
            exponent = matches!(c, 'e' | 'E');
            !(sign || c.is_ascii_alphanumeric() || *c == '.')
        });
        let digits = rest.get(..end.map_or(rest.len(), |(place, _)| place)).unwrap_or_default();
        self.at += digits.len();
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        let whole = unsigned.bytes().all(|b| b.is_ascii_digit());
        let padded = unsigned.len() > 1 && unsigned.starts_with('0') && whole;
        let number = if whole {
            let negative = digits.parse().ok().map(|number: i64| Number::from(number));
            negative.or_else(|| digits.parse().ok().map(|number: u64| Number::from(number)))
        } else if digits
            .split('.')
            .skip(1)
            .any(|after| !after.starts_with(|c: char| c.is_ascii_digit()))
        {
            // Rust reads a point without digits after it; CEL and JSON do not.
            None
        } else {
            digits.parse().ok().and_then(Number::from_f64)
        };
        match number.filter(|_| !padded) {
            Some(number) => Ok(Word::Literal(Json::Number(number))),
            None => Err(self.error(
                at,
                "a number: a whole one of 64 bits, or a finite one with a point or exponent",
                clip(digits),
            )),
        }
    }

    fn raw(&mut self, quote: char) -> Result<Word<'t>, TextError> {
        let at = self.at;
        self.at += 2;
        let body = self.take_while(|c| c != quote && c != '\n');
        if self.take_char() == Some(quote) {
            Ok(Word::Literal(body.into()))
        } else {
            Err(self.unclosed(at))
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Word<'t>, TextError> {
        let at = self.at;
        self.take_char();
        let mut body = String::new();
        loop {
            body.push_str(self.take_while(|c| c != quote && c != '\\' && c != '\n'));
            let here = self.at;
            match self.take_char() {
                Some('\\') => body.push(self.escape(here)?),
                Some(end) if end == quote => return Ok(Word::Literal(body.into())),
                _ => return Err(self.unclosed(at)),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<char, TextError> {
        let plain = match self.take_char() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(same @ ('\\' | '"' | '\'' | '/')) => same,
            Some('u') => return self.unicode(at),
            other => {
                let found = other.map_or("the end".to_owned(), |c| format!("\\{c}"));
                let expected = r#"one of the escapes \n \r \t \b \f \\ \" \' \/ \u0000"#;
                return Err(self.error(at, expected, found));
            }
        };
        Ok(plain)
    }

    /// Four hexadecimal digits; two halves of a surrogate pair are one character, as in JSON.
    fn unicode(&mut self, at: usize) -> Result<char, TextError> {
        let mut unit = self.hexadecimal(at)?;
        if (0xD800..0xDC00).contains(&unit) && self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hexadecimal(at)?;
            if (0xDC00..0xE000).contains(&low) {
                unit = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            }
        }
        char::from_u32(unit)
            .ok_or_else(|| self.error(at, "a character", "half a surrogate pair".to_owned()))
    }

    fn hexadecimal(&mut self, at: usize) -> Result<u32, TextError> {
        let digits = self.rest().get(..4).unwrap_or_default();
        let all = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        match u32::from_str_radix(digits, 16) {
            Ok(unit) if all => {
                self.at += 4;
                Ok(unit)
            }
            _ => Err(self.error(at, "four hexadecimal digits after \\u", clip(digits))),
        }
    }

    fn unclosed(&self, at: usize) -> TextError {
        let expected = "a closing quote on the same line";
        self.error(at, expected, "none".to_owned())
    }

    fn error(&self, at: usize, expected: &str, found: String) -> TextError {
        TextError::new(self.text, at, expected, found)
    }
}

/// Enough of a word to recognize it.
pub(super) fn clip(word: &str) -> String {
    const SHOWN: usize = 40;
    let clipped: String = word.chars().take(SHOWN).collect();
    let dots = if clipped.len() < word.len() { "…" } else { "" };
    format!("`{clipped}{dots}`")
}
