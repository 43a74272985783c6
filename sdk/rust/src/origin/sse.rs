//! Server-sent events, read as the HTML standard says (§9.2.6), bounded in size.

use std::collections::VecDeque;

use thiserror::Error;

use super::MAX_PUSHED_BYTES;

/// Bytes of one event. Ours have about fifty, or bring along what they announce, in JSON, which escapes at most every
/// other byte of a chunk.
pub(super) const MAX_EVENT_BYTES: usize = 8 * 1024 + 2 * MAX_PUSHED_BYTES;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// What kind; `message` when the stream does not say.
    pub(super) name: String,
    /// The data, lines joined by line feeds.
    pub(super) data: String,
}

/// An event over [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the stream sent an event of over {MAX_EVENT_BYTES} bytes")]
pub(super) struct EventTooLarge;

/// A reader that is fed bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: Option<String>,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Takes in bytes. After an error the stream is to be left.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        for &byte in bytes {
            // A line ends with CR, LF or both.
            let second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => self.end_line(),
                _ => self.line.push(byte),
            }
            let held =
                self.line.len() + self.name.len() + self.data.as_ref().map_or(0, String::len);
            if held > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
        }
        Ok(())
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.dispatch();
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments (no field name), ids and retry times: nothing here needs them.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            self.ready.push_back(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expect: &[(&str, &str)]) {
        let mut events = Events::default();
        for piece in pieces {
            events.push(piece.as_bytes()).unwrap();
        }
        let got: Vec<_> = std::iter::from_fn(|| events.next()).map(|e| (e.name, e.data)).collect();
        let got: Vec<_> = got.iter().map(|(n, d)| (n.as_str(), d.as_str())).collect();
        assert_eq!(got, expect, "{pieces:?}");
    }

    #[test]
    fn events_come_out_whole_however_the_bytes_were_cut() {
        check(&["event: root\nid: 1.2\ndata: {}\n\n"], &[("root", "{}")]);
        check(&["event:root\r", "\ndata:a\r\ndata: b\r\n", "\r\n"], &[("root", "a\nb")]);
        check(&["data: x\r\rdata\r\r"], &[("message", "x"), ("message", "")]);
        check(&[": heartbeat\n\n", ":\n\n"], &[]);
        check(&["event: root\n\ndata: x\n\n"], &[("message", "x")]);
        check(&["data: cut off"], &[]);
    }

    #[test]
    fn an_event_at_the_limit_and_one_byte_past_it() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; MAX_EVENT_BYTES]), Ok(()));
        assert_eq!(events.push(b"x"), Err(EventTooLarge));
        let mut lines = Events::default();
        let line = format!("data: {}\n", "x".repeat(1_000));
        let end = (0..MAX_EVENT_BYTES / 1_000 + 2).find_map(|_| lines.push(line.as_bytes()).err());
        assert_eq!(end, Some(EventTooLarge), "many lines of one event count together");
    }
}
