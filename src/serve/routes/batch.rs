//! Several photos in one request: each is answered, or refused, by itself, and has its own line in the audit log.

use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::input::Upload;
use crate::serve::problem::Problem;
use crate::serve::state::Service;

/// What came of one photo of a batch: an answer, or a problem.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchItem<T> {
    /// What the photo was called.
    photo: String,
    /// As the call for one photo answers; not there where this one was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<T>,
    /// Why it was refused; not there where it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// What came of each photo, in the order in which they were sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Batch<T> {
    items: Vec<BatchItem<T>>,
}

impl<T> Batch<T> {
    /// Does `work` for each photo; never for more at once than there are threads for, so that a batch leaves
    /// others their places in the queue.
    pub(super) async fn of<F>(service: &Service, photos: Vec<Upload>, work: impl Fn(Upload) -> F) -> Self
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let each = photos.into_iter().map(|photo| {
            let (name, done) = (photo.name.clone(), work(photo));
            async {
                match done.await {
                    Ok(answer) => BatchItem { photo: name, answer: Some(answer), problem: None },
                    Err(problem) => BatchItem { photo: name, answer: None, problem: Some(problem) },
                }
            }
        });
        Self { items: stream::iter(each).buffered(service.limits().workers).collect().await }
    }
}
