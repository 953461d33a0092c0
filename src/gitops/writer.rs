//! Writes a document as YAML, for `longboat render`.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Node, NodeValue};

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            NodeValue::Null => serializer.serialize_unit(),
            NodeValue::Bool(flag) => serializer.serialize_bool(*flag),
            NodeValue::Int(number) => serializer.serialize_i64(*number),
            NodeValue::Float(number) => serializer.serialize_f64(*number),
            NodeValue::String(text) => serializer.serialize_str(text),
            NodeValue::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item.as_ref())?;
                }
                list.end()
            }
            NodeValue::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&*key.name, node.as_ref())?;
                }
                map.end()
            }
        }
    }
}

/// A value that can't be written as YAML; nodes and JSON always can.
#[derive(Debug, thiserror::Error)]
#[error("the document can't be written as YAML: {0}")]
pub struct YamlError(String);

/// A [`Node`], or what else serialises, as YAML in block style, keys in their order. Read again, it has the same
/// values; texts that other YAML readers would take for numbers, booleans or dates are quoted.
///
/// # Errors
/// If the value serialises to something that YAML has no form for.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, YamlError> {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: false,
        // A folded text is hard to compare with what was written.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| YamlError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_written_in_block_style() {
        let value = serde_json::json!({"stages": [{"id": "a", "needs": [], "command": "x\ny\n"}, "1.10"], "on": null});
        let text = to_yaml(&value).expect("written");
        assert_eq!(
            text,
            "stages:\n  - id: a\n    needs: []\n    command: |\n      x\n      y\n  - \"1.10\"\n\"on\": null\n"
        );
    }
}
