//! The files inside the binary: templates, and what browsers fetch beside the pages.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use serde::Deserialize;

#[derive(RustEmbed)]
#[folder = "src/ui/templates"]
pub(super) struct Templates;

#[derive(RustEmbed)]
#[folder = "src/ui/assets"]
struct Assets;

/// The address of an asset. It holds a digest of the content, so that browsers may keep it for ever.
pub(super) fn address(name: &str) -> Option<String> {
    Assets::get(name).map(|file| format!("/assets/{name}?v={}", digest(&file)))
}

fn digest(file: &rust_embed::EmbeddedFile) -> String {
    hex::encode(&file.metadata.sha256_hash()[..8])
}

#[derive(Deserialize)]
pub(super) struct Version {
    v: Option<String>,
}

/// Answers `GET /assets/{name}`.
pub(super) async fn serve(
    Path(name): Path<String>,
    Query(version): Query<Version>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let file = Assets::get(&name).ok_or(StatusCode::NOT_FOUND)?;
    let digest = digest(&file);
    let current = version.v.is_some_and(|asked| asked == digest);
    let etag = HeaderValue::from_str(&format!("\"{digest}\"")).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let keep = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.into_owned().into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    out.insert(header::ETAG, etag);
    Ok(response)
}

/// The text of a template; built in, so it is there.
pub(super) static TEMPLATES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    Templates::iter()
        .filter_map(|name| {
            let file = Templates::get(&name)?;
            Some((name.into_owned(), String::from_utf8(file.data.into_owned()).ok()?))
        })
        .collect()
});
