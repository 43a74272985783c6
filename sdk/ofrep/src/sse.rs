//! Server-sent events, read as the HTML standard says (§9.2.6), with ids and retry times, bounded in size.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of one event. OFREP's have about a hundred.
pub(crate) const MAX_EVENT_BYTES: usize = 16 * 1024;

/// A reader that is fed bytes as they come and gives the data of whole events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    after_return: bool,
    data: Option<String>,
    id: Option<String>,
    ready: VecDeque<String>,
    /// The id of the last event, or the one that was said without any.
    pub(crate) last_id: Option<String>,
    /// When the server wants its clients back.
    pub(crate) retry: Option<Duration>,
}

/// An event over [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EventTooLarge;

impl Events {
    pub(crate) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    /// Takes in bytes. After an error the stream is to be left.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        for &byte in bytes {
            // A line ends with CR, LF or both.
            let second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => self.end_line(),
                _ => self.line.push(byte),
            }
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
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
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // Comments (no field name), and the event's type: OFREP's is in the data.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        self.ready.extend(self.data.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> (Vec<String>, Option<String>, Option<Duration>) {
        let mut events = Events::default();
        pieces.iter().for_each(|piece| events.push(piece.as_bytes()).unwrap());
        (std::iter::from_fn(|| events.next()).collect(), events.last_id, events.retry)
    }

    #[test]
    fn events_ids_and_retry_times_however_the_bytes_were_cut() {
        let data = |pieces: &[&str]| read(pieces).0;
        assert_eq!(data(&["event: x\nid: 1\ndata: {}\n\n"]), ["{}"]);
        assert_eq!(data(&["data:a\r", "\ndata: b\r\n", "\r\n"]), ["a\nb"]);
        assert_eq!(data(&["data: x\r\rdata\r\r"]), ["x", ""]);
        assert_eq!(data(&[": heartbeat\n\n", "data: cut off"]), Vec::<String>::new());
        let (none, id, retry) = read(&["id: 1.2\nretry: 70", "0\n\n"]);
        assert_eq!(
            (none.len(), id.as_deref(), retry),
            (0, Some("1.2"), Some(Duration::from_millis(700)))
        );
        assert_eq!(read(&["id: 1\n\nid: 2\n"]).1.as_deref(), Some("1"), "it was not dispatched");
        assert_eq!(read(&["retry: 5\nretry: soon\n\n"]).2, Some(Duration::from_millis(5)));
    }

    #[test]
    fn an_event_at_the_limit_and_one_byte_past_it() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; MAX_EVENT_BYTES]), Ok(()));
        assert_eq!(events.push(b"x"), Err(EventTooLarge));
    }
}
