//! Traces by OTLP over HTTP, to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names.
//!
//! The variables are OpenTelemetry's own (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and so on). Spans are sent
//! in batches by a thread of the library; a collector that is down costs spans and nothing else.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanId, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};

use super::traces::{ExecutionTrace, StageTrace};
use crate::clock::Timestamp;
use crate::outbound::{AddressPolicy, Client, ClientOptions, Request};

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

thread_local! {
    /// The id of the trace that is about to begin on this thread.
    static NEXT_TRACE: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Begins to send traces, if the environment names a collector. To be called within the runtime, once.
///
/// # Errors
/// What is wrong with the variables, in words.
pub(super) fn start() -> Result<(), String> {
    let named = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if !named("OTEL_EXPORTER_OTLP_ENDPOINT") && !named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(());
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new()?)
        .build()
        .map_err(|error| format!("traces can't be sent: {error}"))?;
    let mut resource = Resource::builder();
    if !named("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("longboat");
    }
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids(RandomIdGenerator::default()))
        .with_resource(resource.build())
        .with_batch_exporter(exporter)
        .build();
    // A second start changes nothing.
    let _ = PROVIDER.set(provider).is_ok();
    Ok(())
}

/// Sends what waits. Blocks for some seconds at most.
pub(super) fn stop() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown()
    {
        tracing::warn!(%error, "the last traces were not sent");
    }
}

/// Hands a trace to the batch, if there is a collector.
pub(super) fn send(make: impl FnOnce() -> Option<ExecutionTrace>) {
    let Some(provider) = PROVIDER.get() else { return };
    let Some(trace) = make() else { return };
    let tracer = provider.tracer("longboat");
    NEXT_TRACE.set(Some(TraceId::from_bytes(trace.id.into_bytes())));
    let root = tracer.build_with_context(root(&trace), &Context::new());
    NEXT_TRACE.set(None);
    let context = Context::new().with_span(root);
    for stage in &trace.stages {
        let mut span = tracer.build_with_context(span(stage), &context);
        span.set_status(status(stage.good, stage.status));
        span.end_with_timestamp(moment(stage.end));
    }
    context.span().set_status(status(trace.good, trace.status));
    context.span().end_with_timestamp(moment(trace.end));
}

fn root(trace: &ExecutionTrace) -> SpanBuilder {
    let mut attributes =
        vec![KeyValue::new("longboat.execution", trace.id.to_string()), KeyValue::new("longboat.status", trace.status)];
    if let Some((repository, commit)) = &trace.source {
        attributes.push(KeyValue::new("vcs.repository.name", repository.clone()));
        attributes.push(KeyValue::new("vcs.ref.head.revision", commit.clone()));
    }
    SpanBuilder::from_name(trace.name.clone())
        .with_kind(SpanKind::Internal)
        .with_start_time(moment(trace.start))
        .with_attributes(attributes)
}

fn span(stage: &StageTrace) -> SpanBuilder {
    SpanBuilder::from_name(stage.path.clone()).with_start_time(moment(stage.start)).with_attributes([
        KeyValue::new("longboat.stage.type", stage.kind.clone()),
        KeyValue::new("longboat.status", stage.status),
        KeyValue::new("longboat.stage.attempts", i64::from(stage.attempts)),
    ])
}

fn status(good: bool, word: &'static str) -> Status {
    if good { Status::Ok } else { Status::error(word) }
}

fn moment(time: Timestamp) -> SystemTime {
    let millis = Duration::from_millis(time.as_millis().unsigned_abs());
    SystemTime::UNIX_EPOCH.checked_add(millis).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Random ids, but for a trace whose id is that of its execution.
#[derive(Debug)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Sends a batch through the client that all requests go through. The library's thread has no runtime; the request
/// runs on ours.
#[derive(Debug)]
struct Sender {
    client: Client,
    runtime: tokio::runtime::Handle,
}

impl Sender {
    fn new() -> Result<Self, String> {
        let options = ClientOptions {
            deadline: Duration::from_secs(10),
            body_limit: 64 * 1024,
            // The operator names the collector, which is often on this machine.
            policy: AddressPolicy::Any,
            ..ClientOptions::default()
        };
        let client = Client::new(options).map_err(|error| error.to_string())?;
        Ok(Self { client, runtime: tokio::runtime::Handle::current() })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let outbound = Request {
            headers: parts.headers,
            body: body.to_vec(),
            ..Request::new(parts.method, parts.uri.to_string())
        };
        let client = self.client.clone();
        let answer = self.runtime.spawn(async move { client.send(outbound).await }).await??;
        let mut response = http::Response::new(Bytes::from(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
