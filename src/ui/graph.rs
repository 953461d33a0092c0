//! Where the boxes and lines of a pipeline's picture stand.
//!
//! Stages stand in columns by their depth. A line that passes a column without stopping there gets a place of
//! its own in it, so that it runs between the boxes; lines that others imply are left out. The order within a
//! column follows the middle of what each box hangs on (the barycentre method of Sugiyama, Tagawa and Toda).

use std::collections::{HashMap, HashSet};

use serde::Serialize;

/// Boxes are as wide as the page has room for, within these bounds.
const NARROWEST: f32 = 144.0;
const WIDEST: f32 = 208.0;
/// The room on a wide page, without its margins.
const PAGE_WIDTH: f32 = 1040.0;
const BOX_HEIGHT: f32 = 46.0;
const COLUMN_GAP: f32 = 34.0;
const ROW_GAP: f32 = 14.0;
/// A line that passes needs less room than a box.
const PASS_HEIGHT: f32 = 12.0;
const MARGIN: f32 = 4.0;
/// Rounds of sorting; more change nothing in pictures of this size.
const SWEEPS: usize = 4;

/// A pipeline's picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Graph {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) boxes: Vec<GraphBox>,
    /// SVG path data.
    pub(super) lines: Vec<Line>,
}

/// Where a stage's box stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct GraphBox {
    /// The stage's index in the list that was given.
    pub(super) stage: usize,
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

/// A line from one stage to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Stage(usize),
    /// The line with that index passes here.
    Pass(usize),
}

/// Lays out stages, each given by the indices of the stages that it needs.
pub(super) fn lay_out(needs: &[Vec<usize>]) -> Graph {
    let edges = edges_worth_drawing(needs);
    let depths = depths(needs);
    let mut columns = columns(&edges, &depths);
    sort(&mut columns, &edges, &depths);
    place(&columns, &edges, &depths)
}

/// Longest way from a stage that needs nothing. What stands in a circle (which validation refuses) counts once.
fn depths(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut depths = vec![0; needs.len()];
    for _ in 0..needs.len() {
        let mut changed = false;
        for (stage, needed) in needs.iter().enumerate() {
            let depth =
                needed.iter().filter(|&&need| need < needs.len()).map(|&need| depths[need] + 1).max().unwrap_or(0);
            if depth > depths[stage] && depth < needs.len() {
                depths[stage] = depth;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depths
}

/// Without those that a longer way between the same two stages implies.
fn edges_worth_drawing(needs: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut above: Vec<Option<HashSet<usize>>> = vec![None; needs.len()];
    for stage in 0..needs.len() {
        collect_above(stage, needs, &mut above);
    }
    let empty = HashSet::new();
    let mut edges = Vec::new();
    for (stage, needed) in needs.iter().enumerate() {
        let mut seen = HashSet::new();
        for &need in needed.iter().filter(|&&need| need < needs.len() && need != stage) {
            let implied = needed.iter().any(|&other| {
                other != need && above.get(other).and_then(Option::as_ref).unwrap_or(&empty).contains(&need)
            });
            if !implied && seen.insert(need) {
                edges.push((need, stage));
            }
        }
    }
    edges
}

/// Everything that a stage hangs on. By a stack of our own: a pipeline may be a chain of hundreds.
fn collect_above(stage: usize, needs: &[Vec<usize>], above: &mut [Option<HashSet<usize>>]) {
    let mut stack = vec![stage];
    let mut open = HashSet::new();
    while let Some(&top) = stack.last() {
        if above[top].is_some() {
            stack.pop();
            continue;
        }
        let legal = |need: &&usize| **need < needs.len() && **need != top;
        let missing: Vec<usize> = needs[top]
            .iter()
            .filter(legal)
            .copied()
            .filter(|&need| above[need].is_none() && !open.contains(&need))
            .collect();
        open.insert(top);
        if missing.is_empty() {
            let mut all = HashSet::new();
            for &need in needs[top].iter().filter(legal) {
                all.insert(need);
                all.extend(above[need].iter().flatten().copied());
            }
            above[top] = Some(all);
            stack.pop();
        } else {
            stack.extend(missing);
        }
    }
}

fn columns(edges: &[(usize, usize)], depths: &[usize]) -> Vec<Vec<Item>> {
    let count = depths.iter().max().map_or(0, |deepest| deepest + 1);
    let mut columns = vec![Vec::new(); count];
    for (stage, &depth) in depths.iter().enumerate() {
        columns[depth].push(Item::Stage(stage));
    }
    for (index, &(from, to)) in edges.iter().enumerate() {
        for column in columns.iter_mut().take(depths[to]).skip(depths[from] + 1) {
            column.push(Item::Pass(index));
        }
    }
    columns
}

/// Orders each column by the middle of its neighbours in the column before, then in the column after.
fn sort(columns: &mut [Vec<Item>], edges: &[(usize, usize)], depths: &[usize]) {
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 1..columns.len() {
            let column = if forward { step } else { columns.len() - 1 - step };
            let beside = if forward { column - 1 } else { column + 1 };
            let positions: HashMap<Item, usize> =
                columns[beside].iter().enumerate().map(|(row, item)| (*item, row)).collect();
            let mut keyed: Vec<(f32, Item)> = columns[column]
                .iter()
                .enumerate()
                .map(|(row, item)| {
                    let rows: Vec<usize> = neighbours(*item, beside, edges, depths)
                        .into_iter()
                        .filter_map(|item| positions.get(&item).copied())
                        .collect();
                    let middle = if rows.is_empty() {
                        row as f32
                    } else {
                        rows.iter().sum::<usize>() as f32 / rows.len() as f32
                    };
                    (middle, *item)
                })
                .collect();
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
            columns[column] = keyed.into_iter().map(|(_, item)| item).collect();
        }
    }
}

/// What an item is joined with in a column beside its own.
fn neighbours(item: Item, column: usize, edges: &[(usize, usize)], depths: &[usize]) -> Vec<Item> {
    let end = |stage: usize, edge: usize| if depths[stage] == column { Item::Stage(stage) } else { Item::Pass(edge) };
    let spans = |&(from, to): &(usize, usize)| (depths[from]..=depths[to]).contains(&column);
    let join = |index: usize, (from, to): (usize, usize)| {
        if depths[from] == column { end(from, index) } else { end(to, index) }
    };
    match item {
        Item::Pass(index) => edges.get(index).map(|&edge| vec![join(index, edge)]).unwrap_or_default(),
        Item::Stage(stage) => edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| (edge.0 == stage || edge.1 == stage) && spans(edge))
            .map(|(index, &edge)| join(index, edge))
            .collect(),
    }
}

fn place(columns: &[Vec<Item>], edges: &[(usize, usize)], depths: &[usize]) -> Graph {
    let height_of = |item: &Item| match item {
        Item::Stage(_) => BOX_HEIGHT,
        Item::Pass(_) => PASS_HEIGHT,
    };
    let column_height = |column: &Vec<Item>| {
        column.iter().map(height_of).sum::<f32>() + ROW_GAP * column.len().saturating_sub(1) as f32
    };
    let box_width = box_width(columns.len());
    let column_x = |column: usize| MARGIN + column as f32 * (box_width + COLUMN_GAP);
    let inner = columns.iter().map(column_height).fold(0.0_f32, f32::max);
    let mut middles: HashMap<(usize, Item), f32> = HashMap::new();
    let mut boxes = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let mut y = MARGIN + (inner - column_height(column)) / 2.0;
        for item in column {
            middles.insert((index, *item), y + height_of(item) / 2.0);
            if let Item::Stage(stage) = item {
                boxes.push(GraphBox { stage: *stage, x: column_x(index), y, width: box_width, height: BOX_HEIGHT });
            }
            y += height_of(item) + ROW_GAP;
        }
    }
    boxes.sort_by_key(|placed| placed.stage);
    let lines = edges
        .iter()
        .enumerate()
        .map(|(index, &(from, to))| {
            let middle = |column: usize, item: Item| middles.get(&(column, item)).copied().unwrap_or(MARGIN);
            let mut y = middle(depths[from], Item::Stage(from));
            let mut path = format!("M{} {y}", column_x(depths[from]) + box_width);
            for column in depths[from] + 1..depths[to] {
                let next = middle(column, Item::Pass(index));
                curve(&mut path, column_x(column) - COLUMN_GAP, y, column_x(column), next);
                path.push_str(&format!("H{}", column_x(column) + box_width));
                y = next;
            }
            let end = column_x(depths[to]);
            curve(&mut path, end - COLUMN_GAP, y, end, middle(depths[to], Item::Stage(to)));
            Line { from, to, path }
        })
        .collect();
    let width = if columns.is_empty() { 0.0 } else { column_x(columns.len() - 1) + box_width + MARGIN };
    Graph { width, height: inner + 2.0 * MARGIN, boxes, lines }
}

fn box_width(columns: usize) -> f32 {
    let columns = columns.max(1) as f32;
    ((PAGE_WIDTH + COLUMN_GAP) / columns - COLUMN_GAP).floor().clamp(NARROWEST, WIDEST)
}

fn curve(path: &mut String, x1: f32, y1: f32, x2: f32, y2: f32) {
    let middle = (x1 + x2) / 2.0;
    path.push_str(&format!("C{middle} {y1} {middle} {y2} {x2} {y2}"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(graph: &Graph) -> Vec<(usize, usize)> {
        graph.lines.iter().map(|line| (line.from, line.to)).collect()
    }

    #[test]
    fn a_diamond_has_three_columns_and_no_implied_line() {
        let graph = lay_out(&[vec![], vec![0], vec![0], vec![1, 2, 0]]);
        assert_eq!(lines(&graph), [(0, 1), (0, 2), (1, 3), (2, 3)]);
        let x: Vec<f32> = graph.boxes.iter().map(|placed| placed.x).collect();
        assert_eq!(x, [4.0, 246.0, 246.0, 488.0]);
        assert_eq!(graph.boxes[0].y, graph.boxes[3].y, "both ends stand in the middle");
    }

    #[test]
    fn a_line_over_a_column_has_a_place_between_the_boxes() {
        // 0 -> 1 -> 2 and 0 -> 3, where 3 also needs 2 of another chain: 4 -> 5 -> 3.
        let graph = lay_out(&[vec![], vec![0], vec![1, 3], vec![], vec![]]);
        let long = graph.lines.iter().find(|line| line.from == 3).expect("the line over a column");
        assert!(long.path.contains('H'), "{}", long.path);
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_without_a_panic() {
        assert_eq!(lay_out(&[]).boxes.len(), 0);
        assert_eq!(lay_out(&[vec![0], vec![2], vec![1], vec![99]]).boxes.len(), 4);
        let chain: Vec<Vec<usize>> = (0..500_usize).map(|stage| stage.checked_sub(1).into_iter().collect()).collect();
        assert_eq!(lay_out(&chain).lines.len(), 499);
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_lines_go_to_the_right(
            needs in prop::collection::vec(prop::collection::vec(0_usize..20, 0..4), 1..20)
        ) {
            let needs: Vec<Vec<usize>> = needs
                .into_iter()
                .enumerate()
                .map(|(stage, needed)| needed.into_iter().filter(|&need| need < stage).collect())
                .collect();
            let graph = lay_out(&needs);
            prop_assert_eq!(graph.boxes.len(), needs.len());
            for (index, one) in graph.boxes.iter().enumerate() {
                prop_assert!(one.x >= 0.0 && one.y >= 0.0);
                prop_assert!(one.x + one.width <= graph.width && one.y + one.height <= graph.height);
                for other in &graph.boxes[index + 1..] {
                    let apart = one.x + one.width <= other.x || other.x + other.width <= one.x
                        || one.y + one.height <= other.y || other.y + other.height <= one.y;
                    prop_assert!(apart, "{one:?} {other:?}");
                }
            }
            for line in &graph.lines {
                prop_assert!(graph.boxes[line.from].x < graph.boxes[line.to].x);
            }
        }
    }
}
