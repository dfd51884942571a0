//! This stack beside floors and beside its peers, in one run: what a packet costs each of them, how much memory they take,
//! and what they got wrong. `README.md` beside this says what each row is and how it is measured.

mod wire;

mod capture;

mod sink;

mod rows;

mod measure;

mod targets;

mod report;

mod svg;

use clap::Parser;
use measure::{Job, Results};
use mos_flow::testing::traffic::Plan;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Traffic in the order of the tables.
const TRAFFIC: [&str; 7] = ["bulk", "messy0", "messy", "short", "small", "small-1m", "small-10m"];
/// What is only about the number of connections begins with this.
const ABOUT_SIZE: &str = "small-";
/// Of the sizes, with `quick`.
const QUICK: f64 = 0.005;
/// Those with many connections would still take a while.
const QUICK_TRAFFIC: [&str; 5] = ["bulk", "messy0", "messy", "short", "small"];

/// The stack beside floors and beside its peers.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Args {
    /// `quick`: a small share of it, only to see that all works.
    #[arg(value_parser = ["quick"])]
    how: Option<String>,
    /// Rows, by their names, or `floors`, `ours`, `peers`. Without it all are run.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Traffic: bulk, messy0, messy, short, small, small-1m, small-10m. Without it all is run.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    traffic: Vec<String>,
    /// Timed rounds; the median one is told.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How much of the traffic: 0.1 is a tenth.
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,
    /// Also draw the medians.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Tell about one row: how this program asks itself.
    #[arg(long, hide = true, value_name = "ROW")]
    tell: Option<String>,
}

impl Args {
    fn is_quick(&self) -> bool {
        self.how.is_some()
    }

    fn traffic(&self) -> Vec<String> {
        let usual = if self.is_quick() { &QUICK_TRAFFIC[..] } else { &TRAFFIC[..] };
        if self.traffic.is_empty() {
            usual.iter().map(ToString::to_string).collect()
        } else {
            self.traffic.clone()
        }
    }

    fn job(&self, traffic: &str, only: &[String]) -> Result<(Job, Plan), String> {
        let plan: Plan = traffic.parse().map_err(|e| format!("{traffic}: {e}"))?;
        let scale = self.scale.unwrap_or(if self.is_quick() { QUICK } else { 1.0 });
        if !(scale > 0.0 && scale <= 100.0) {
            return Err("--scale takes a factor above 0, up to 100".to_owned());
        }
        let rounds = self.rounds.unwrap_or(if self.is_quick() { 1 } else { 5 }).max(1);
        let rows = measure::chosen(&rows::all(), only, traffic.starts_with(ABOUT_SIZE));
        Ok((Job { traffic: traffic.to_owned(), scale, rows, rounds }, plan.scaled(scale)))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = leave_checksums().and_then(|()| match &args.tell {
        Some(row) => tell(&args, row),
        None => compare(&args),
    });
    match done {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("peers: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// Has this process begin again as one whose C interface leaves checksums to the network card, as the other rows do.
fn leave_checksums() -> Result<(), String> {
    const NAME: &str = "MOS_CHECKSUM";
    if std::env::var_os(NAME).is_some_and(|value| value == "off") {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    Err(Command::new(own).args(std::env::args_os().skip(1)).env(NAME, "off").exec().to_string())
}

fn tell(args: &Args, row: &str) -> Result<ExitCode, String> {
    let traffic = args.traffic.first().ok_or("--tell takes --traffic")?;
    let (job, plan) = args.job(traffic, &[row.to_owned()])?;
    let told = measure::tell(&job, &plan)?;
    println!("{}", serde_json::to_string(&told).map_err(|e| e.to_string())?);
    Ok(ExitCode::SUCCESS)
}

/// All tables. Fails when a row of this stack got something wrong, or anything could not be measured.
fn compare(args: &Args) -> Result<ExitCode, String> {
    let rows = rows::all();
    let known = |name: &&String| {
        ["floors", "ours", "peers"].contains(&name.as_str()) || rows.iter().any(|row| row.name == **name)
    };
    if let Some(unknown) = args.only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        return Err(format!(
            "there is no row {unknown}; there are floors, ours, peers, {}",
            names.join(", ")
        ));
    }
    for row in &rows {
        if let Err(how) = row.make {
            eprintln!("SKIPPED: {} is not here ({how})", row.name);
        }
    }
    let core = measure::pin()?;
    report::head(core);
    let mut all: Vec<Results> = Vec::new();
    for traffic in args.traffic() {
        let (job, plan) = args.job(&traffic, &args.only)?;
        let results = measure::measure(&job, &plan)?;
        report::table(&results);
        all.push(results);
    }
    report::medians(&all);
    targets::print(&all);
    if let Some(path) = &args.svg {
        fs::write(path, svg::draw(&all)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(if report::is_good(&all) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
