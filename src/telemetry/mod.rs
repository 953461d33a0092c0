//! What Longboat tells its operator: one event a line on standard error, as text or JSON; and figures ([`metrics()`]).

mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod traces;

pub use metrics::{CONTENT_TYPE, ForgeFigures, Metrics, ReplicaFigures, Snapshot, documentation, metrics};
pub use traces::{ExecutionTrace, StageTrace, trace};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, Logging};

/// The environment variable that goes before the configured filter.
pub const FILTER_VARIABLE: &str = "LONGBOAT_LOG";

/// Starts logging, and sending traces if the environment names a collector; once per process, within the runtime.
///
/// Which events are written is said by `LONGBOAT_LOG`, else by the configuration. A variable that can't be
/// read as a filter is ignored, and an event says so.
///
/// # Errors
/// If the process logs already.
pub fn start(logging: &Logging) -> Result<(), TryInitError> {
    let variable = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let (filter, refused) = filter(variable.as_deref(), logging);
    let registry = tracing_subscriber::registry().with(filter);
    // Colours only where a person looks on; a collector would keep the escape codes.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    match logging.format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()?,
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false)
                    .with_writer(std::io::stderr),
            )
            .try_init()?,
    }
    start_traces();
    if let Some(text) = refused {
        tracing::warn!(filter = text, "{FILTER_VARIABLE} is not a filter for logs; the configured one is used");
    }
    Ok(())
}

/// Sends what waits to be sent; to be called when the process ends. Blocks for some seconds at most.
pub fn stop() {
    #[cfg(feature = "otlp")]
    otlp::stop();
}

#[cfg(feature = "otlp")]
fn start_traces() {
    if let Err(error) = otlp::start() {
        tracing::warn!(error, "no traces are sent");
    }
}

#[cfg(not(feature = "otlp"))]
fn start_traces() {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
        tracing::warn!("no traces are sent: this Longboat was built without the feature `otlp`");
    }
}

/// The filter to use, and the variable's text if it was refused.
fn filter(variable: Option<&str>, logging: &Logging) -> (EnvFilter, Option<String>) {
    let configured = || EnvFilter::builder().parse_lossy(&logging.filter);
    match variable.map(|text| (text, EnvFilter::builder().parse(text))) {
        Some((_, Ok(filter))) => (filter, None),
        Some((text, Err(_))) => (configured(), Some(text.to_owned())),
        None => (configured(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_configuration_unless_it_is_nonsense() {
        let logging = Logging { filter: "warn".to_owned(), ..Logging::default() };
        let shown = |variable| {
            let (filter, refused) = filter(variable, &logging);
            (filter.to_string(), refused)
        };
        assert_eq!(shown(None), ("warn".to_owned(), None));
        assert_eq!(shown(Some("debug")), ("debug".to_owned(), None));
        assert_eq!(shown(Some("a=b=c")), ("warn".to_owned(), Some("a=b=c".to_owned())));
    }
}
