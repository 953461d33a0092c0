//! The `longboat` program: the command line, and the supervisor that scripts run under.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else is set up: one such process runs beside every script.
    if args.next().is_some_and(|command| command == "supervise") {
        return longboat::stage::script::supervisor::main(args);
    }
    longboat::cli::main()
}
