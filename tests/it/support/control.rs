//! What goes wrong at a fake forge, and what it remembers of its requests: the same for each of them.
//!
//! A fake hands each request to [`Control::handle`] with the work that it means. Which request meets which fault is
//! said by a test, through the fake: `fake.fail_next(Fault::BreakAfter)`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use longboat::clock::{Clock, Timestamp};
use tokio::sync::{oneshot, watch};

use super::connection::Breaker;

/// How long a test waits for something to happen before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status (500, 502, 401 ...) and has no effect.
    Answer(u16),
    /// The connection breaks before anything happened.
    BreakBefore,
    /// It does its work, and then the connection breaks without an answer.
    BreakAfter,
    /// There is never an answer, and it has no effect.
    HangBefore,
    /// It does its work, and then there is never an answer.
    HangAfter,
    /// It does its work, and the answer is 502, as from a gateway that lost its patience.
    FailAfter,
    /// It waits until [`Control::open_gate`].
    Gate,
    /// It does its work, and the answer waits until [`Control::open_gate`]: late, and out of order.
    GateAfter,
    /// It waits until [`Control::open_gate`], and does its work then even if nobody waits for its answer any more.
    Late,
}

/// How a forge says that there were too many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// 403 with `retry-after`: GitHub's secondary limit.
    RetryAfter,
    /// 403 with `x-ratelimit-remaining: 0` and `x-ratelimit-reset`: GitHub's primary limit.
    Reset,
    /// 429 with `retry-after`.
    TooMany,
    /// 429, and not for how long.
    Silent,
}

/// A limit that is in force.
#[derive(Debug, Clone, Copy)]
pub struct Limited {
    pub limit: Limit,
    pub until: Timestamp,
    /// Whole seconds, and never less than is left.
    pub seconds: u64,
}

/// A request of the API, refused ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// What was answered; none if the connection was broken or the request hangs.
    pub status: Option<u16>,
    pub at: Timestamp,
}

/// A pull request, in the words of a test.
#[derive(Debug, Clone)]
pub struct PullOf<'a> {
    pub title: &'a str,
    /// The full name of the repository that it comes from.
    pub from: &'a str,
    pub branch: &'a str,
    pub head: &'a str,
    pub target: &'a str,
    pub author: &'a str,
}

/// The faults of one fake, and its memory.
#[derive(Debug)]
pub struct Control {
    clock: Clock,
    plan: Mutex<Plan>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Part of the path of those requests that meet faults; without it, all do.
    about: Option<String>,
    /// For the next requests that write, one each.
    next: VecDeque<Fault>,
    /// For every n-th request that writes.
    every: Option<(usize, Fault)>,
    /// For every n-th request of any kind.
    every_call: Option<(usize, Fault)>,
    /// For every request.
    always: Option<Fault>,
    limit: Option<(Limit, Timestamp)>,
    writes: usize,
    calls: usize,
    seen: Vec<Seen>,
    under_way: usize,
    most_under_way: usize,
    /// Who waits at the gate, in the order of arrival.
    gate: Vec<oneshot::Sender<()>>,
    answered: usize,
    /// What is done without anybody to wait for it.
    late: usize,
}

impl Plan {
    fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        if self.about.as_ref().is_some_and(|about| !path.to_ascii_lowercase().contains(about)) {
            return None;
        }
        let due = |number: usize, every: &Option<(usize, Fault)>| {
            every.as_ref().filter(|(n, _)| number.is_multiple_of(*n)).map(|(_, fault)| fault.clone())
        };
        self.calls += 1;
        if let Some(fault) = self.always.clone().or_else(|| due(self.calls, &self.every_call)) {
            return Some(fault);
        }
        if *method == Method::GET {
            return None;
        }
        self.writes += 1;
        self.next.pop_front().or_else(|| due(self.writes, &self.every))
    }
}

/// A request under way.
struct UnderWay(Arc<Control>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.plan().under_way -= 1;
        self.0.note();
    }
}

impl Control {
    /// Nothing goes wrong yet. `clock` gives the times of requests and limits.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, plan: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that somebody may wait for.
    pub fn note(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Only requests whose path has this part meet faults from now on; `None`: all do. Limits are for all.
    pub fn fail_only(&self, about: Option<&str>) {
        self.plan().about = about.map(str::to_ascii_lowercase);
    }

    /// The next request that writes meets this; several are taken in order.
    pub fn fail_next(&self, fault: Fault) {
        self.plan().next.push_back(fault);
    }

    /// Every `n`-th request of any kind from now on meets this, until `None`.
    pub fn fail_calls(&self, every: Option<(usize, Fault)>) {
        let mut plan = self.plan();
        plan.calls = 0;
        plan.every_call = every;
    }

    /// Counts a request that doesn't come, so that the next one meets what the one after it would have met.
    pub fn skip_a_call(&self) {
        self.plan().calls += 1;
    }

    /// Every `n`-th request that writes from now on meets this.
    pub fn fail_every(&self, n: usize, fault: Fault) {
        let mut plan = self.plan();
        plan.writes = 0;
        plan.every = Some((n, fault));
    }

    /// Every request meets this, until `None` says that all is well again.
    pub fn fail_always(&self, fault: Option<Fault>) {
        self.plan().always = fault;
    }

    /// All is well from now on; who waits at the gate still does.
    pub fn heal(&self) {
        let mut plan = self.plan();
        (plan.always, plan.every, plan.every_call, plan.limit) = (None, None, None, None);
        plan.next.clear();
    }

    /// Takes no requests for so long on its clock.
    pub fn limit(&self, limit: Limit, lasts: Duration) {
        self.plan().limit = Some((limit, self.clock.now().plus(lasts)));
    }

    /// The limit that is in force, if there is one.
    pub fn limited(&self) -> Option<Limited> {
        let (limit, until) = self.plan().limit?;
        let left = until.since(self.clock.now()).as_millis().div_ceil(1000);
        let seconds = u64::try_from(left).unwrap_or(u64::MAX);
        (seconds > 0).then_some(Limited { limit, until, seconds })
    }

    /// How many requests wait at the gate.
    pub fn at_gate(&self) -> usize {
        let mut plan = self.plan();
        plan.gate.retain(|waiting| !waiting.is_closed());
        plan.gate.len()
    }

    /// Waits until so many requests wait at the gate.
    pub async fn gate_holds(&self, number: usize) {
        let shown = || format!("{:#?}", self.seen());
        let what = format!("{number} requests wait at the gate");
        self.eventually(&what, || (self.at_gate() == number).then_some(()), shown).await;
    }

    /// Lets those through that wait at the gate now.
    pub fn open_gate(&self) {
        let waiting = std::mem::take(&mut self.plan().gate);
        // Who went away doesn't have to hear it.
        waiting.into_iter().for_each(|one| one.send(()).unwrap_or_default());
    }

    /// Lets those through that wait at the gate now, the last one first, each when the one before has its answer.
    pub async fn open_gate_backwards(&self) {
        let mut waiting = std::mem::take(&mut self.plan().gate);
        while let Some(last) = waiting.pop() {
            let before = self.plan().answered;
            if last.send(()).is_ok() {
                let answered = || (self.plan().answered > before).then_some(());
                self.eventually("the last one is answered", answered, || format!("{:#?}", self.seen())).await;
            }
        }
    }

    /// Every request, in the order in which they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.plan().seen.clone()
    }

    /// How many requests there are that somebody waits for.
    pub fn under_way(&self) -> usize {
        self.plan().under_way
    }

    /// Opens the gate, also for whoever comes to it meanwhile, until everything is done that was late.
    pub async fn at_rest(&self) {
        let done = || {
            self.open_gate();
            (self.plan().late == 0).then_some(())
        };
        self.eventually("what was late is done", done, || format!("{:#?}", self.seen())).await;
    }

    /// How many requests were under way at once, at most.
    pub fn most_under_way(&self) -> usize {
        self.plan().most_under_way
    }

    /// Waits until `check` finds something; it is asked again after each request.
    ///
    /// # Panics
    /// With `what` and what is `shown`, if that takes longer than half a minute.
    pub async fn eventually<T>(&self, what: &str, check: impl Fn() -> Option<T>, shown: impl FnOnce() -> String) -> T {
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = check() {
                    return found;
                }
                changed.changed().await.expect("the fake lives");
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("gave up waiting: {what}\n{}", shown()),
        }
    }

    /// Answers a request by `work`, unless it meets a fault.
    pub async fn handle<W>(self: &Arc<Self>, breaker: &Breaker, method: &Method, uri: &Uri, work: W) -> Response
    where
        W: FnOnce() -> Response + Send + 'static,
    {
        let (index, fault) = self.begin(method, uri);
        let _under_way = UnderWay(Arc::clone(self));
        self.note();
        match fault {
            Some(Fault::HangBefore) => std::future::pending().await,
            Some(Fault::BreakBefore) => return broken(breaker),
            Some(Fault::Answer(status)) => return self.finish(index, failed(status)),
            Some(Fault::Gate) => self.wait_at_gate().await,
            Some(Fault::Late) => {
                let this = Arc::clone(self);
                self.plan().late += 1;
                let late = tokio::spawn(async move {
                    this.wait_at_gate().await;
                    let response = work();
                    this.plan().late -= 1;
                    this.finish(index, response)
                });
                return late.await.expect("the fake works");
            }
            _ => {}
        }
        let response = work();
        self.note();
        match fault {
            Some(Fault::HangAfter) => std::future::pending().await,
            Some(Fault::BreakAfter) => broken(breaker),
            Some(Fault::FailAfter) => self.finish(index, failed(502)),
            Some(Fault::GateAfter) => {
                self.wait_at_gate().await;
                self.finish(index, response)
            }
            _ => self.finish(index, response),
        }
    }

    fn begin(&self, method: &Method, uri: &Uri) -> (usize, Option<Fault>) {
        let at = self.clock.now();
        let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let mut plan = self.plan();
        plan.under_way += 1;
        plan.most_under_way = plan.most_under_way.max(plan.under_way);
        let fault = plan.fault(method, uri.path());
        plan.seen.push(Seen { method: method.to_string(), path, status: None, at });
        (plan.seen.len() - 1, fault)
    }

    async fn wait_at_gate(&self) {
        let (sender, opened) = oneshot::channel();
        self.plan().gate.push(sender);
        self.note();
        opened.await.expect("the gate is opened one day");
    }

    fn finish(&self, index: usize, response: Response) -> Response {
        let mut plan = self.plan();
        plan.answered += 1;
        if let Some(seen) = plan.seen.get_mut(index) {
            seen.status = Some(response.status().as_u16());
        }
        drop(plan);
        self.note();
        response
    }
}

fn failed(status: u16) -> Response {
    (StatusCode::from_u16(status).expect("a status"), "<html>Something went wrong</html>").into_response()
}

fn broken(breaker: &Breaker) -> Response {
    breaker.trip();
    StatusCode::OK.into_response()
}
