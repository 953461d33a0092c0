//! Percent-escapes, as addresses have them (RFC 3986, section 2.1).

use std::fmt::Write as _;

/// A text of which ASCII letters, digits and what is in `keep` (ASCII as well) stay, and every other byte becomes `%XX`.
pub fn percent_encode(text: impl AsRef<[u8]>, keep: &str) -> String {
    let bytes = text.as_ref();
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A text as one part of a path, or as a name or value of a query: only what is unreserved stays.
pub fn percent_encode_part(text: &str) -> String {
    percent_encode(text, "-._~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_escaped_byte_by_byte() {
        assert_eq!(percent_encode_part("a-B_9.~"), "a-B_9.~");
        assert_eq!(percent_encode_part("a/b c?ü%&=+"), "a%2Fb%20c%3F%C3%BC%25%26%3D%2B");
        assert_eq!(percent_encode("/x y/ä", "/"), "/x%20y/%C3%A4");
        assert_eq!(percent_encode([0, 255, b'a'], ""), "%00%FFa");
    }
}
