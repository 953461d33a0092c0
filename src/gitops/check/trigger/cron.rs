//! Time tables.

use std::sync::LazyLock;

use super::super::reader::{Field, Fields, Sink, hinted};
use super::{Around, start};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{CronError, CronTrigger, Dialect, TimeTable};
use crate::schema::format::CronTriggerFile;

const WHAT: &str = "a `cron` trigger";
/// Spinnaker's own name for the schedule.
const SPINNAKER_SCHEDULE: &str = "cronExpression";

static KEYS: LazyLock<Vec<String>> = LazyLock::new(super::with_type::<CronTriggerFile>);

pub(super) fn read(fields: &mut Fields<'_>, around: Around<'_>, sink: &mut Sink) -> Option<CronTrigger> {
    let errors = sink.errors();
    let spinnaker = around.dialect == Dialect::Spinnaker && fields.has(SPINNAKER_SCHEDULE);
    let schedule = fields.require(if spinnaker { SPINNAKER_SCHEDULE } else { "schedule" }, WHAT, sink);
    let text = schedule.as_ref().and_then(|field| field.string(sink));
    if let (Some(field), Some(text)) = (&schedule, text) {
        if let Err(error) = TimeTable::parse(text, None, "") {
            let message = format!("the schedule can't be read: {}", error.message);
            say(field, CronError { message, ..error }, sink);
        } else if spinnaker && text.split_whitespace().count() == 5 && !text.contains('?') {
            let message = format!("`{SPINNAKER_SCHEDULE}` has five fields; Spinnaker's begins with seconds");
            let hint = "read as minute, hour, day of month, month and day of week";
            field.say(sink, Diagnostic::warning(Code::BadSchedule, message).hint(hint));
        }
    }
    let timezone = fields.take("timezone").and_then(|field| {
        let name = field.string(sink)?;
        match TimeTable::zone(name) {
            // In the spelling of the database.
            Ok(zone) => Some(zone.iana_name().unwrap_or(name).to_owned()),
            Err(error) => {
                say(&field, error, sink);
                None
            }
        }
    });
    let start = start::read(fields, around, start::Parameters::Whole, WHAT, sink);
    fields.finish(&KEYS, WHAT, around.dialect, sink);
    let schedule = text?.to_owned();
    (sink.errors() == errors).then_some(CronTrigger { schedule, timezone, start })
}

fn say(field: &Field<'_>, error: CronError, sink: &mut Sink) {
    field.say(sink, hinted(Diagnostic::error(Code::BadSchedule, error.message), error.hint));
}
