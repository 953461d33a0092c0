//! Statements that write many rows, in sizes that are powers of two.
//!
//! A statement costs a trip to the connection and back, whatever it does; a row in it costs little. With nine sizes
//! per table every text is prepared once and stays in the connection's statement cache.
//!
//! A row is written with `?` for each value. On SQLite it stays so: a numbered parameter has a name there, which is
//! searched for among all others each time it is bound, and with a thousand of them that was half of the writer's
//! time. PostgreSQL knows only `$1`, `$2` and so on, so they are put in. (Statements that aren't made here have `$1`
//! on both.)

use super::connection::Backend;

/// The largest chunk.
pub(super) const LARGEST: usize = 256;

/// The texts of a statement: for 1, 2, 4, ... 256 times the same row.
pub(super) struct Texts {
    sqlite: Vec<String>,
    postgres: Vec<String>,
}

impl Texts {
    /// The statements `head row, row, ... tail`, where each `?` of `row` stands for a value. Neither part may hold
    /// a `?` that means something else.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        let sqlite: Vec<String> = (0..=LARGEST.ilog2())
            .map(|power| {
                let rows = vec![row; 1 << power];
                format!("{head}{}{tail}", rows.join(", "))
            })
            .collect();
        let postgres = sqlite.iter().map(|text| numbered(text)).collect();
        Self { sqlite, postgres }
    }

    /// The text for `rows` rows, a power of two.
    pub(super) fn text(&self, backend: Backend, rows: usize) -> &str {
        let texts = match backend {
            Backend::Sqlite => &self.sqlite,
            Backend::Postgres => &self.postgres,
        };
        texts.get(rows.max(1).ilog2() as usize).map_or("", String::as_str)
    }
}

/// The text with `$1`, `$2`, ... for each `?`.
fn numbered(text: &str) -> String {
    let mut numbered = String::with_capacity(text.len() * 2);
    for (number, part) in text.split('?').enumerate() {
        if number > 0 {
            numbered.push('$');
            numbered.push_str(&number.to_string());
        }
        numbered.push_str(part);
    }
    numbered
}

/// Cuts `items` into pieces whose sizes are powers of two, the largest first.
pub(super) fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1 << items.len().checked_ilog2()?;
        let (piece, rest) = items.split_at(size.min(LARGEST));
        items = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_powers_of_two_and_lose_nothing() {
        for count in [0, 1, 3, 255, 256, 700] {
            let items: Vec<usize> = (0..count).collect();
            let pieces: Vec<&[usize]> = pieces(&items).collect();
            assert!(pieces.iter().all(|piece| piece.len().is_power_of_two() && piece.len() <= LARGEST));
            assert_eq!(pieces.concat(), items);
        }
    }

    #[test]
    fn a_text_repeats_its_row_in_the_words_of_each_database() {
        let texts = Texts::new("INSERT ", "(?, 'x', ?)", " END");
        assert_eq!(texts.sqlite.len(), 9);
        assert_eq!(texts.text(Backend::Sqlite, 2), "INSERT (?, 'x', ?), (?, 'x', ?) END");
        assert_eq!(texts.text(Backend::Postgres, 2), "INSERT ($1, 'x', $2), ($3, 'x', $4) END");
        assert!(texts.text(Backend::Postgres, 256).ends_with("($511, 'x', $512) END"));
    }
}
