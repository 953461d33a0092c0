//! The pages over made-up data: what they say, and that nothing from outside becomes markup.

mod pages;
mod pulls;

use std::path::Path;

use serde_json::json;

use super::render::render;
use super::view::{ExecutionPage, Links, LogTail, samples};
use crate::config::Config;
use crate::model::{
    CauseKind, ChildView, ExecutionView, HoldKind, HoldView, Holder, Parent, RestartView, StageView, Status,
};

fn config() -> Config {
    let text =
        "forges: {github: {type: github, webhookSecret: {env: X}}}\nrepositories: [{name: acme/shop, forge: github}]";
    Config::parse(Path::new("/etc/longboat.yaml"), text, |_| Some("secret".to_owned())).expect("legal")
}

fn tail(stage: &StageView) -> LogTail {
    let text = format!("$ make {}\n{}\nok\n", stage.id, samples::HOSTILE);
    LogTail { next: text.len() as u64, text, cut: false }
}

fn page(view: &ExecutionView) -> String {
    let page = ExecutionPage::new(view, Links(&config()), samples::NOW, tail);
    render("execution.html", json!({"page": page, "here": "executions"})).expect("a page")
}

#[test]
fn every_template_can_be_read() {
    for (name, _) in super::assets::TEMPLATES.iter() {
        let error = render(name, json!({})).err().map(|error| error.kind());
        assert_ne!(error, Some(minijinja::ErrorKind::TemplateNotFound), "{name}");
        assert_ne!(error, Some(minijinja::ErrorKind::SyntaxError), "{name}");
    }
}

#[test]
fn an_execution_says_what_a_person_wants_to_know() {
    let html = page(&samples::execution()).replace("&#x2f;", "/");
    for text in [
        "Waiting for approval: approve",
        "1a2b3c4",
        "https://github.com/acme/shop/commit/1a2b3c4d5e",
        "Let the basket survive a restart",
        "pushed by ann",
        "registry.example/shop:1a2b3c4",
        "Ship 1a2b3c4 to production?",
        "<option>eu only</option>",
        ".longboat/deploy.yaml:12",
        "https://github.com/acme/shop/blob/1a2b3c4d5e",
        "data-post=\"/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/stages/approve/judge\"",
        "/log?attempt=1\"",
    ] {
        assert!(html.contains(text), "{text} is not in {html}");
    }
    assert_eq!(html.matches("class=\"box ").count(), 8, "every stage stands in the picture");
    assert!(!html.contains("/restart\""), "what runs can't be restarted");
    let failed = page(&samples::failed()).replace("&#x2f;", "/");
    assert!(!failed.contains("/cancel\""), "what has ended can't be cancelled");
    assert!(failed.contains(&format!("/api/v1/executions/{}/restart\"", samples::failed().id)), "{failed}");
    assert!(failed.contains("Restart from here"));
}

#[test]
fn parents_children_and_restarts_are_linked() {
    let mut view = samples::failed();
    let other = samples::execution();
    view.trigger.parent = Some(Parent {
        execution: other.id,
        stage: other.stages[0].path.clone(),
        application: other.application.clone(),
        pipeline: other.pipeline.clone(),
        root: CauseKind::Git,
        files: Vec::new(),
        awaited_by: Vec::new(),
    });
    view.trigger.kind = CauseKind::Pipeline;
    view.children = vec![ChildView {
        id: other.id,
        application: other.application,
        pipeline: "promote".parse().expect("a name"),
        status: Status::Succeeded,
        stage: view.stages[0].path.clone(),
    }];
    let restart = RestartView {
        by: "bob".to_owned(),
        time: samples::NOW,
        previous_status: Status::Terminal,
        override_freeze: false,
        stages: vec![],
    };
    view.restarts = vec![restart];
    let html = page(&view).replace("&#x2f;", "/");
    let link = format!("href=\"/executions/{}\"", other.id);
    assert_eq!(html.matches(&link).count(), 2, "parent and child: {html}");
    for text in ["shop/promote", "by bob", "started by shop/deploy"] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let html = page(&samples::hostile());
    assert!(html.contains("&lt;script&gt;alert(1)"), "the texts are there");
    for markup in ["<script>alert", "<img", "<b>", "\"'>"] {
        assert!(!html.contains(markup), "{markup}: {html}");
    }
    // Tags that the page makes itself have no handlers: what looks like one is text.
    let tags = html.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
    for tag in tags {
        let outside: String = tag.split('"').step_by(2).collect();
        assert!(!outside.contains("onerror"), "{tag}");
    }
}

#[test]
fn the_templates_leave_the_content_security_policy_nothing_to_refuse() {
    for (name, text) in super::assets::TEMPLATES.iter() {
        for forbidden in [
            "|safe",
            "| safe",
            "autoescape",
            " style=",
            "<style",
            "<script>",
            " onclick",
            " onload",
            "javascript:",
            "//cdn",
            "https://",
            "http://",
        ] {
            assert!(!text.contains(forbidden), "{name} has {forbidden}");
        }
    }
}

#[test]
fn an_execution_that_a_freeze_holds_says_why() {
    let mut view = samples::execution();
    view.status = Status::NotStarted;
    view.stages.clear();
    let mut hold = HoldView {
        kind: HoldKind::Freeze,
        reason: samples::HOSTILE.to_owned(),
        by: Some("ann".to_owned()),
        until: Some(samples::NOW),
        lane: None,
        holders: Vec::new(),
    };
    view.held = Some(hold.clone());
    let html = page(&view);
    assert!(html.contains("It waits because ann froze it: ") && html.contains(" UTC, or when somebody ends"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script>alert"), "{html}");
    assert!(html.contains("pill waiting"), "{html}");
    let other = samples::failed();
    hold.kind = HoldKind::Concurrency;
    hold.reason = "the lock prod-db (1 at once)".to_owned();
    hold.holders = vec![Holder { id: other.id, application: other.application, pipeline: other.pipeline }];
    view.held = Some(hold);
    let html = page(&view).replace("&#x2f;", "/");
    assert!(html.contains("It waits for the lock prod-db (1 at once), and begins when"), "{html}");
    assert!(html.contains(&format!("<a href=\"/executions/{}\">shop/deploy</a>.", other.id)), "{html}");
    view.held = None;
    view.trigger.override_freeze = Some("bob".to_owned());
    assert!(page(&view).contains("goes before freezes, as bob said"));
}
