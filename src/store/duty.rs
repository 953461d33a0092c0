//! Duties: work that is led by one process, however many share the database.
//!
//! A process that has a duty has it for a *term*. It is told of the begin and the end of its terms ([`Store::duty`]), and
//! does the work through a handle that is bound to the term ([`Store::for_duty`]): each write asks in its own transaction
//! whether the term still holds, so that one that comes late (the process was stopped, and another took over) is refused.
//! A process that is alone with its database has all duties from its start to its end, and nothing is asked.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::Backend;
use super::writer::Tx;
use super::{Store, StoreError};

/// The pause before work that ended by itself is begun again.
const AGAIN: Duration = Duration::from_secs(1);

/// A kind of work that is led by one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Noticing changes, working off the inbox, and starting what is due.
    Triggers,
    /// Sending statuses and comments.
    Reports,
    /// Taking the details of old executions away.
    Retention,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Triggers, Self::Reports, Self::Retention];

    /// Its name, as rows and people have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::Reports => "reports",
            Self::Retention => "retention",
        }
    }

    /// The duty of that name; none if this version has no such duty.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.as_str() == name)
    }

    const fn index(self) -> usize {
        match self {
            Self::Triggers => 0,
            Self::Reports => 1,
            Self::Retention => 2,
        }
    }
}

/// One time that a process has a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term {
    duty: Duty,
    /// How often the duty has changed hands; 0: the process is alone.
    epoch: i64,
}

impl Term {
    /// The term of a process that is alone with its database.
    pub const fn alone(duty: Duty) -> Self {
        Self { duty, epoch: 0 }
    }

    /// The term of one of several processes, by its number in the database.
    pub const fn shared(duty: Duty, epoch: i64) -> Self {
        Self { duty, epoch }
    }

    /// Of which duty.
    pub const fn duty(self) -> Duty {
        self.duty
    }

    /// Whether another process may have had the duty before, or have it next.
    pub const fn is_shared(self) -> bool {
        self.epoch != 0
    }
}

/// The terms of a duty as they begin and end; none: this process doesn't have it.
pub type Terms = watch::Receiver<Option<Term>>;

/// What this process has.
#[derive(Debug)]
pub(super) struct Duties([watch::Sender<Option<Term>>; 3]);

impl Duties {
    /// Of a process that is alone.
    pub(super) fn alone() -> Self {
        Self(Duty::ALL.map(|duty| watch::Sender::new(Some(Term::alone(duty)))))
    }

    /// Of a process that shares its database, and has none yet.
    pub(super) fn none() -> Self {
        Self(Duty::ALL.map(|_| watch::Sender::new(None)))
    }

    /// Begins or ends a term.
    pub(super) fn set(&self, duty: Duty, term: Option<Term>) {
        if let Some(known) = self.of(duty) {
            known.send_if_modified(|now| std::mem::replace(now, term) != term);
        }
    }

    /// Whether a term holds, as far as this process knows; one that is alone leaves it to the transactions.
    fn is_in_force(&self, term: Term) -> bool {
        let now = self.of(term.duty).and_then(|now| *now.borrow());
        now == Some(term) || now == Some(Term::alone(term.duty))
    }

    fn of(&self, duty: Duty) -> Option<&watch::Sender<Option<Term>>> {
        self.0.get(duty.index())
    }
}

impl Store {
    /// The terms of a duty, for whoever does the work: see [`while_on_duty`].
    pub fn duty(&self, duty: Duty) -> Terms {
        // There is one for each; a closed channel says that the duty is nobody's.
        self.inner.lease.duties().of(duty).map_or_else(|| watch::channel(None).1, watch::Sender::subscribe)
    }

    /// Whether this process has a duty at this moment.
    pub fn is_on_duty(&self, duty: Duty) -> bool {
        let lease = &self.inner.lease;
        lease.holds() && lease.duties().of(duty).is_some_and(|term| term.borrow().is_some())
    }

    /// Whether what is done through this handle may still be done: the term that it is bound to holds, as far as this
    /// process knows. To be asked right before something is done elsewhere, where no transaction can refuse it.
    pub fn may_act(&self) -> bool {
        let lease = &self.inner.lease;
        self.term.is_none_or(|term| lease.holds() && lease.duties().is_in_force(term))
    }

    /// A handle that is bound to a term: once that is over, its writes are refused with [`StoreError::Fenced`].
    #[must_use]
    pub fn for_duty(&self, term: Term) -> Self {
        Self { term: term.is_shared().then_some(term), ..self.clone() }
    }
}

/// Refuses a write of a term that is over. Whoever takes the duty waits for the transaction that relies on the answer.
pub(super) async fn hold(tx: &mut Tx, term: Term) -> Result<(), StoreError> {
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT epoch FROM duty WHERE duty = $1 AND epoch = $2",
        Backend::Postgres => "SELECT epoch FROM duty WHERE duty = $1 AND epoch = $2 FOR SHARE",
    };
    let row = sqlx::query(sql).bind(term.duty.as_str()).bind(term.epoch).fetch_optional(&mut tx.connection).await?;
    row.map(|_| ()).ok_or(StoreError::Fenced)
}

/// Does the work of a duty whenever this process has it, until `stop`. When a term ends, the work is dropped where it
/// stands; with the next one it begins anew. At a stop it is told by the same token, and is waited for.
pub async fn while_on_duty<W: Future<Output = ()>>(
    mut terms: Terms,
    stop: CancellationToken,
    mut begin: impl FnMut(Term) -> W,
) {
    while let Some(term) = next(&mut terms, &stop).await {
        let again = tokio::select! {
            () = begin(term) => true,
            () = over(&mut terms, term) => false,
        };
        if stop.is_cancelled() {
            return;
        }
        if !again {
            tracing::info!(duty = term.duty.as_str(), "this process does not have the duty any more");
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// The term that holds, or the next one; none: it's time to stop, or the store is gone.
async fn next(terms: &mut Terms, stop: &CancellationToken) -> Option<Term> {
    let begun = async { terms.wait_for(Option::is_some).await.ok().and_then(|term| *term) };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        begun = begun => begun,
    }
}

/// Returns when a term is over.
async fn over(terms: &mut Terms, term: Term) {
    // An error says that the store is gone, which ends it as well.
    let _ = terms.wait_for(|now| *now != Some(term)).await.is_ok();
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Says when it is begun and when it is dropped.
    struct Told(Arc<Mutex<Vec<String>>>, i64);

    impl Told {
        fn new(said: &Arc<Mutex<Vec<String>>>, term: Term) -> Self {
            said.lock().expect("whole").push(format!("begin {}", term.epoch));
            Self(said.clone(), term.epoch)
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.lock().expect("whole").push(format!("end {}", self.1));
        }
    }

    #[tokio::test]
    async fn work_begins_with_each_term_and_is_dropped_with_it() {
        let (duty, terms) = watch::channel(None);
        let (stop, said) = (CancellationToken::new(), Arc::default());
        let (stopping, telling) = (stop.clone(), Arc::clone(&said));
        let work = tokio::spawn(while_on_duty(terms, stop.clone(), move |term| {
            let (stopping, told) = (stopping.clone(), Told::new(&telling, term));
            async move {
                stopping.cancelled().await;
                drop(told);
            }
        }));
        let until = async |what: &[&str]| {
            while said.lock().expect("whole").as_slice() != what {
                tokio::task::yield_now().await;
            }
        };
        duty.send_replace(Some(Term::shared(Duty::Reports, 1)));
        until(&["begin 1"]).await;
        // Lost, and got again before anybody looked.
        duty.send_replace(None);
        duty.send_replace(Some(Term::shared(Duty::Reports, 3)));
        until(&["begin 1", "end 1", "begin 3"]).await;
        duty.send_replace(None);
        until(&["begin 1", "end 1", "begin 3", "end 3"]).await;
        stop.cancel();
        work.await.expect("it ends");
    }

    #[test]
    fn duties_have_their_names() {
        for duty in Duty::ALL {
            assert_eq!(Duty::of_name(duty.as_str()), Some(duty));
        }
        assert_eq!(Duty::of_name("cooking"), None);
    }
}
