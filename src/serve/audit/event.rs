//! Something that happened, as a line of the log says it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::super::context::{Context, context};
use super::bounds;

/// Something that happened. Never a photo, a template or a key.
#[derive(Debug, Clone, Serialize)]
pub(in super::super) struct Event {
    /// Id of the request.
    pub request: Option<String>,
    /// Id of the key, and what it is for.
    pub key: String,
    pub key_name: String,
    /// What was asked.
    pub action: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gallery: Option<String>,
    /// About whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What came of it.
    pub result: String,
    /// The code of a refusal or a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Number of the line that said that it was begun, where that had a line of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
    #[serde(skip)]
    pub(in super::super) asked_by: Option<Arc<Context>>,
}

impl Event {
    pub(in super::super) fn new(key: &str, key_name: &str, action: impl Into<Cow<'static, str>>) -> Self {
        let asked_by = context();
        Self {
            request: asked_by.as_ref().map(|c| c.id.clone()),
            key: key.to_string(),
            key_name: key_name.to_string(),
            action: action.into(),
            gallery: None,
            person: None,
            result: String::new(),
            code: None,
            begun: None,
            evidence: Value::Null,
            asked_by,
        }
    }

    /// One that no request is answered by.
    pub(in super::super) fn of_itself(key: &str, key_name: &str, action: impl Into<Cow<'static, str>>) -> Self {
        Self { request: None, asked_by: None, ..Self::new(key, key_name, action) }
    }

    /// The event with every text within its bound: what the log writes.
    pub(super) fn bounded(&self) -> Self {
        let text = |t: &Option<String>| t.as_deref().map(bounds::text);
        Self {
            request: text(&self.request),
            key: bounds::text(&self.key),
            key_name: bounds::text(&self.key_name),
            action: bounds::text(&self.action).into(),
            gallery: text(&self.gallery),
            person: text(&self.person),
            result: bounds::text(&self.result),
            code: text(&self.code),
            begun: self.begun,
            evidence: bounds::evidence(&self.evidence),
            asked_by: None,
        }
    }

    /// Tells the request that it is in the log.
    pub(in super::super) fn is_noted(&self) {
        if let Some(request) = &self.asked_by {
            request.is_noted();
        }
    }
}
