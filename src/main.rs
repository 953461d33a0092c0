//! The `longboat` program: the command line, the supervisor that scripts run under, and the reader of pull requests.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else is set up: one such process runs beside every script, one looks at each pull request.
    match args.next() {
        Some(command) if command == "supervise" => longboat::stage::script::supervisor::main(args),
        Some(command) if command == longboat::trigger::EXAMINE => {
            longboat::trigger::examine_main(args, &longboat::stage::catalog())
        }
        _ => longboat::cli::main(),
    }
}
