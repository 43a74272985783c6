//! Values as they are written: JSON's, and a text that has backslashes and needs none raw.

use std::fmt::Write;

use serde_json::Value as Json;

/// A text, quoted; `r"…"` where it has a backslash and nothing that the raw form could not hold.
pub(super) fn write_text(into: &mut String, text: &str) {
    let raw = text.contains('\\') && !text.contains(|c: char| c == '"' || c.is_control());
    // Writing to a `String` cannot fail.
    let _written = if raw {
        write!(into, "r\"{text}\"")
    } else {
        write!(into, "{}", Json::String(text.to_owned()))
    };
}

/// A value. Lists and objects inside are JSON.
pub(super) fn write_value(into: &mut String, value: &Json) {
    match value {
        Json::String(text) => write_text(into, text),
        other => {
            let _written = write!(into, "{other}");
        }
    }
}

/// Values with a comma and a space between.
pub(super) fn write_values<'v>(into: &mut String, values: impl IntoIterator<Item = &'v Json>) {
    for (place, value) in values.into_iter().enumerate() {
        if place > 0 {
            into.push_str(", ");
        }
        write_value(into, value);
    }
}
