//! The log: human on a terminal, JSON for machines, never what users wrote.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// A line for a person.
    Human,
    /// A JSON object a line.
    Json,
}

/// Starts logging to stderr. The engine's own log is kept to warnings: it shows statements.
pub(super) fn start(levels: &str, format: LogFormat) -> Result<(), String> {
    let levels: Targets = levels.parse().map_err(|_| {
        format!("cannot read the log level {levels:?}; say off, error, warn, info, debug or trace")
    })?;
    let filter = levels.with_target("turso", LevelFilter::WARN);
    let layer = match format {
        LogFormat::Json => {
            tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).boxed()
        }
        LogFormat::Human => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            tracing_subscriber::fmt::layer()
                .with_ansi(colours)
                .with_target(false)
                .with_writer(std::io::stderr)
                .boxed()
        }
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    // A panic's message could hold what a user wrote; its place cannot.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
        let text = panic.payload().downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.payload().downcast_ref::<String>().cloned());
        tracing::debug!(message = text, "the panic's message");
    }));
    Ok(())
}
