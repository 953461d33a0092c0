//! What Longboat says about a user's file: severity, code, message, hint, and the place to edit.
//!
//! A code keeps its meaning for ever and has a page in `docs/errors/`; [`Code::page`] is that page.

mod together;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use together::{Repeated, Together};

/// How bad a finding is. Only errors keep a file from being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be published.
    Error,
    /// Published, but probably not what its author meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        /// The kinds of findings. The text form (`LB0001`) is the one that users and scripts see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = $title]
                #[serde(rename = $code)]
                $name,
            )*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// A line that says what the code stands for.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    YamlSyntax = "LB0001", "The file is not valid YAML";
    DuplicateKey = "LB0002", "A key stands twice in the same mapping";
    FileTooLarge = "LB0003", "A file is larger than Longboat reads";
    NotUtf8 = "LB0004", "A file is not UTF-8 text";
    ReservedCharacter = "LB0005", "A file or value holds a character that Unicode reserves for internal use";
    TagOnTemplateValue = "LB0006", "A YAML tag is not known, or stands on a value that a template yields";
    TooManyNodes = "LB0007", "A document expands to more values than Longboat handles";
    UnreadablePath = "LB0008", "A path can't be read from the commit";
    WrongShape = "LB0009", "The document doesn't have the outer form that is expected";
    NumberTooLarge = "LB0010", "A number has more digits than can be kept";
    TemplateSyntax = "LB0101", "A template has a syntax error";
    UndefinedValue = "LB0102", "A template uses a value that doesn't exist";
    TemplateFailed = "LB0103", "A template failed while it was rendered";
    OutOfFuel = "LB0104", "A template ran for too long";
    RefusedStatement = "LB0105", "A template uses a statement that Longboat leaves out";
    OutputTooLarge = "LB0106", "A template yields more text than Longboat handles";
    TextFilter = "LB0107", "A filter turns a value into text where the value itself would be placed";
    MisplacedVariables = "LB0108", "Variables or an environment are not where they can be read before rendering";
    ModuleNotFound = "LB0201", "A module doesn't exist";
    ModuleRecursion = "LB0202", "A module includes itself";
    ModuleCall = "LB0203", "A module is called in a wrong way";
    ModuleLimit = "LB0204", "A file calls more modules, or nests them deeper, than Longboat handles";
    ModuleRepository = "LB0205", "A module repository is not configured";
    ModuleHeader = "LB0206", "A module's header is not valid";
    ArgumentMisfit = "LB0210", "A value doesn't fit the parameter of the module that it is given to";
    DeprecatedParameter = "LB0211", "A parameter is given that its module has deprecated";
    ModuleResult = "LB0212", "A module yields something else than it says, or stands where that doesn't belong";
    ModuleUntried = "LB0213", "A module has no example by which it could be tried";
    ModuleRepositoryUnread = "LB0221", "A module repository can't be read";
    ModuleReference = "LB0222", "A module repository has no such tag, branch, commit or version";
    AmbiguousReference = "LB0223", "A reference names a tag and a branch of a module repository";
    ModuleMoved = "LB0224", "A module is read at another commit than before";
    MovedTag = "LB0225", "A tag of a module repository was moved";
    ModuleNameTaken = "LB0226", "A folder of modules has the name of a module repository";
    ModuleProposal = "LB0227", "A repository's settings propose a module repository that the server doesn't have";
    RenderedAnew = "LB0228", "A commit comes to something else than when it was published";
    UnknownKey = "LB0301", "A key is not known here";
    WrongType = "LB0302", "A value has the wrong type";
    MissingKey = "LB0303", "A required key is missing";
    UnknownStageType = "LB0304", "A stage's type is not known";
    ValueNotAllowed = "LB0305", "A value is not one of those allowed";
    ConflictingKeys = "LB0306", "Two keys that say the same thing in different ways are both given";
    BadDuration = "LB0307", "A duration can't be read";
    BadIdentifier = "LB0308", "A name or id has characters or a length that is not allowed";
    BadPattern = "LB0309", "A pattern can't be read";
    DuplicatePipeline = "LB0310", "Two pipelines of one application have the same name";
    ForeignApplication = "LB0311", "A repository defines an application that it may not define";
    LargeRemoval = "LB0312", "A commit removes more pipelines at once than it may by itself";
    TooManyInstances = "LB0313", "A stage would become more instances than Longboat starts";
    BadSchedule = "LB0321", "A schedule or a time zone can't be read";
    TriggerCannotStart = "LB0322", "A trigger can't start its pipeline";
    TriggerCircle = "LB0323", "Pipelines start each other in a circle";
    UnknownNeed = "LB0401", "A stage needs a stage that doesn't exist";
    StageCycle = "LB0402", "Stages need each other in a circle";
    DuplicateStage = "LB0403", "Two stages of a pipeline have the same id";
    NoStages = "LB0404", "A pipeline has no stages";
    FilesNotSaved = "LB0405", "A stage takes files that no stage before it has saved";
    ExpressionSyntax = "LB0501", "An expression has a syntax error";
    UnknownVariable = "LB0502", "An expression uses a variable that doesn't exist";
    ExpressionNotAllowed = "LB0503", "An expression stands where none is evaluated";
    StageNotUpstream = "LB0504", "An expression uses a stage that may not have run yet";
    SecretMisplaced = "LB0505", "A secret is named where none can be used";
    UnknownSecret = "LB0506", "A pipeline names a secret that the server doesn't have";
    SecretRefused = "LB0507", "A pipeline names a secret that it may not use";
    ConfigUnreadable = "LB0601", "The configuration can't be read";
    SecretInConfig = "LB0602", "A secret is written into the configuration";
    SecretUnavailable = "LB0603", "A secret can't be read from where the configuration says";
    TokenRequired = "LB0604", "A server that others can reach has no token";
    UnknownForge = "LB0605", "A repository names a forge that isn't configured";
    DuplicateRepository = "LB0606", "A repository is configured twice";
    WeakSecret = "LB0607", "A secret is too short to be kept out of logs";
    NotInThisVersion = "LB0901", "A key is part of the format, but this version doesn't act on it";
}

impl Code {
    /// The path of the page about this code, inside the repository and the program.
    pub fn page(self) -> String {
        format!("docs/errors/{}.md", self.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A stretch of a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The path inside the repository, or the module's full name for a built-in one.
    pub file: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// The column after the last character.
    pub end_column: u32,
}

impl Place {
    /// A place of no extent.
    pub fn point(file: impl Into<String>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column, end_line: line, end_column: column }
    }

    /// A variable of the operator, by its key: it stands in the server's configuration, and no line of that is shown.
    pub fn of_operator(key: &str) -> Self {
        Self::point(format!("{OPERATOR}{key}"), 1, 1)
    }

    /// Whether this is a variable of the operator, which has no line in a repository.
    pub fn is_operators(&self) -> bool {
        self.file.starts_with(OPERATOR)
    }

    /// File and line, as pages and comments say them.
    pub fn line_of_file(&self) -> String {
        if self.is_operators() { self.file.clone() } else { format!("{}:{}", self.file, self.line) }
    }
}

/// How places name the operator's configuration. No path of a repository has a `#` behind this name, because nothing
/// outside of `.longboat/` and what `file(...)` reads is a place.
const OPERATOR: &str = "longboat.yaml#";

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_operators() {
            out.write_str(&self.file)
        } else {
            write!(out, "{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

/// One step of the way by which a value came into a document: where a module was called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainLink {
    /// The file that holds the call.
    pub file: String,
    /// The call's line.
    pub line: u32,
    /// The call's column.
    pub column: u32,
    /// The module that was called.
    pub module: String,
}

/// One finding about one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of finding it is.
    #[schemars(with = "String")]
    pub code: Code,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The place to edit.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// JSON pointer of the value in the document as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The module calls through which the value came, outermost call first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ChainLink>,
    /// The other places that had a part in the value, the nearest first: tags that handed it on, the argument or the
    /// line of a variable file that it came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<Place>,
    /// The other calls of modules that lead to the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
}

/// The most places that a finding names beside its own.
pub const MAX_THROUGH: usize = 16;

impl Diagnostic {
    /// An error without place or hint yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning without place or hint yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Something worth knowing, without place or hint yet.
    pub fn info(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message)
    }

    fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            hint: None,
            place: None,
            pointer: None,
            chain: Vec::new(),
            through: Vec::new(),
            repeated: None,
        }
    }

    /// Adds the place to edit.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the JSON pointer of the value.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Adds the module calls through which the value came.
    #[must_use]
    pub fn chain(mut self, chain: Vec<ChainLink>) -> Self {
        self.chain = chain;
        self
    }

    /// Adds other places that had a part in the value; none stands twice, and no more than [`MAX_THROUGH`] are kept.
    #[must_use]
    pub fn through(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        for place in places {
            let room = self.through.len() < MAX_THROUGH;
            if room && self.place.as_ref() != Some(&place) && !self.through.contains(&place) {
                self.through.push(place);
            }
        }
        self
    }

    /// Whether this finding keeps its file from being published.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(out, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        write!(out, "{}[{}]: {}", self.severity, self.code, self.message)
    }
}

/// The nearest of `candidates` to a misspelt `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        // Cheap, and it keeps texts of a megabyte from being compared letter by letter.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 + candidate.len().min(word.len()))
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(word.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A key or index as a step of a JSON pointer (RFC 6901), escaped.
pub fn pointer_step(step: &str) -> Cow<'_, str> {
    if step.contains(['~', '/']) { step.replace('~', "~0").replace('/', "~1").into() } else { step.into() }
}

/// The key or index that a step of a JSON pointer stands for.
pub fn pointer_key(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_a_swapped_letter_and_refuses_a_stranger() {
        assert_eq!(nearest("scirpt", ["wait", "script", "manualJudgment"]), Some("script"));
        assert_eq!(nearest("deployManifest", ["wait", "script"]), None);
        assert_eq!(nearest(&"script".repeat(1_000_000), ["wait", "script"]), None);
    }

    #[test]
    fn a_diagnostic_survives_json_with_its_place_flat() {
        let finding = Diagnostic::error(Code::YamlSyntax, "bad").at(Place::point("a.yaml", 3, 7));
        let json = serde_json::to_value(&finding).expect("serialises");
        assert_eq!(json["line"], 3);
        assert_eq!(json["code"], "LB0001");
        assert_eq!(serde_json::from_value::<Diagnostic>(json).expect("reads back"), finding);
    }
}
