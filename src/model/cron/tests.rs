use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap_or_else(|| panic!("a moment: {text}"))
}

fn table(schedule: &str, zone: &str) -> TimeTable {
    TimeTable::parse(schedule, Some(zone), "shop/nightly").unwrap_or_else(|error| panic!("{schedule}: {error}"))
}

/// The next moments after one, in UTC without milliseconds.
fn next(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let moments = table(schedule, zone).upcoming(at(after), count);
    moments.iter().map(|moment| moment.to_rfc3339().replace(".000Z", "Z")).collect()
}

fn refused(schedule: &str) -> String {
    let error = TimeTable::parse(schedule, None, "").expect_err(schedule);
    match error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message,
    }
}

#[test]
fn five_fields_are_unix_s() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("0 9 * * MON-FRI", "2026-03-06T09:00:00Z", &["2026-03-09T09:00:00Z", "2026-03-10T09:00:00Z"]),
        (
            "*/20 8-9 * * *",
            "2026-03-06T08:10:00Z",
            &["2026-03-06T08:20:00Z", "2026-03-06T08:40:00Z", "2026-03-06T09:00:00Z"],
        ),
        (
            "5/25 * * * *",
            "2026-03-06T08:00:00Z",
            &["2026-03-06T08:05:00Z", "2026-03-06T08:30:00Z", "2026-03-06T08:55:00Z"],
        ),
        ("0 0 1,15 * *", "2026-02-15T00:00:00Z", &["2026-03-01T00:00:00Z", "2026-03-15T00:00:00Z"]),
        // Both days given: either fits.
        ("0 0 13 * FRI", "2026-03-06T00:00:00Z", &["2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"]),
        (
            "0 0 10 * 1",
            "2026-03-06T00:00:00Z",
            &["2026-03-09T00:00:00Z", "2026-03-10T00:00:00Z", "2026-03-16T00:00:00Z"],
        ),
        // A star with a step leaves the choice to the other.
        ("0 0 */2 * MON", "2026-03-01T00:00:00Z", &["2026-03-09T00:00:00Z", "2026-03-23T00:00:00Z"]),
        ("0 0 * * 0", "2026-03-06T00:00:00Z", &["2026-03-08T00:00:00Z"]),
        ("0 0 * * 7", "2026-03-06T00:00:00Z", &["2026-03-08T00:00:00Z"]),
        (
            "0 0 * * 5-7",
            "2026-03-04T00:00:00Z",
            &["2026-03-06T00:00:00Z", "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-13T00:00:00Z"],
        ),
        ("0 0 * * 0-7", "2026-03-04T00:00:00Z", &["2026-03-05T00:00:00Z"]),
        (
            "0 22-1 * * fri-mon",
            "2026-03-05T23:30:00Z",
            &["2026-03-06T00:00:00Z", "2026-03-06T01:00:00Z", "2026-03-06T22:00:00Z"],
        ),
        ("0 0 29 feb *", "2026-03-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("0 12 L * *", "2026-02-01T00:00:00Z", &["2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"]),
        ("@daily", "2026-03-06T00:00:00Z", &["2026-03-07T00:00:00Z"]),
        ("@Weekly", "2026-03-06T00:00:00Z", &["2026-03-08T00:00:00Z"]),
        ("@monthly", "2026-03-06T00:00:00Z", &["2026-04-01T00:00:00Z"]),
        ("@yearly", "2026-03-06T00:00:00Z", &["2027-01-01T00:00:00Z"]),
        ("@hourly", "2026-03-06T00:59:59.999Z", &["2026-03-06T01:00:00Z"]),
        ("59 23 31 DEC ?", "2026-03-06T00:00:00Z", &["2026-12-31T23:59:00Z"]),
    ];
    for (schedule, after, wanted) in cases {
        assert_eq!(next(schedule, "UTC", after, wanted.len()), *wanted, "{schedule}");
    }
}

#[test]
fn six_and_seven_fields_are_quartz_s() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("0 0 10 ? * 2-6", "2026-03-06T10:00:00Z", &["2026-03-09T10:00:00Z"]),
        ("0 0 10 ? * 1", "2026-03-06T10:00:00Z", &["2026-03-08T10:00:00Z"]),
        ("*/30 * * * * *", "2026-03-06T10:00:00.001Z", &["2026-03-06T10:00:30Z", "2026-03-06T10:01:00Z"]),
        ("0 15 10 L-2 * ?", "2026-03-01T00:00:00Z", &["2026-03-29T10:15:00Z", "2026-04-28T10:15:00Z"]),
        // The 15th of March 2026 is a Sunday, the 15th of August a Saturday.
        ("0 0 0 15W 3,8 ?", "2026-03-01T00:00:00Z", &["2026-03-16T00:00:00Z", "2026-08-14T00:00:00Z"]),
        // The 1st of August is a Saturday, the 31st of May a Sunday: neither leaves its month.
        ("0 0 0 1W 8 ?", "2026-03-01T00:00:00Z", &["2026-08-03T00:00:00Z"]),
        ("0 0 0 LW 5 ?", "2026-03-01T00:00:00Z", &["2026-05-29T00:00:00Z"]),
        ("0 0 0 ? * 6L", "2026-03-01T00:00:00Z", &["2026-03-27T00:00:00Z", "2026-04-24T00:00:00Z"]),
        ("0 0 0 ? * FRIL", "2026-03-01T00:00:00Z", &["2026-03-27T00:00:00Z"]),
        ("0 0 0 ? * 6#3", "2026-03-01T00:00:00Z", &["2026-03-20T00:00:00Z", "2026-04-17T00:00:00Z"]),
        ("0 0 0 ? * MON#5", "2026-03-01T00:00:00Z", &["2026-03-30T00:00:00Z", "2026-06-29T00:00:00Z"]),
        ("0 0 0 ? * L", "2026-03-01T00:00:00Z", &["2026-03-07T00:00:00Z"]),
        (
            "0 0 0 1 1 ? 2027-2031/2",
            "2026-03-01T00:00:00Z",
            &["2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z", "2031-01-01T00:00:00Z"],
        ),
    ];
    for (schedule, after, wanted) in cases {
        assert_eq!(next(schedule, "UTC", after, wanted.len()), *wanted, "{schedule}");
    }
    assert!(next("0 0 0 1 1 ? 2020", "UTC", "2026-03-01T00:00:00Z", 1).is_empty(), "it is over");
}

#[test]
fn what_falls_into_the_hour_that_is_left_out_is_due_once_when_the_clock_is_put_forward() {
    // Berlin, 2026-03-29: 02:00 CET is 03:00 CEST.
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(next("30 2 * * *", "Europe/Berlin", spring, 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(next("0 2 * * *", "Europe/Berlin", spring, 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(
        next("*/10 2 * * *", "Europe/Berlin", spring, 3),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:10:00Z"],
        "six of them, and one is due"
    );
    assert_eq!(next("0 2,3 * * *", "Europe/Berlin", spring, 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(next("0 0 2 29 3 ?", "Europe/Berlin", spring, 1), ["2026-03-29T01:00:00Z"]);
    // A zone that leaves out midnight: Beirut, 2026-03-29, 00:00 is 01:00.
    assert_eq!(next("0 0 * * *", "Asia/Beirut", spring, 2), ["2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"]);
    // A whole day that never was: Apia, 2011-12-30.
    assert_eq!(next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1), ["2011-12-30T10:00:00Z"]);
}

#[test]
fn what_the_clock_shows_twice_is_due_the_first_time() {
    // Berlin, 2026-10-25: 03:00 CEST is 02:00 CET.
    let autumn = "2026-10-24T12:00:00Z";
    assert_eq!(next("30 2 * * *", "Europe/Berlin", autumn, 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // Asked in the second half of the doubled hour.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
    assert_eq!(
        next("*/30 2-3 * * *", "Europe/Berlin", "2026-10-25T00:10:00Z", 3),
        ["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"]
    );
}

#[test]
fn a_table_for_every_hour_follows_the_time_that_passes() {
    let autumn = next("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]);
    let spring = next("30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 2);
    assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    // Lord Howe puts its clock back by half an hour, at 02:00.
    let howe = next("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30:00Z", 3);
    assert_eq!(howe, ["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"]);
}

#[test]
fn a_year_of_tables_never_goes_back_and_never_stands_still() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
        for schedule in ["*/7 * * * *", "13 1-4 * * *", "0 2 * * SUN", "0 0 2 ? * SUN", "30 2,14 L * *"] {
            let (table, end) = (table(schedule, zone), at("2027-01-01T00:00:00Z"));
            let mut last = at("2026-01-01T00:00:00Z");
            while last < end {
                let next = table.next_after(last).expect("there is always a next one");
                assert!(next > last, "{schedule} in {zone}: {next} after {last}");
                // Whoever asks in between gets the same answer.
                let between = Timestamp::from_millis(i64::midpoint(last.as_millis(), next.as_millis()));
                assert_eq!(table.next_after(between), Some(next), "{schedule} in {zone}, asked at {between}");
                last = next;
            }
        }
    }
}

#[test]
fn the_latest_of_several_is_found() {
    let table = table("*/10 * * * *", "UTC");
    let (from, to) = (at("2026-03-06T10:00:00Z"), at("2026-03-06T10:35:00Z"));
    assert_eq!(table.latest_in(from, to), Some(at("2026-03-06T10:30:00Z")));
    assert_eq!(table.latest_in(to, at("2026-03-06T10:39:59Z")), None);
    assert_eq!(table.latest_in(to, at("2026-03-06T10:40:00Z")), Some(at("2026-03-06T10:40:00Z")));
}

#[test]
fn h_is_a_number_of_its_owner_s() {
    let minute = |owner: &str| {
        let table = TimeTable::parse("H H * * *", None, owner).expect("a table");
        table.next_after(at("2026-03-06T00:00:00Z")).expect("a moment").to_rfc3339()
    };
    assert_eq!(minute("shop/nightly"), minute("shop/nightly"));
    let owners: Vec<String> = (0..20).map(|number| minute(&format!("shop/{number}"))).collect();
    let different: std::collections::HashSet<&String> = owners.iter().collect();
    assert!(different.len() > 15, "{owners:?}");
    let steps = TimeTable::parse("H/15 * * * *", None, "shop/nightly").expect("a table");
    assert_eq!(steps.upcoming(at("2026-03-06T10:00:00Z"), 5).len(), 5);
    let hour = steps.upcoming(at("2026-03-06T09:59:59Z"), 5);
    assert_eq!(hour[4].since(hour[0]).as_secs(), 3600);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let cases = [
        ("0 25 * * *", "`25` is not an hour; it goes from 0 to 23"),
        ("60 * * * *", "`60` is not a minute; it goes from 0 to 59"),
        ("0 0 0 * *", "`0` is not a day of the month; it goes from 1 to 31"),
        ("0 0 * 13 *", "`13` is not a month; months are `JAN` to `DEC`, or 1 to 12"),
        (
            "0 0 * * MONDAY",
            "`MONDAY` is not a day of the week; days are written `SUN`, `MON`, `TUE`, `WED`, `THU`, `FRI` and `SAT`",
        ),
        (
            "0 0 * * 8",
            "`8` is not a day of the week; days are written `SUN`, `MON`, `TUE`, `WED`, `THU`, `FRI` and `SAT`",
        ),
        (
            "0 0 0 ? * 0",
            "`0` is not a day of the week; days are written `SUN`, `MON`, `TUE`, `WED`, `THU`, `FRI` and `SAT`",
        ),
        ("*/0 * * * *", "`0` is no step; it goes from 1 to 60 here"),
        (
            "* * *",
            "a schedule has 5 fields (or 6 or 7, from seconds on), not 3 fields; write minute, hour, day of month, month and day of week, as in `0 9 * * MON-FRI`",
        ),
        (
            "",
            "a schedule has 5 fields (or 6 or 7, from seconds on), not 0 fields; write minute, hour, day of month, month and day of week, as in `0 9 * * MON-FRI`",
        ),
        (
            "@reboot",
            "`@reboot` stands for no schedule; there are `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly`",
        ),
        ("0 0 30 2 *", "no day is ever like that, so it never comes"),
        (
            "0 0 0 1 * MON",
            "the day of the month and the day of the week are both given; with seconds, one of them has to be `?`",
        ),
        ("0 0 0 ? * ?", "`?` stands for both days; write `*` for one of them"),
        (
            "0 0 0 ? * MON#6",
            "`MON#6` is no day of the week in a month; write `FRI#2` for the second Friday; a month has 5 at most",
        ),
        ("0 0 0 1 1 ? 1969", "`1969` is no year from 1970 to 2099"),
        ("1- * * * *", "`` is not a minute; it goes from 0 to 59"),
        ("+1 * * * *", "`+1` is not a minute; it goes from 0 to 59"),
    ];
    for (schedule, wanted) in cases {
        assert_eq!(refused(schedule), wanted, "{schedule}");
    }
    let error = TimeTable::zone("Europe/Berln").expect_err("no zone");
    assert_eq!(
        (error.message.as_str(), error.hint.as_deref()),
        ("`Europe/Berln` is not the name of a time zone", Some("did you mean `Europe/Berlin`?"))
    );
    assert!(refused(&"1,".repeat(200)).starts_with("a schedule has 200 characters at most"));
}

#[test]
fn moments_are_shown_by_the_zone_s_clock() {
    let berlin = table("0 9 * * *", "Europe/Berlin");
    assert_eq!(berlin.in_zone(at("2026-07-06T07:00:00Z")), "2026-07-06 09:00 CEST");
    assert_eq!(berlin.in_zone(at("2026-01-06T08:00:07Z")), "2026-01-06 09:00:07 CET");
}
