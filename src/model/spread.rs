//! A stage that becomes several: `matrix` and `forEach`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shorten;

/// What a stage is spread over. Its instances stand below it (`build[linux-amd64]`, `deploy[0]`) and have its fields,
/// timeout, retry and window each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// What there is one instance for.
    pub over: Over,
    /// How many instances run at once; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Whether the first failure of an instance ends the others.
    pub fail_fast: bool,
}

/// What there is one instance for. Texts with `${ }` are evaluated when the stage starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Over {
    /// Each combination of the axes' values.
    Matrix {
        /// Axis to list of values, in the author's order.
        axes: Map<String, Value>,
        /// Further combinations.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        include: Vec<Value>,
        /// Combinations that are left out: those in which all of these values stand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<Value>,
    },
    /// Each item of a list.
    ForEach {
        /// The list, or an expression that yields one.
        #[serde(rename = "in")]
        items: Value,
        /// What expressions call the item: `each.<name>`.
        #[serde(rename = "as")]
        name: String,
    },
}

/// One instance of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name among its siblings: what stands in brackets in its path. Letters, digits, `.`, `_` and `-`.
    #[serde(rename = "k")]
    pub key: String,
    /// The combination as a mapping, or the item.
    #[serde(rename = "v")]
    pub value: Value,
}

impl Spread {
    /// The most instances of one stage.
    pub const MOST: usize = 256;
    /// The most axes of a matrix.
    pub const MOST_AXES: usize = 8;
    /// What expressions call the item if `as` doesn't say it.
    pub const ITEM: &'static str = "item";
    /// What expressions see under `each` of every instance, beside the item.
    pub const EACH: [&'static str; 2] = ["index", "key"];

    /// What expressions see of an instance: the values of `matrix` and of `each`.
    pub fn seen(&self, index: usize, instance: &Instance) -> (Value, Value) {
        let mut each = json!({"index": index, "key": instance.key});
        match &self.over {
            Over::Matrix { .. } => (instance.value.clone(), each),
            Over::ForEach { name, .. } => {
                each[name] = instance.value.clone();
                (Value::Null, each)
            }
        }
    }
}

impl Over {
    /// How the author calls it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Matrix { .. } => "matrix",
            Self::ForEach { .. } => "forEach",
        }
    }

    /// What has to be evaluated before [`Over::instances`] can tell the instances.
    pub fn source(&self) -> Map<String, Value> {
        let mut source = Map::new();
        match self {
            Self::Matrix { axes, include, exclude } => {
                source.insert("axes".to_owned(), Value::Object(axes.clone()));
                source.insert("include".to_owned(), Value::Array(include.clone()));
                source.insert("exclude".to_owned(), Value::Array(exclude.clone()));
            }
            Self::ForEach { items, .. } => drop(source.insert("in".to_owned(), items.clone())),
        }
        source
    }

    /// The instances, in their order, from what [`Over::source`] became.
    ///
    /// # Errors
    /// If a list is none, or there are too many instances; in words.
    pub fn instances(&self, source: &Map<String, Value>) -> Result<Vec<Instance>, String> {
        let part = |key: &str| source.get(key).unwrap_or(&Value::Null);
        match self {
            Self::Matrix { .. } => combinations(part("axes"), part("include"), part("exclude")),
            Self::ForEach { .. } => {
                let items = list(part("in"), "`forEach`")?;
                within_bounds(items.len())?;
                let instance =
                    |(index, value): (usize, &Value)| Instance { key: index.to_string(), value: value.clone() };
                Ok(items.iter().enumerate().map(instance).collect())
            }
        }
    }
}

impl Instance {
    /// What people see behind the stage's name: `linux, amd64`.
    pub fn label(&self) -> String {
        const LONGEST: usize = 60;
        let word = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let words: Vec<String> = match &self.value {
            Value::Object(values) => values.values().filter_map(word).collect(),
            value => word(value).into_iter().collect(),
        };
        let label = words.join(", ");
        if label.trim().is_empty() { self.key.clone() } else { shorten(&label, LONGEST) }
    }
}

fn within_bounds(count: usize) -> Result<(), String> {
    if count > Spread::MOST {
        return Err(format!("it would have {count} instances, and {} is the most", Spread::MOST));
    }
    Ok(())
}

fn list<'v>(value: &'v Value, what: &str) -> Result<&'v [Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{what} has to be a list, and is {}", kind_of(value)))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The combinations of a matrix: the first axis changes slowest; then what is included.
fn combinations(axes: &Value, include: &Value, exclude: &Value) -> Result<Vec<Instance>, String> {
    let none = Map::new();
    let axes = axes.as_object().unwrap_or(&none);
    let mut lists = Vec::with_capacity(axes.len());
    for (axis, values) in axes {
        lists.push((axis, list(values, &format!("the axis `{axis}`"))?));
    }
    let include = list(include, "`include`")?;
    let product = lists.iter().try_fold(1_usize, |all, (_, values)| all.checked_mul(values.len()));
    let product = if lists.is_empty() { Some(0) } else { product };
    // What is excluded has to be looked at first: without a bound of its own it could be any number.
    match product {
        Some(product) if product <= Spread::MOST * 16 => {}
        _ => return Err(format!("its axes have more than {} combinations", Spread::MOST * 16)),
    }
    let mut all: Vec<Map<String, Value>> = if lists.is_empty() { Vec::new() } else { vec![Map::new()] };
    for (axis, values) in &lists {
        let with = |known: Map<String, Value>| {
            values.iter().map(move |value| {
                let mut more = known.clone();
                more.insert((*axis).clone(), value.clone());
                more
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    let exclude = list(exclude, "`exclude`")?;
    let is_out = |found: &Map<String, Value>| {
        let fits = |rule: &Map<String, Value>| rule.iter().all(|(axis, value)| found.get(axis) == Some(value));
        exclude.iter().filter_map(Value::as_object).any(|rule| !rule.is_empty() && fits(rule))
    };
    all.retain(|found| !is_out(found));
    for further in include {
        let further = further
            .as_object()
            .ok_or_else(|| format!("an entry of `include` has to be a mapping, and is {}", kind_of(further)))?;
        all.push(further.clone());
    }
    within_bounds(all.len())?;
    let mut taken = std::collections::HashSet::new();
    let mut instances = Vec::with_capacity(all.len());
    for found in all {
        let own: Vec<(&String, &Value)> = found.iter().filter(|(axis, _)| axes.contains_key(*axis)).collect();
        let named = if own.is_empty() { found.iter().collect() } else { own };
        let parts: Vec<String> = named.iter().map(|(axis, value)| part_of_key(axis, value, axes)).collect();
        let base = cut(&parts.join("-"), 100);
        let key = (1..).map(|number| if number == 1 { base.clone() } else { format!("{base}-{number}") });
        let mut key = key.skip_while(|key| taken.contains(key));
        // The numbers don't end.
        let key = key.next().unwrap_or_default();
        taken.insert(key.clone());
        instances.push(Instance { key, value: Value::Object(found) });
    }
    Ok(instances)
}

/// A value as part of a key; what is no word is its place in the axis.
fn part_of_key(axis: &str, value: &Value, axes: &Map<String, Value>) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') {
            word.push(letter);
        } else if !word.ends_with('-') {
            word.push('-');
        }
    }
    let word = cut(word.trim_matches('-'), 40);
    if !word.is_empty() {
        return word;
    }
    let values = axes.get(axis).and_then(Value::as_array);
    let place = values.and_then(|values| values.iter().position(|other| other == value));
    place.map_or_else(|| "x".to_owned(), |place| place.to_string())
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(axes: Value, include: Value, exclude: Value) -> Over {
        let list = |value: Value| value.as_array().cloned().expect("a list");
        let axes = axes.as_object().cloned().expect("a mapping");
        Over::Matrix { axes, include: list(include), exclude: list(exclude) }
    }

    fn keys(over: &Over) -> Vec<String> {
        over.instances(&over.source()).expect("instances").into_iter().map(|one| one.key).collect()
    }

    #[test]
    fn a_matrix_has_all_combinations_but_those_excluded_and_those_included() {
        let over = matrix(
            json!({"os": ["linux", "darwin"], "arch": ["amd64", "arm64"]}),
            json!([{"os": "windows", "arch": "amd64", "slow": true}]),
            json!([{"os": "darwin", "arch": "amd64"}]),
        );
        assert_eq!(keys(&over), ["linux-amd64", "linux-arm64", "darwin-arm64", "windows-amd64"]);
        let instances = over.instances(&over.source()).expect("instances");
        assert_eq!(instances[3].value, json!({"os": "windows", "arch": "amd64", "slow": true}));
        assert_eq!(instances[0].label(), "linux, amd64");
    }

    #[test]
    fn keys_are_words_of_their_own_whatever_the_values_are() {
        let over = matrix(json!({"v": ["a/b", "a b", "..", "", {"deep": 1}, 1.5, true, null]}), json!([]), json!([]));
        assert_eq!(keys(&over), ["a-b", "a-b-2", "..", "3", "4", "1.5", "true", "7"]);
        let over = matrix(json!({}), json!([{"os": "bsd"}, {"os": "bsd"}]), json!([]));
        assert_eq!(keys(&over), ["bsd", "bsd-2"]);
        let long = matrix(
            json!({"a": ["x".repeat(500)], "b": ["y".repeat(500)], "c": ["z".repeat(500)]}),
            json!([]),
            json!([]),
        );
        assert!(keys(&long)[0].len() <= 100);
    }

    #[test]
    fn items_are_numbered() {
        let over = Over::ForEach { items: json!(["eu", "us", "eu"]), name: "region".to_owned() };
        assert_eq!(keys(&over), ["0", "1", "2"]);
        let spread = Spread { over, max_parallel: None, fail_fast: true };
        let instances = spread.over.instances(&spread.over.source()).expect("instances");
        assert_eq!(spread.seen(1, &instances[1]), (Value::Null, json!({"index": 1, "key": "1", "region": "us"})));
        assert_eq!(instances[1].label(), "us");
    }

    #[test]
    fn too_many_and_what_is_no_list_are_refused_before_anything_is_built() {
        let many: Vec<usize> = (0..1000).collect();
        let over = matrix(json!({"a": many, "b": many, "c": many, "d": many}), json!([]), json!([]));
        assert_eq!(over.instances(&over.source()).expect_err("refused"), "its axes have more than 4096 combinations");
        let over = Over::ForEach { items: json!(vec![0; 257]), name: "item".to_owned() };
        let refused = over.instances(&over.source()).expect_err("refused");
        assert_eq!(refused, "it would have 257 instances, and 256 is the most");
        let over = Over::ForEach { items: json!("eu,us"), name: "item".to_owned() };
        assert_eq!(over.instances(&over.source()).expect_err("refused"), "`forEach` has to be a list, and is a text");
        let over = matrix(json!({"a": {}}), json!([]), json!([]));
        assert_eq!(
            over.instances(&over.source()).expect_err("refused"),
            "the axis `a` has to be a list, and is a mapping"
        );
    }
}
