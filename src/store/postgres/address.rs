//! Addresses of databases as people may see them.

use sqlx_core::Url;

/// The URL without any password in it. What can't be read as a URL is shown up to its scheme alone: whatever
/// follows may be a password.
pub(in crate::store) fn shown(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let Some(mut parsed) = url.parse::<Url>().ok().filter(|parsed| !parsed.cannot_be_a_base()) else {
        return match url.split_once(':') {
            Some((scheme, _)) => format!("{scheme}:..."),
            None => url.to_owned(),
        };
    };
    // Fails only where there can be no password.
    let _ = parsed.set_password(None).is_ok();
    let open: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(key, _)| key != "password")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    parsed.set_query(None);
    if !open.is_empty() {
        parsed.query_pairs_mut().extend_pairs(open);
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, expected) in [
            ("postgres://ann:hunter2@db.example.com:5433/longboat", "postgres://ann@db.example.com:5433/longboat"),
            (
                "postgres://ann@db/longboat?password=hunter2&sslmode=require",
                "postgres://ann@db/longboat?sslmode=require",
            ),
            ("postgres:///longboat?host=/run&password=hunter2", "postgres:///longboat?host=%2Frun"),
            ("postgres://ann:hunter2@:x/", "postgres:..."),
            ("ann:hunter2@db", "ann:..."),
            ("longboat.db", "longboat.db"),
        ] {
            let shown = shown(url);
            assert!(shown.starts_with(expected), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
