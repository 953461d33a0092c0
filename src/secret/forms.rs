//! The forms in which a value shows up in what programs print.
//!
//! Programs don't print a secret as it is alone: they put it into JSON or an address, encode it for a header (`user:secret`
//! in base64), print a key line by line, or show the command that they run. What a program computes in another way (a
//! checksum, the text backwards) can't be known, see docs/security.md.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use crate::config::MIN_SECRET;

/// Parts of a value (a line of it, its middle in base64) are looked for from this length on.
const MIN_PART: usize = 8;
/// Longer values are looked for in fewer forms.
const LONG: usize = 4096;
/// The lengths at which tools break the lines of base64.
const WRAPS: [usize; 2] = [64, 76];

/// Every text that stands for `value`, each of them worth hiding.
pub(super) fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = Forms(BTreeSet::new());
    forms.all(value);
    let trimmed = value.trim();
    if trimmed != value {
        forms.all(trimmed);
    }
    if value.contains('\n') {
        forms.all(&value.replace("\r\n", "\n"));
        // The armour around a key is the same for all keys.
        for line in value.lines().map(str::trim).filter(|line| line.len() >= MIN_PART && !line.starts_with("-----")) {
            forms.all(line);
        }
    }
    forms.0
}

struct Forms(BTreeSet<Vec<u8>>);

impl Forms {
    fn add(&mut self, form: impl Into<Vec<u8>>) {
        let form = form.into();
        if form.len() >= MIN_SECRET {
            self.0.insert(form);
        }
    }

    fn all(&mut self, value: &str) {
        self.add(value);
        self.json(value);
        self.base64(value);
        if value.len() > LONG {
            // A file with keys: nobody puts that into an address, and every form costs memory.
            return;
        }
        self.url(value);
        self.hex(value);
        if value.contains('\'') {
            // As a shell's `set -x` shows it.
            self.add(value.replace('\'', "'\\''"));
        }
        if value.contains(['&', '<', '>', '"', '\'']) {
            self.html(value);
        }
    }

    fn json(&mut self, value: &str) {
        let plain = json(value);
        let mut written = vec![plain.clone()];
        if !value.is_ascii() {
            let mut ascii = String::new();
            for letter in plain.chars() {
                if letter.is_ascii() {
                    ascii.push(letter);
                } else {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        let _ = write!(ascii, "\\u{unit:04x}");
                    }
                }
            }
            written.push(ascii);
        }
        if plain.contains(['<', '>', '&']) {
            // As Go writes them.
            written.push(plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
        }
        for text in written {
            // A text inside a text.
            self.add(json(&text));
            if text.contains('/') {
                self.add(text.replace('/', "\\/"));
            }
            self.add(text);
        }
    }

    /// Which letters stay as they are differs from tool to tool, and so do the digits.
    fn url(&mut self, value: &str) {
        for kept in ["-._~", "-._~/", "-._~!'()*", "-._*", "-._~!$&'()*+,;=", "-._~!$&'()*+,;=:@/"] {
            let (mut upper, mut lower) = (String::new(), String::new());
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
                    upper.push(char::from(byte));
                    lower.push(char::from(byte));
                } else {
                    let _ = write!(upper, "%{byte:02X}");
                    let _ = write!(lower, "%{byte:02x}");
                }
            }
            if upper.contains("%20") {
                self.add(upper.replace("%20", "+"));
                self.add(lower.replace("%20", "+"));
            }
            self.add(upper);
            self.add(lower);
        }
    }

    fn hex(&mut self, value: &str) {
        self.add(hex::encode(value));
        self.add(hex::encode_upper(value));
    }

    fn html(&mut self, value: &str) {
        let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        self.add(escaped.replace('\'', "&#39;"));
        self.add(escaped.replace('\'', "&#x27;"));
        self.add(escaped);
    }

    /// Alone, and as a part of something longer: what stands before decides between three forms, of which the first
    /// and last letters also depend on the neighbours.
    fn base64(&mut self, value: &str) {
        for alphabet in [STANDARD, URL_SAFE] {
            let engine = GeneralPurpose::new(&alphabet, NO_PAD);
            for before in 0..3 {
                let mut bytes = vec![0; before];
                bytes.extend_from_slice(value.as_bytes());
                let encoded = engine.encode(&bytes);
                if before == 0 {
                    self.add(encoded.as_str());
                }
                // Letters that hold nothing but bits of the value.
                let own = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
                let Some(core) = encoded.get(own) else { continue };
                if core.len() < MIN_PART {
                    continue;
                }
                self.add(core);
                if before == 0 {
                    self.wrapped(core);
                }
            }
        }
    }

    fn wrapped(&mut self, encoded: &str) {
        for width in WRAPS {
            if encoded.len() <= width {
                continue;
            }
            let mut rest = encoded;
            while rest.len() > width {
                let (line, tail) = rest.split_at(width);
                self.add(line);
                rest = tail;
            }
            if rest.len() >= MIN_PART {
                self.add(rest);
            }
        }
    }
}

/// A text as JSON, without its quotes.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
