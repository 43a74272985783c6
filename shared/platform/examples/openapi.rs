//! Prints the description of the management API, as it stands committed:
//! `cargo run -p flagforge-platform --example openapi > shared/platform/openapi.json`.

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = serde_json::to_string_pretty(&flagforge_platform::openapi())?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
