//! The isolation matrix at length: `isolation [<attempts> [<seed>]]`, 100,000 and 1 when not said. Every attempt asks
//! for something of somebody else's; it ends with an error at the first that is answered with more than nothing.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use flagforge_tests::World;
use flagforge_tests::journeys::attack;

const ATTEMPTS: usize = 100_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let attempts = arguments.next().map(|text| text.parse()).transpose().context("attempts")?;
    let seed = arguments.next().map(|text| text.parse()).transpose().context("seed")?;
    let (attempts, seed) = (attempts.unwrap_or(ATTEMPTS), seed.unwrap_or(1));
    let world = World::start().await?;
    let began = Instant::now();
    let tried = attack(&world.stack, seed, attempts).await?;
    let mut out = std::io::stdout();
    writeln!(out, "| what | number |")?;
    writeln!(out, "| attempts | {attempts} |")?;
    writeln!(out, "| routes | {} |", tried.len())?;
    writeln!(out, "| fewest attempts at one route | {} |", tried.values().min().unwrap_or(&0))?;
    writeln!(out, "| leaks | 0 |")?;
    writeln!(out, "| seconds | {} |", began.elapsed().as_secs())?;
    Ok(())
}
