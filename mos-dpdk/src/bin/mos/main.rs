//! `mos`: the stack from the shell.

mod bench;

mod common;

mod events;

mod files;

mod forward;

mod r#gen;

mod live;

mod metrics;

mod monitor;

mod peek;

mod replay;

mod route;

mod sheet;

mod signals;

mod streams;

mod summary;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Follow TCP connections in captures and on interfaces: flows, events, byte streams.
#[derive(Debug, Parser)]
#[command(name = "mos", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what happened: packets, flows, states, events, drops.
    Replay(replay::Args),
    /// Rebuild every direction's bytes.
    Streams(streams::Args),
    /// Print every event in order.
    Events(events::Args),
    /// Print bytes of one stream from an offset on.
    Peek(peek::Args),
    /// Measure the engine on a capture held in memory.
    Bench(bench::Args),
    /// Make the traffic that the stack is measured on.
    Gen(r#gen::Args),
    /// Watch the connections of interfaces.
    Monitor(Box<monitor::Args>),
    /// Stand between interfaces: what comes by one leaves by the other.
    Forward(Box<forward::Args>),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Replay(args) => replay::run(&args),
        Command::Streams(args) => streams::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Peek(args) => peek::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Gen(args) => r#gen::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Forward(args) => forward::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
