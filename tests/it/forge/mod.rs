//! The forges, against fakes that speak real HTTP.

mod github;
