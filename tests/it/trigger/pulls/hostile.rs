//! Files that mean harm: they end their own process, and the pull request says why. The server and its other
//! repositories go on.

use std::time::{Duration, Instant};

use longboat::model::Review;
use longboat::trigger::ReviewOptions;

use super::FILE;
use super::world::{Pulls, file, reviews};

fn small(options: ReviewOptions) -> ReviewOptions {
    ReviewOptions { memory: 64 * 1024 * 1024, ..options }
}

async fn looked_at(files: &[(&str, &str)], reviews: ReviewOptions) -> (Pulls, Review) {
    let pulls = Pulls::with(|_| {}, |options| options.reviews = reviews).await;
    let (_, review) = pulls.open(7, files).await;
    // The same server looks at the next one as if nothing had happened.
    let (next, good) = pulls.open(8, &[(FILE, &file("noop")), ("README", "x")]).await;
    assert_eq!((good.errors, good.trouble), (0, None));
    assert_eq!(pulls.said(&next.head).await.last().map(String::as_str), Some("Success 1 pipeline valid"));
    (pulls, review)
}

async fn memory_bomb(template: &str) {
    let text = format!("application: shop\n{template}\n");
    let (pulls, review) = looked_at(&[(FILE, &text)], small(reviews())).await;
    assert_eq!(review.trouble.as_deref(), Some("the files need more than 64 MiB to render"), "{review:?}");
    let said = pulls.said(&review.commit).await;
    assert_eq!(said, [""; 0], "it was read with the next one");
}

#[tokio::test]
async fn text_that_doubles_ends_its_own_process() {
    let doubling: String = "{% set x = x ~ x %}".repeat(40);
    memory_bomb(&format!("{{% set x = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' %}}{doubling}\nname: {{{{ x }}}}")).await;
}

#[tokio::test]
async fn a_wide_format_ends_its_own_process() {
    memory_bomb("name: {{ '%0100000000d'|format(1) }}").await;
}

#[tokio::test]
async fn text_that_would_grow_too_far_is_reported_before_it_is_made() {
    let growing: String = "{% set x = x|replace('x', 'xxxxxxxxxxxxxxxx') %}".repeat(10);
    let text = format!("application: shop\n{{% set x = 'x' %}}{growing}\nname: {{{{ x }}}}\n");
    let (_, review) = looked_at(&[(FILE, &text)], small(reviews())).await;
    assert_eq!((review.errors, review.trouble), (1, None), "{:?}", review.findings);
    let finding = &review.findings[0].finding;
    assert_eq!(finding.code, longboat::diagnostic::Code::OutputTooLarge);
    assert_eq!(finding.place.as_ref().map(|place| place.line), Some(2));
}

#[tokio::test]
async fn a_loop_is_ended_by_its_fuel_and_reported_where_it_stands() {
    let text = "application: shop\n{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}\n";
    let (_, review) = looked_at(&[(FILE, text)], reviews()).await;
    assert_eq!((review.errors, review.trouble), (1, None), "{:?}", review.findings);
    assert_eq!(review.findings[0].finding.code.as_str(), "LB0104");
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    // Many files that each use up what they may.
    let text = "application: shop\n{% for a in range(10000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}\n";
    let names: Vec<String> = (0..400).map(|at| format!(".longboat/{at}.yaml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
    let began = Instant::now();
    let options = ReviewOptions { cpu: Duration::from_secs(1), ..reviews() };
    let (_, review) = looked_at(&files, options).await;
    assert_eq!(review.trouble.as_deref(), Some("the files need more than 1.0s to render"));
    let options = ReviewOptions { deadline: Duration::from_millis(300), ..reviews() };
    let pulls = Pulls::with(|_| {}, |trigger| trigger.reviews = options).await;
    let (this, review) = pulls.open(7, &files).await;
    assert!(review.trouble.as_deref().is_some_and(|why| why.starts_with("the files need more than ")), "{review:?}");
    assert_eq!(pulls.said(&this.head).await.len(), 2);
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn yaml_that_grows_or_nests_is_reported() {
    let aliases = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
        let before = format!("*a{}, ", at - 1).repeat(10);
        format!("{text}a{at}: &a{at} [{}]\n", before.trim_end_matches(", "))
    });
    let (_, review) = looked_at(&[(FILE, &aliases)], reviews()).await;
    assert!(review.errors > 0 && review.trouble.is_none(), "{review:?}");
    let nested = format!("application: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let (_, review) = looked_at(&[(FILE, &nested)], reviews()).await;
    assert!(review.errors > 0 || review.trouble.is_some(), "{review:?}");
    let huge = format!("application: shop\nx: [{}]\n", "1, ".repeat(300_000));
    let (_, review) = looked_at(&[(FILE, &huge)], reviews()).await;
    assert!(review.errors > 0 && review.trouble.is_none(), "{review:?}");
}

#[tokio::test]
async fn a_program_that_is_no_longboat_is_our_own_trouble() {
    let pulls = Pulls::with(|_| {}, |options| options.reviews.program = "/bin/false".into()).await;
    let head = pulls.head(7, &[(FILE, &file("noop"))]);
    pulls.tell(&pulls.pull_request(7, &head)).await;
    pulls.idle_later().await;
    let said = pulls.said(&head).await;
    assert!(said.last().expect("something").starts_with("Error Longboat error: "), "{said:?}");
}
