//! The command line between Longboat and its supervisor. Both are the same program, so it's read strictly.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::super::DEFAULT_GRACE;

/// What a supervisor is told.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Arguments {
    /// The attempt's folder.
    pub(in super::super) dir: PathBuf,
    /// Where the output goes.
    pub(in super::super) log: PathBuf,
    /// How much of it is kept.
    pub(in super::super) log_limit: u64,
    /// The time between SIGTERM and SIGKILL.
    pub(in super::super) grace: Duration,
    /// Whether it reads secrets from its standard input before it begins.
    pub(in super::super) secrets: bool,
    /// The program and its arguments.
    pub(in super::super) argv: Vec<OsString>,
}

impl Arguments {
    pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let (mut dir, mut log, mut log_limit, mut grace, mut secrets) = (None, None, None, DEFAULT_GRACE, false);
        while let Some(flag) = args.next() {
            if flag == "--" {
                let argv: Vec<OsString> = args.collect();
                if argv.is_empty() {
                    return Err("no command is given after `--`".to_owned());
                }
                let dir = dir.ok_or("--dir is missing")?;
                let log = log.ok_or("--log is missing")?;
                let log_limit = log_limit.ok_or("--log-limit is missing")?;
                return Ok(Self { dir, log, log_limit, grace, secrets, argv });
            }
            let flag = flag.to_string_lossy().into_owned();
            let value = args.next().ok_or_else(|| format!("{flag} has no value"))?;
            match flag.as_str() {
                "--dir" => dir = Some(PathBuf::from(value)),
                "--log" => log = Some(PathBuf::from(value)),
                "--log-limit" => log_limit = Some(number(&flag, &value)?),
                "--grace" => grace = Duration::from_millis(number(&flag, &value)?),
                "--secrets" if value == "stdin" => secrets = true,
                _ => return Err(format!("{flag} isn't known")),
            }
        }
        Err("no command is given: `--` is missing".to_owned())
    }

    /// The arguments that [`Self::parse`] reads.
    pub(in super::super) fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["--dir".into(), (&self.dir).into(), "--log".into(), (&self.log).into()];
        args.extend(["--log-limit".into(), self.log_limit.to_string().into()]);
        args.extend(["--grace".into(), self.grace.as_millis().to_string().into()]);
        if self.secrets {
            args.extend(["--secrets".into(), "stdin".into()]);
        }
        args.push("--".into());
        args.extend(self.argv.iter().cloned());
        args
    }
}

fn number(flag: &str, value: &OsStr) -> Result<u64, String> {
    let value = value.to_string_lossy();
    value.parse().map_err(|_| format!("{flag} is `{value}`, not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let arguments = Arguments {
            dir: "/a b".into(),
            log: "/l".into(),
            log_limit: 1,
            grace: Duration::from_millis(1500),
            secrets: true,
            argv: vec!["sh".into(), "--".into(), "--dir".into()],
        };
        assert_eq!(Arguments::parse(arguments.to_args()).as_ref(), Ok(&arguments));
        let plain = Arguments { secrets: false, ..arguments };
        assert_eq!(Arguments::parse(plain.to_args()), Ok(plain));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (args, part) in [
            (vec!["--dir", "/d", "--log", "/l", "--log-limit", "x", "--", "true"], "not a number"),
            (vec!["--dir", "/d", "--log", "/l", "--log-limit", "1", "--"], "no command"),
            (vec!["--dir", "/d", "--log", "/l", "--log-limit", "1"], "`--` is missing"),
            (vec!["--dir", "/d", "--log", "/l", "--", "true"], "--log-limit is missing"),
            (vec!["--dir"], "--dir has no value"),
            (vec!["--speed", "1"], "--speed isn't known"),
        ] {
            let error = Arguments::parse(args.iter().map(OsString::from)).expect_err("refused");
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
