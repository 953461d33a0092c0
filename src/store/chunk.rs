//! Statements that write many rows, in sizes that are powers of two.
//!
//! A statement costs a trip to the connection's thread and back, whatever it does; a row in it costs little. With
//! nine sizes per table every text is prepared once and stays in the connection's statement cache.
//!
//! These texts are SQLite's own: their parameters are `?`, and not `$1` as elsewhere. A numbered parameter has a
//! name in SQLite, which is searched for among all others each time it is bound: with a thousand of them, that was
//! half of the writer's time.

/// The largest chunk.
const LARGEST: usize = 256;

/// The nine texts of a statement: for 1, 2, 4, ... 256 times the same row.
pub(super) fn texts(head: &str, row: &str, tail: &str) -> Vec<String> {
    (0..=LARGEST.ilog2())
        .map(|power| {
            let rows = vec![row; 1 << power];
            format!("{head}{}{tail}", rows.join(", "))
        })
        .collect()
}

/// The text for `rows` rows, a power of two.
pub(super) fn text(texts: &'static [String], rows: usize) -> &'static str {
    texts.get(rows.max(1).ilog2() as usize).map_or("", String::as_str)
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
    fn a_text_repeats_its_row() {
        let texts = texts("INSERT ", "(?, ?)", " END");
        assert_eq!(texts.len(), 9);
        assert_eq!(texts[1], "INSERT (?, ?), (?, ?) END");
    }
}
