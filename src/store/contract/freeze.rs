//! Freezes.

use std::time::Duration;

use super::Fixture;
use super::sample::application;
use crate::clock::Timestamp;
use crate::model::{ApplicationName, Freeze};

fn freeze(of: Option<&str>, reason: &str, until: Option<Timestamp>) -> Freeze {
    let since = Timestamp::from_millis(1_700_000_000_000);
    Freeze { application: of.map(application), reason: reason.to_owned(), by: "ann".to_owned(), since, until }
}

pub(super) async fn one_of_each_is_in_force_and_survives(fixture: Fixture) {
    assert!(ApplicationName::parse("*").is_err(), "what stands for everything is no application");
    let store = fixture.open().await;
    assert_eq!(store.freezes().await.expect("read"), []);
    store.freeze(freeze(Some("shop"), "first", None)).await.expect("frozen");
    store.freeze(freeze(None, "release week", None)).await.expect("frozen");
    store.freeze(freeze(Some("shop"), "grün 'n' \"blau\"", None)).await.expect("frozen");
    store.freeze(freeze(Some("bank"), "audit", None)).await.expect("frozen");
    store.close().await;
    let store = fixture.open().await;
    let all = [
        freeze(None, "release week", None),
        freeze(Some("bank"), "audit", None),
        freeze(Some("shop"), "grün 'n' \"blau\"", None),
    ];
    assert_eq!(store.freezes().await.expect("read"), all);
    assert!(store.thaw(Some(&application("shop"))).await.expect("thawed"));
    assert!(!store.thaw(Some(&application("shop"))).await.expect("there is none"));
    assert!(store.thaw(None).await.expect("thawed"));
    assert_eq!(store.freezes().await.expect("read"), all[1..2]);
}

pub(super) async fn one_that_has_run_out_is_none(fixture: Fixture) {
    let store = fixture.open().await;
    let end = fixture.clock.now().plus(Duration::from_secs(10));
    store.freeze(freeze(Some("shop"), "lunch", Some(end))).await.expect("frozen");
    store.freeze(freeze(None, "nap", Some(end))).await.expect("frozen");
    fixture.clock.advance(Duration::from_millis(9_999));
    assert_eq!(store.freezes().await.expect("read").len(), 2);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(store.freezes().await.expect("read"), []);
    assert!(!store.thaw(None).await.expect("it was over"));
    store.freeze(freeze(Some("shop"), "again", None)).await.expect("frozen");
    assert_eq!(store.freezes().await.expect("read"), [freeze(Some("shop"), "again", None)]);
}
