//! `aetherd doctor`: looks at all that can go wrong with a home, and says what to do.

mod database;
mod home;
mod running;

use std::fmt;

use serde::Serialize;

use super::{Failure, output};
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Mend what can be mended without a risk: access to the folders, a socket that nobody serves, what
    /// broken-off backups left
    #[arg(long)]
    fix: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// All is well.
    Ok,
    /// It works, and should be seen to.
    Warning,
    /// Something does not work, or data is at risk.
    Error,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    /// How bad it is.
    level: Level,
    /// What was found.
    text: String,
    /// What to do.
    advice: Option<String>,
    /// True where `--fix` has done it.
    fixed: bool,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, text: text.into(), advice: None, fixed: false }
    }

    fn warning(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: Some(advice.into()), ..Self::ok(check, text) }
    }

    fn error(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Error, ..Self::warning(check, text, advice) }
    }

    /// Mends it where that is asked for, by what gives an error where it cannot be.
    fn fix(mut self, is_asked: bool, mend: impl FnOnce() -> std::io::Result<()>) -> Self {
        if is_asked {
            match mend() {
                Ok(()) => self.fixed = true,
                Err(error) => self.text = format!("{}; mending it failed: {error}", self.text),
            }
        }
        self
    }

    fn is_left(&self) -> bool {
        self.level != Level::Ok && !self.fixed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.fixed, self.level) {
            (true, _) => "mended",
            (false, Level::Ok) => "ok",
            (false, Level::Warning) => "warning",
            (false, Level::Error) => "error",
        };
        write!(f, "{word:<9}{:<12}{}", self.check, self.text)?;
        match &self.advice {
            Some(advice) if !self.fixed => write!(f, "\n{:21}→ {advice}", ""),
            _ => Ok(()),
        }
    }
}

pub(super) async fn run(paths: &Paths, args: &DoctorArgs, as_json: bool) -> Result<(), Failure> {
    let mut findings = home::look(paths, args.fix);
    let running = running::look(paths, args.fix).await?;
    findings.extend(running.findings);
    findings.extend(database::look(paths, running.status.as_ref(), args.fix));
    if as_json {
        output::json(&findings)?;
    } else {
        for finding in &findings {
            output::line(&finding.to_string())?;
        }
    }
    let left = |level| findings.iter().filter(|one| one.is_left() && one.level == level).count();
    match left(Level::Error) {
        0 => Ok(()),
        count => Err(Failure::Incomplete(format!(
            "{count} of {} checks found something that must be mended, {} something to see to",
            findings.len(),
            left(Level::Warning)
        ))),
    }
}
