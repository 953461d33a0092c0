//! Executions that stages look for, out of the store.

use std::sync::Arc;

use async_trait::async_trait;

use crate::diagnostic::nearest;
use crate::engine;
use crate::model::{PipelineName, Status};
use crate::stage::{FoundExecution, PastExecutions, WantedExecution};
use crate::store::{ExecutionFilter, ExecutionSummary, Store};

/// The executions that the store has.
pub(super) struct FromStore(pub(super) Store);

impl FromStore {
    pub(super) fn shared(store: &Store) -> Arc<dyn PastExecutions> {
        Arc::new(Self(store.clone()))
    }

    /// The pipeline that a name or an id means. One that isn't published may have executions all the same.
    async fn pipeline(&self, wanted: &WantedExecution) -> Result<PipelineName, String> {
        let published = self.0.pipelines(Some(&wanted.application)).await.map_err(|error| error.to_string())?;
        let text = &wanted.pipeline;
        let by_name = published.iter().find(|one| one.pipeline.name.as_str() == text);
        if let Some(found) = by_name.or_else(|| published.iter().find(|one| one.pipeline.id.to_string() == *text)) {
            return Ok(found.pipeline.name.clone());
        }
        let name = PipelineName::parse(text).map_err(|error| error.to_string())?;
        if self.newest_with(&name, wanted, None).await?.is_some() {
            return Ok(name);
        }
        let names = published.iter().map(|one| one.pipeline.name.as_str());
        let near = nearest(text, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Err(format!("the application `{}` has no pipeline `{text}`{near}", wanted.application))
    }

    async fn newest_with(
        &self,
        pipeline: &PipelineName,
        wanted: &WantedExecution,
        status: Option<Status>,
    ) -> Result<Option<ExecutionSummary>, String> {
        let filter = ExecutionFilter {
            application: Some(wanted.application.clone()),
            pipeline: Some(pipeline.clone()),
            status,
            // Itself may be the newest one.
            limit: 2,
            ..ExecutionFilter::default()
        };
        let page = self.0.executions(filter).await.map_err(|error| error.to_string())?;
        Ok(page.items.into_iter().find(|one| one.id != wanted.asking))
    }
}

#[async_trait]
impl PastExecutions for FromStore {
    async fn newest(&self, wanted: &WantedExecution) -> Result<Option<FoundExecution>, String> {
        let pipeline = self.pipeline(wanted).await?;
        let mut newest: Option<ExecutionSummary> = None;
        for status in &wanted.statuses {
            let found = self.newest_with(&pipeline, wanted, Some(*status)).await?;
            newest = [newest, found].into_iter().flatten().max_by_key(|one| one.key);
        }
        let Some(newest) = newest else { return Ok(None) };
        let view = engine::stored_view(&self.0, newest.id).await.map_err(|error| error.to_string())?;
        let artifacts = view.map(|view| engine::produced(&view)).unwrap_or_default();
        Ok(Some(FoundExecution { id: newest.id, pipeline, status: newest.status, artifacts }))
    }
}
