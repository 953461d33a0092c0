//! The lines around a place, as plain text: numbered, the line marked, the columns underlined.

use std::fmt::Write as _;

use crate::diagnostic::Place;

/// How many lines stand before and after the one that is meant.
const AROUND: u32 = 2;
/// The widest piece of a line that is shown, in characters.
const WIDEST: usize = 120;
/// How much of a line stands before the column that is meant, if its beginning has no room.
const BEFORE: usize = 40;

/// The lines of `text` around a place; none if the place is not in it.
pub(super) fn excerpt(text: &str, place: &Place) -> Option<String> {
    let first = place.line.saturating_sub(AROUND).max(1);
    let last = place.line.saturating_add(AROUND);
    let lines: Vec<(u32, &str)> =
        (1_u32..).zip(text.lines()).skip(first as usize - 1).take_while(|(number, _)| *number <= last).collect();
    let (_, meant) = lines.iter().find(|(number, _)| *number == place.line)?;
    let column = (place.column.max(1) - 1) as usize;
    let start = if column < WIDEST - BEFORE { 0 } else { column - BEFORE };
    let width = lines.iter().map(|(number, _)| number.to_string().len()).max().unwrap_or(1);
    let mut out = String::new();
    for (number, line) in &lines {
        let mark = if *number == place.line { '>' } else { ' ' };
        let shown = window(line, start);
        // Writing to a String can't fail.
        let _ = writeln!(out, "{}", format!("{mark} {number:>width$} | {shown}").trim_end());
        if *number == place.line {
            let _ =
                writeln!(out, "  {:width$} | {}{}", "", " ".repeat(indent(start, column)), carets(meant, place, start));
        }
    }
    out.truncate(out.trim_end().len());
    Some(out)
}

/// A piece of a line. Where its beginning is left out, an ellipsis stands in place of a character.
fn window(line: &str, start: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut shown: String = line.chars().skip(start).take(WIDEST).map(clean).collect();
    if start > 0 && !shown.is_empty() {
        shown = std::iter::once('…').chain(shown.chars().skip(1)).collect();
    }
    if line.chars().nth(start + WIDEST).is_some() {
        shown.push('…');
    }
    shown
}

fn indent(start: usize, column: usize) -> usize {
    column.saturating_sub(start)
}

/// As many carets as the place has columns on its first line, one at least.
fn carets(line: &str, place: &Place, start: usize) -> String {
    let column = (place.column.max(1) - 1) as usize;
    let end = if place.end_line == place.line {
        (place.end_column.max(1) - 1) as usize
    } else {
        line.trim_end().chars().count()
    };
    let end = end.min(start + WIDEST);
    "^".repeat(end.saturating_sub(column).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - type: scirpt\n        command: x\n";

    fn place(line: u32, column: u32, end_column: u32) -> Place {
        Place { file: "a".to_owned(), line, column, end_line: line, end_column }
    }

    #[test]
    fn the_line_stands_among_its_neighbours() {
        let expected = "  3 |   - name: deploy\n  4 |     stages:\n> 5 |       - type: scirpt\n    |               ^^^^^^\n  6 |         command: x";
        assert_eq!(excerpt(FILE, &place(5, 15, 21)).as_deref(), Some(expected));
        let first = excerpt(FILE, &place(1, 1, 1)).expect("is there");
        assert!(first.starts_with("> 1 | application: shop\n    | ^\n  2 |"), "{first}");
        assert_eq!(excerpt(FILE, &place(60, 1, 1)), None);
    }

    #[test]
    fn a_long_line_is_shown_around_its_column() {
        let text = format!("{}HERE{}\n", "a".repeat(500), "b".repeat(500));
        let shown = excerpt(&text, &place(1, 501, 505)).expect("is there");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("> 1 | …aaa") && lines[0].ends_with("b…"), "{shown}");
        let at = lines[0].chars().position(|letter| letter == 'H').expect("is shown");
        assert_eq!(lines[1].chars().position(|letter| letter == '^'), Some(at), "{shown}");
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_is_bounded(
            text in "[ -~äöü\t\n]{0,2000}", line in 0_u32..30, column in 0_u32..3000, end in 0_u32..3000, lines in 0_u32..3,
        ) {
            let place = Place { end_line: line + lines, ..place(line, column, end) };
            if let Some(shown) = excerpt(&text, &place) {
                prop_assert!(shown.lines().count() <= 6);
                prop_assert!(shown.lines().all(|line| line.chars().count() <= 2 * WIDEST + 20), "{}", shown);
                prop_assert!(shown.contains('>') && shown.contains('^'));
            }
        }
    }
}
