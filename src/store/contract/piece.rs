//! Logs and saved files in the database.

use super::Fixture;
use crate::model::ExecutionId;
use crate::store::{PieceKind, PieceName, Store};

fn at(execution: ExecutionId, shelf: &str, name: &str) -> PieceName {
    PieceName { kind: PieceKind::Log, execution, shelf: shelf.to_owned(), name: name.to_owned() }
}

async fn put(store: &Store, execution: ExecutionId, shelf: &str, name: &str, bytes: &[u8]) {
    store.put_piece(at(execution, shelf, name), bytes.to_vec()).await.expect("written");
}

pub(super) async fn a_piece_is_replaced_as_a_whole_and_listed_in_order(fixture: Fixture) {
    let store = fixture.open().await;
    let id = ExecutionId::generate();
    assert_eq!(store.piece(&at(id, "build.1", "0")).await.expect("reads"), None);
    put(&store, id, "build.1", "00000001", b"b").await;
    put(&store, id, "build.1", "00000000", b"a\0\xff").await;
    put(&store, id, "build.1", "00000001", b"b and more").await;
    put(&store, id, "build.2", "00000000", b"other").await;
    let listed = store.pieces(PieceKind::Log, id, "build.1").await.expect("reads");
    assert_eq!(listed, [("00000000".to_owned(), 3), ("00000001".to_owned(), 10)]);
    store.close().await;

    let store = fixture.open().await;
    assert_eq!(store.piece(&at(id, "build.1", "00000000")).await.expect("reads"), Some(b"a\0\xff".to_vec()));
    assert_eq!(store.piece(&at(id, "build.1", "00000001")).await.expect("reads"), Some(b"b and more".to_vec()));
    let file = PieceName { kind: PieceKind::File, ..at(id, "build.1", "00000000") };
    assert_eq!(store.piece(&file).await.expect("reads"), None, "files stand elsewhere");
}

pub(super) async fn what_belongs_to_an_execution_goes_in_steps(fixture: Fixture) {
    let store = fixture.open().await;
    let (one, other) = (ExecutionId::generate(), ExecutionId::generate());
    for number in 0..70 {
        put(&store, one, "build.1", &format!("{number:08}"), b"x").await;
    }
    put(&store, one, "test.1", "00000000", b"x").await;
    put(&store, other, "build.1", "00000000", b"x").await;
    let mut both = [one, other];
    both.sort_by_key(ToString::to_string);
    assert_eq!(store.piece_executions(PieceKind::Log, None).await.expect("reads"), both);
    assert_eq!(store.piece_executions(PieceKind::Log, Some(both[0])).await.expect("reads"), both[1..]);
    assert_eq!(store.piece_executions(PieceKind::File, None).await.expect("reads"), []);

    store.remove_pieces(PieceKind::File, one).await.expect("there are none");
    assert_eq!(store.pieces(PieceKind::Log, one, "build.1").await.expect("reads").len(), 70);
    store.remove_pieces(PieceKind::Log, one).await.expect("removed");
    assert_eq!(store.piece_executions(PieceKind::Log, None).await.expect("reads"), [other]);
}
