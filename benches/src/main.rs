#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot be made stops, and one that is made is printed"
)]

mod check;
mod engine;
mod floor;
mod loading;
mod memory;
mod ours;
mod peers;
mod published;
mod scale;
mod table;
mod threads;
mod timing;
mod workloads;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use timing::Effort;

const USAGE: &str =
    "flagforge-benches [--quick] [--check] [W1 … W7 | one | load | ids | scale | threads]…";

fn main() -> ExitCode {
    let (mut quick, mut check) = (false, false);
    let mut names = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => quick = true,
            "--check" => check = true,
            _ if argument.starts_with('-') => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
            _ => names.push(argument),
        }
    }
    if check {
        return check::run();
    }
    let wanted = |row: &str| names.is_empty() || names.iter().any(|name| row.starts_with(name));
    measure(if quick { Effort::QUICK } else { Effort::FULL }, &wanted);
    ExitCode::SUCCESS
}

fn measure(effort: Effort, wanted: &dyn Fn(&str) -> bool) {
    println!("{}\n", machine());
    let mut rows = workloads::rows(effort, wanted);
    rows.extend(workloads::long_list_rows(effort, wanted));
    if !rows.is_empty() {
        println!("{}\n", table::evaluations(&rows));
    }
    if wanted("load") {
        println!("{}\n", table::loads(&loading::rows(effort.samples / 2)));
    }
    if wanted("ids") {
        println!("{}\n", table::ids(&loading::bytes_per_id()));
    }
    if wanted("scale") {
        println!("{}\n", table::scales(&scale::rows(effort)));
    }
    if wanted("threads") {
        let run = Duration::from_millis(5 * effort.samples as u64);
        println!("{}\n", table::threads(&threads::ratios(run)));
    }
}

/// The processor, and how busy others keep it: on Linux; elsewhere it is left to whoever pastes the table.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let models = processors.lines().filter(|line| line.starts_with("model name"));
    let model = models.clone().next().and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{} × {model}, load {load} at the start", models.count())
}
