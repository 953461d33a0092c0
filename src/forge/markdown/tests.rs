//! What is written is read again by a parser of GitHub's Markdown.

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};
use proptest::prelude::*;

use super::inline::JOINER;
use super::{marker, write};
use crate::forge::{Capabilities, Markup};
use crate::model::{Block, Comment, Mark, Piece, RepositoryName};

const GITHUB: Capabilities = Capabilities {
    statuses: true,
    pull_requests: true,
    comment_limit: 65_536,
    markup: Markup { folding: true, hidden_text: true, mermaid: true },
    ..Capabilities::NONE
};
const BITBUCKET: Capabilities = Capabilities {
    statuses: true,
    status_needs_url: true,
    pull_requests: true,
    comment_limit: 32_768,
    markup: Markup { folding: false, hidden_text: false, mermaid: false },
};

fn shop() -> RepositoryName {
    RepositoryName::parse("acme/shop").expect("legal")
}

fn comment(blocks: Vec<Block>) -> Comment {
    Comment { repository: shop(), pull_request: 7, blocks, page: Some("/repositories/acme/shop".to_owned()) }
}

fn paragraph(text: &str) -> Block {
    Block::Paragraph(vec![Piece::text(text)])
}

/// What is written for a forge that takes `limit` characters.
fn written(comment: &Comment, forge: Capabilities, limit: usize) -> String {
    let forge = Capabilities { comment_limit: limit, ..forge };
    write(comment, &forge, Some("https://cd.example.com/"), &marker(&shop(), 7, forge.markup))
}

fn github(blocks: Vec<Block>) -> String {
    written(&comment(blocks), GITHUB, GITHUB.comment_limit)
}

fn bitbucket(blocks: Vec<Block>) -> String {
    written(&comment(blocks), BITBUCKET, BITBUCKET.comment_limit)
}

/// What only GitHub reads as markup (one `~`, formulas) is looked for only there.
fn options(github: bool) -> Options<'static> {
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.strikethrough = github;
    options.extension.table = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.math_dollars = github;
    options.extension.math_code = github;
    options.extension.alerts = true;
    options.extension.description_lists = true;
    options
}

/// What a reader of a comment sees.
#[derive(Debug, Default)]
struct Reading {
    /// Text that the forge looks through for mentions and the like, a line per text.
    text: String,
    /// Text in a fixed width.
    code: Vec<String>,
    /// Raw HTML.
    html: Vec<String>,
    links: Vec<String>,
    /// What must not be there.
    foreign: Vec<String>,
}

fn read(markdown: &str) -> Reading {
    fn walk<'a>(node: &'a AstNode<'a>, reading: &mut Reading) {
        match &node.data.borrow().value {
            NodeValue::Text(text) => reading.text.push_str(text),
            NodeValue::Code(code) => reading.code.push(code.literal.clone()),
            NodeValue::CodeBlock(code) => reading.code.push(code.literal.trim_end().to_owned()),
            NodeValue::HtmlBlock(html) => reading.html.push(html.literal.trim().to_owned()),
            NodeValue::Link(link) => reading.links.push(link.url.clone()),
            NodeValue::Document
            | NodeValue::Paragraph
            | NodeValue::Heading(_)
            | NodeValue::List(_)
            | NodeValue::Item(_)
            | NodeValue::Table(_)
            | NodeValue::TableRow(_)
            | NodeValue::TableCell
            | NodeValue::Strong => {}
            other => reading.foreign.push(format!("{other:?}")),
        }
        // A forge looks at each stretch of text for itself.
        let apart = !matches!(node.data.borrow().value, NodeValue::Text(_));
        reading.text.extend(apart.then_some('\u{1}'));
        for child in node.children() {
            walk(child, reading);
        }
        reading.text.extend(apart.then_some('\n'));
    }
    let arena = Arena::new();
    let mut reading = Reading::default();
    walk(parse_document(&arena, markdown, &options(markdown.ends_with("-->"))), &mut reading);
    reading
}

/// As it was before it was made inert.
fn bare(text: &str) -> String {
    text.replace(JOINER, "")
}

/// What a browser shows of HTML.
fn decoded(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#36;", "$").replace("&amp;", "&")
}

/// What a forge would make of text that Markdown left over.
fn references(text: &str) -> Vec<String> {
    let patterns = [
        r"@[A-Za-z0-9{\[]",
        r"#\d",
        r"!\d",
        r"\b[0-9a-fA-F]{7,}",
        r"[A-Z0-9]-\d",
        r"://",
        r"(?i)www\.",
        r":[a-z0-9_+-]+:",
    ];
    let found = |pattern: &str| {
        let pattern = regex::Regex::new(pattern).expect("a pattern");
        pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect::<Vec<_>>()
    };
    patterns.into_iter().flat_map(found).collect()
}

#[test]
fn a_comment_reads_well_on_both_kinds_of_forge() {
    let blocks = vec![
        Block::Heading { level: 3, line: vec![Piece::Mark(Mark::Bad), Piece::text(" 2 errors")] },
        Block::Paragraph(vec![
            Piece::code(".longboat/deploy.yaml:14"),
            Piece::text(" unknown stage type "),
            Piece::Strong("scirpt".to_owned()),
        ]),
        Block::Code { language: "yaml", text: "14 | type: scirpt\n   |       ^^^^^^".to_owned() },
        Block::Details {
            summary: vec![Piece::code("shop/deploy"), Piece::text(" changes & <grows>")],
            blocks: vec![Block::List(vec![vec![Piece::text("stage deploy: command changed")]])],
        },
        Block::Table {
            head: vec![vec![Piece::text("Stage")], vec![Piece::text("Time")]],
            rows: vec![vec![vec![Piece::code("a|b")], vec![Piece::text("2m 10s | more")]]],
        },
        Block::Paragraph(vec![Piece::Link { text: "everything".to_owned(), page: "/executions/1 (x)".to_owned() }]),
    ];
    insta::assert_snapshot!("on_github", github(blocks.clone()));
    insta::assert_snapshot!("on_bitbucket", bitbucket(blocks));
}

#[test]
fn what_would_notify_somebody_or_lead_somewhere_is_only_text() {
    for hostile in [
        "@acme/team please look, cc @ann",
        "fixes #1, GH-2, acme/shop#3 and !4 for PAY-17",
        "see 1a2b3c4 and da39a3ee5e6b4b0d3255bfef95601890afd80709 or acme/shop@1a2b3c4",
        "https://evil.example www.evil.example mailto:a@b.example x.y@evil.example",
        "[click](https://evil.example) ![x](https://evil.example/x.png) <https://evil.example>",
        "<script>alert(1)</script> <!-- longboat:acme/shop#7 --> </details> &lt;b&gt; &copy;",
        "```\n</details>\n```\n# heading\n- item\n> quote\n---",
        "1. one 2) two **bold** _it_ ~~gone~~ ~gone~ `code` $x$ $`y`$ :tada: [^1] [ ] \\@ann",
        "| a | b |\n|---|---|\n| c | d |",
        "- [x] done",
        "+ plus",
        "=====",
        "# no heading",
        "> [!NOTE]",
        "12) twelve",
        "    indented",
        "a\u{202e}b\u{7}c\u{2028}d",
        "`longboat: acme/shop#7`",
    ] {
        for write in [github, bitbucket] {
            let everywhere = write(vec![
                paragraph(hostile),
                Block::Heading { level: 2, line: vec![Piece::Strong(hostile.to_owned())] },
                Block::List(vec![vec![Piece::text(hostile)], vec![Piece::code(hostile)]]),
                Block::Code { language: "", text: hostile.to_owned() },
                Block::Table {
                    head: vec![vec![Piece::text(hostile)], vec![Piece::code(hostile)]],
                    rows: vec![vec![vec![Piece::code(hostile)], vec![Piece::text(hostile)]]],
                },
                Block::Details { summary: vec![Piece::text(hostile)], blocks: vec![paragraph(hostile)] },
            ]);
            let reading = read(&everywhere);
            assert!(reading.foreign.is_empty() && reading.links.is_empty(), "{hostile}\n{everywhere}\n{reading:#?}");
            let looked_at = format!(
                "{}{}",
                reading.text,
                decoded(&reading.html.join("\n").replace("<!-- longboat:acme/shop#7 -->", ""))
            );
            assert_eq!(references(&looked_at), Vec::<String>::new(), "{everywhere}");
        }
    }
}

#[test]
fn what_is_too_long_is_shortened_then_left_out_and_said() {
    let snippet = |number: usize| Block::Code { language: "yaml", text: format!("line {number}\n").repeat(400) };
    let blocks: Vec<Block> = std::iter::once(paragraph("Failed: 90 errors")).chain((0..90).map(snippet)).collect();
    let text = github(blocks.clone());
    assert!(text.chars().count() <= 65_536 && text.contains("line 89"), "shorter code makes room for all");
    assert!(text.contains("… 340 lines are left out …"), "{text}");
    let text = written(&comment(blocks), GITHUB, 2000);
    assert!(text.starts_with("Failed: 90 errors\n\n```yaml\nline 0\n"), "{text}");
    let end = "more parts had no room in this comment: [see everything](https://cd.example.com/repositories/acme/shop)\n\n<!-- longboat:acme/shop#7 -->";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(read(&text).html, ["<!-- longboat:acme/shop#7 -->"], "no fence is cut open");
}

#[test]
fn what_is_folded_away_is_cut_inside() {
    let inside = (0..50).map(|number| paragraph(&format!("{number} {}", "x".repeat(90)))).collect();
    let details = Block::Details { summary: vec![Piece::text("50 changes")], blocks: inside };
    let text = written(&comment(vec![paragraph("Good"), details, paragraph("last")]), GITHUB, 1500);
    let html = read(&text).html;
    assert_eq!(html, ["<details><summary>50 changes</summary>", "</details>", "<!-- longboat:acme/shop#7 -->"]);
    assert!(text.chars().count() <= 1500 && text.contains("\n\n38 more parts had no room"), "{text}");
}

#[test]
fn what_is_kept_outlives_what_stands_before_it() {
    let starts = Block::Kept(vec![
        Block::Heading { level: 4, line: vec![Piece::text("What the merge starts")] },
        Block::List((0..40).map(|number| vec![Piece::code(format!("shop/deploy-{number}"))]).collect()),
    ]);
    let long = || (0..400).map(|number| paragraph(&format!("{number} {}", "x".repeat(400))));
    let blocks: Vec<Block> = [paragraph("Good")].into_iter().chain(long()).chain([starts, paragraph("last")]).collect();
    for text in [github(blocks.clone()), bitbucket(blocks.clone())] {
        let (before, after) = text.split_once("#### What the merge starts\n\n- `shop/deploy-0`\n").expect("it stays");
        assert!(before.starts_with("Good\n\n0 xxx") && after.contains("`shop/deploy-29`\n- and 10 more\n"), "{after}");
        assert!(after.contains("more parts had no room") && !after.contains("last"), "{after}");
    }
    // What would take more than half of the room has no such right.
    let text = written(&comment(blocks), GITHUB, 1000);
    assert!(text.starts_with("Good\n\n0 xxx") && !text.contains("What the merge starts"), "{text}");
}

/// Text in which what means something comes often.
fn foreign() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "@ann",
        "#12",
        "!3",
        "GH-4",
        "`",
        "```",
        "~~~",
        "<b>",
        "</details>",
        "<!--",
        "-->",
        "&amp;",
        "[x](y)",
        "![",
        "](",
        "http://a.b",
        "www.a.b",
        "a@b.c",
        "deadbeef",
        "1234567",
        "\n",
        "\n\n",
        "    ",
        "\t",
        "|",
        "\\",
        "$",
        "*",
        "**",
        "_",
        "~",
        "# ",
        "- ",
        "1. ",
        "> ",
        "---",
        ":x:",
        "{{",
        "}}",
        "longboat:acme/shop#7",
        "<!-- longboat:acme/shop#7 -->",
        "\u{202e}",
        "\u{7}",
        "ä",
        "🚣",
        " ",
        ":",
        "@",
        "#",
        "[^1]",
        "\"",
        "'",
        "(",
        ")",
    ]);
    let any = "\\PC{0,6}";
    prop::collection::vec(prop_oneof![3 => special.prop_map(str::to_owned), 1 => any], 0..12)
        .prop_map(|parts| parts.concat())
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (foreign(), 0..5).prop_map(|(text, kind)| match kind {
        0 => Piece::Strong(text),
        1 => Piece::Code(text),
        2 => Piece::Mark(Mark::Warning),
        _ => Piece::Text(text),
    });
    prop::collection::vec(piece, 0..4)
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let plain = prop_oneof![
        (1..4_u8, pieces()).prop_map(|(level, line)| Block::Heading { level, line }),
        pieces().prop_map(Block::Paragraph),
        prop::collection::vec(pieces(), 0..4).prop_map(Block::List),
        foreign().prop_map(|text| Block::Code { language: "yaml", text }),
        (prop::collection::vec(pieces(), 1..3), prop::collection::vec(prop::collection::vec(pieces(), 0..3), 0..3))
            .prop_map(|(head, rows)| Block::Table { head, rows }),
    ];
    let nested = plain.prop_recursive(2, 8, 3, |inner| {
        (pieces(), prop::collection::vec(inner, 0..3)).prop_map(|(summary, blocks)| Block::Details { summary, blocks })
    });
    let kept = prop::collection::vec(nested.clone(), 0..3).prop_map(Block::Kept);
    prop::collection::vec(prop_oneof![6 => nested, 1 => kept], 0..8)
}

proptest! {
    #[test]
    fn every_comment_is_short_enough_and_holds_its_marker_once(
        blocks in blocks(), limit in 300..3000_usize, hidden in any::<bool>(),
    ) {
        let forge = if hidden { GITHUB } else { BITBUCKET };
        let comment = comment(blocks);
        let text = written(&comment, forge, limit);
        prop_assert!(text.chars().count() <= limit, "{} > {limit}\n{text}", text.chars().count());
        prop_assert_eq!(text.matches(&marker(&shop(), 7, forge.markup)).count(), 1, "{}", text);
        prop_assert_eq!(&text, &written(&comment, forge, limit));
    }

    #[test]
    fn foreign_text_is_text_wherever_it_stands(text in foreign(), hidden in any::<bool>()) {
        let write = if hidden { github } else { bitbucket };
        let line = || vec![Piece::text(text.clone())];
        let body = write(vec![
            Block::Paragraph(line()),
            Block::Heading { level: 3, line: line() },
            Block::List(vec![line()]),
            Block::Table { head: vec![line()], rows: vec![vec![line()]] },
            Block::Code { language: "yaml", text: text.clone() },
            Block::Details { summary: line(), blocks: vec![Block::Paragraph(line())] },
        ]);
        let reading = read(&body);
        prop_assert!(reading.foreign.is_empty() && reading.links.is_empty(), "{}\n{:#?}", body, reading);
        let ours = ["<details><summary>", "</summary>", "</details>", "<!-- longboat:acme/shop#7 -->"];
        let html = ours.iter().fold(reading.html.join("\n"), |html, ours| html.replace(ours, ""));
        prop_assert!(!html.contains(['<', '>']), "{}", html);
        let html = decoded(&html);
        prop_assert_eq!(references(&format!("{}\n{html}", reading.text)), Vec::<String>::new(), "{}", body);
        // And it says what it said.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let flat = words(&super::inline::flat(&text));
        let seen = words(&bare(&reading.text.replace('\u{1}', "")));
        let times = if flat.is_empty() { 0 } else { seen.matches(&flat).count() + words(&bare(&html)).matches(&flat).count() };
        prop_assert!(flat.is_empty() || times >= 7, "{times} times {flat:?} in {seen:?}, {html:?}\n{body}");
    }

    #[test]
    fn nothing_that_is_written_becomes_more_than_was_meant(blocks in blocks(), hidden in any::<bool>()) {
        let body = (if hidden { github } else { bitbucket })(blocks);
        let reading = read(&body);
        prop_assert!(reading.foreign.is_empty() && reading.links.is_empty(), "{}\n{:#?}", body, reading);
        prop_assert_eq!(references(&reading.text), Vec::<String>::new(), "{}", body);
    }
}
