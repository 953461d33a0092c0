//! Statements that write many rows, in sizes that are powers of two.
//!
//! A statement costs a trip to the connection's thread and back, whatever it does; a row in it costs little. With
//! nine sizes per table every text is prepared once and stays in the connection's statement cache.

/// The largest chunk.
const LARGEST: usize = 256;

/// The nine texts of a statement: for 1, 2, 4, ... 256 rows, each row with `width` parameters.
pub(super) fn texts(head: &str, width: usize, row: fn(first: usize) -> String, tail: &str) -> Vec<String> {
    (0..=LARGEST.ilog2())
        .map(|power| {
            let rows: Vec<String> = (0..1_usize << power).map(|number| row(number * width + 1)).collect();
            format!("{head}{}{tail}", rows.join(", "))
        })
        .collect()
}

/// `($1, $2, ... )`: the plain row of `width` parameters from `first` on.
pub(super) fn row(first: usize, width: usize) -> String {
    let places: Vec<String> = (first..first + width).map(|place| format!("${place}")).collect();
    format!("({})", places.join(", "))
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
    fn parameters_count_on_from_row_to_row() {
        let texts = texts("INSERT ", 3, |first| row(first, 3), " END");
        assert_eq!(texts.len(), 9);
        assert_eq!(texts[1], "INSERT ($1, $2, $3), ($4, $5, $6) END");
    }
}
