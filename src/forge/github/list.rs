//! Lists of the API, page by page, whatever others wrote into their items.
//!
//! A page of 100 pull requests or comments is usually small. Anybody can make it large, though, up to some 400 KB an
//! item; then it is read in smaller pages, which always fit into an answer's limit.

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::answer::read;
use super::client::{Answer, Api, Call};
use crate::forge::ForgeError;

/// How many items a page has: GitHub's maximum.
pub(super) const PAGE: usize = 100;
/// How many items a page has where those are too large; a divisor of [`PAGE`].
const SMALL_PAGE: usize = 10;
/// How many pages are read at most.
const PAGES: usize = 40;

/// A list to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    /// Its address without the page, with at least one parameter: `/repos/acme/shop/pulls?state=open`.
    pub(super) address: &'a str,
    /// What it holds, for messages: `pull requests`.
    pub(super) what: &'a str,
    /// What a token needs to read it.
    pub(super) permission: &'a str,
    /// How many items are read at most.
    pub(super) limit: usize,
}

/// What is known after a list was read.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Whether there are more items than were read.
    pub(super) truncated: bool,
    /// What each page was called (its `ETag`); empty if any page had no name, or was read in parts.
    pub(super) names: Vec<String>,
}

impl List<'_> {
    /// The address of one page, counted from 1.
    pub(super) fn page(&self, size: usize, page: usize) -> String {
        let and = if self.address.contains('?') { '&' } else { '?' };
        format!("{}{and}per_page={size}&page={page}", self.address)
    }
}

impl Api {
    /// Hands each item of a list to `take`.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        list: List<'_>,
        mut take: impl FnMut(T),
    ) -> Result<Whole, ForgeError> {
        let mut whole = Whole::default();
        let (mut taken, mut size, mut all_named) = (0, PAGE, true);
        for _ in 0..PAGES {
            if taken % PAGE == 0 {
                size = PAGE;
            }
            let (answer, read_size) = self.page(list, taken, size).await?;
            size = read_size;
            let path = list.page(size, taken / size + 1);
            let items: Vec<T> = read(&answer, Call::get(&path), &format!("a list of {}", list.what))?;
            match answer.headers.get(http::header::ETAG).and_then(|name| name.to_str().ok()) {
                Some(name) if size == PAGE => whole.names.push(name.to_owned()),
                _ => all_named = false,
            }
            let last = items.len() < size;
            taken += items.len();
            items.into_iter().for_each(&mut take);
            if last || taken >= list.limit {
                whole.truncated = !last;
                break;
            }
            whole.truncated = true;
        }
        if !all_named {
            whole.names.clear();
        }
        Ok(whole)
    }

    /// The page that begins after `taken` items, and how many items it could have.
    async fn page(&self, list: List<'_>, taken: usize, size: usize) -> Result<(Answer, usize), ForgeError> {
        let path = list.page(size, taken / size + 1);
        let call = Call::get(&path);
        let asked = if taken == 0 { self.try_ask(call).await } else { self.try_ask_on(call).await };
        let answer = match asked {
            Ok(answer) => answer,
            Err(trouble) if trouble.too_long && size > SMALL_PAGE => {
                let path = list.page(SMALL_PAGE, taken / SMALL_PAGE + 1);
                return Ok((self.good(Call::get(&path), list).await?, SMALL_PAGE));
            }
            Err(trouble) => return Err(self.trouble(call, trouble)),
        };
        if answer.status == StatusCode::OK {
            Ok((answer, size))
        } else {
            Err(self.refusal(&answer, call, list.permission))
        }
    }

    async fn good(&self, call: Call<'_>, list: List<'_>) -> Result<Answer, ForgeError> {
        let answer = self.ask_on(call).await?;
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(self.refusal(&answer, call, list.permission)) }
    }
}
