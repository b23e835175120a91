//! `/v1/settings`: what an administrator has set for its tenant.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::administration::SettingsAtRevision;
use crate::domain::setting::{
    ALLOW_COUNTRIES, DENY_COUNTRIES, ENDING_STREAMS, SETTINGS, Setting, SettingType, SettingValue, setting,
};
use crate::http::api::Api;
use crate::http::extract::{Body, Caller, ClientAddress, digest, idempotency_key};
use crate::http::response;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::problem::{FieldError, cut};

#[derive(Serialize)]
struct SettingsBody {
    revision: u64,
    settings: Map<String, Value>,
}

/// A setting as it is shown.
#[derive(Serialize)]
struct SettingBody {
    value: Value,
    default: Value,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_items: Option<usize>,
    description: &'static str,
}

impl SettingBody {
    fn of(setting: &Setting, value: &SettingValue) -> Self {
        let (least, most, most_items) = match setting.kind {
            SettingType::Number { least, most } => (Some(least), Some(most), None),
            SettingType::Flag => (None, None, None),
            SettingType::Texts { most, .. } => (None, None, Some(most)),
        };
        let (value, default, kind) = (value.json(), setting.default.json(), setting.kind.as_str());
        Self { value, default, kind, least, most, most_items, description: setting.description }
    }
}

/// `GET /settings`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let settings = api.administration.settings(&caller.principal).await?;
    let is_known = tag_in(&headers, &header::IF_NONE_MATCH).is_ok_and(|tag| tag == Some(settings.revision));
    Ok(if is_known { not_modified(settings.revision) } else { shown(&settings) })
}

/// `PATCH /settings`: merges; `null` puts one back to its default. All or nothing.
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let expected = tag_in(&headers, &header::IF_MATCH)?;
    let key = idempotency_key(&headers)?.map(|key| (key, digest("settings", &body)));
    let values = values(&body)?;
    api.check_lists(&caller, address, &values).await?;
    let by = &caller.principal;
    let is_replay = api.administration.change_settings(by, values, expected, key, caller.arrived).await?;
    Ok(response::replayable(shown(&api.administration.settings(by).await?), is_replay))
}

fn shown(SettingsAtRevision { settings, revision }: &SettingsAtRevision) -> Response {
    let each = SETTINGS.iter().map(|setting| {
        let body = SettingBody::of(setting, settings.value(setting));
        // Texts and numbers: it always serialises.
        (setting.name.to_owned(), serde_json::to_value(body).unwrap_or_default())
    });
    let body = SettingsBody { revision: *revision, settings: each.collect() };
    let mut response = response::json(StatusCode::OK, &body);
    response.headers_mut().insert(header::ETAG, entity_tag(*revision));
    response
}

fn not_modified(revision: u64) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, entity_tag(revision))]).into_response()
}

fn entity_tag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The revision that a header names; none for `*`, which any settings meet.
fn tag_in(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.trim_start_matches("W/").trim_matches('"').parse().ok();
    let unreadable =
        || ApiError::with_detail(Code::Invalid, "If-Match must be * or the entity tag of the settings, such as \"7\"");
    revision.map(Some).ok_or_else(unreadable)
}

impl Api {
    /// Refuses lists of addresses that nobody could judge by, or that would keep their author out.
    async fn check_lists(&self, caller: &Caller, address: IpAddr, values: &ChangedValues) -> Result<(), ApiError> {
        let is_list = |setting: &Setting| ENDING_STREAMS.iter().any(|list| list.name == setting.name);
        if !values.iter().any(|(setting, _)| is_list(setting)) {
            return Ok(());
        }
        let mut after = self.administration.settings(&caller.principal).await?.settings;
        for (setting, value) in values {
            after.set(setting, value.clone());
        }
        for setting in [&ALLOW_COUNTRIES, &DENY_COUNTRIES] {
            if !self.addresses.knows_countries() && !after.texts(setting).is_empty() {
                let detail = "must be empty: this service has no file with the countries of addresses (GEOIP_FILE)";
                return Err(ApiError::invalid(&format!("/{}", setting.name), detail));
            }
        }
        if self.addresses.tenant_denial(&after, address).is_some() {
            return Err(ApiError::invalid("", format!("would keep out {address}, the address you call from")));
        }
        Ok(())
    }
}

type ChangedValues = Vec<(&'static Setting, Option<SettingValue>)>;

/// Every wrong part is told at once.
fn values(body: &Map<String, Value>) -> Result<ChangedValues, ApiError> {
    let (mut values, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in body {
        match read_value(name, value) {
            Ok(read) => values.push(read),
            Err(detail) => wrong.push((format!("/{}", pointer(name)), detail)),
        }
    }
    let mut wrong = wrong.into_iter();
    let Some((first, detail)) = wrong.next() else { return Ok(values) };
    let mut error = ApiError::invalid(first, detail);
    error.0.errors.extend(wrong.map(|(pointer, detail)| FieldError { pointer, detail }));
    Err(error)
}

fn read_value(name: &str, value: &Value) -> Result<(&'static Setting, Option<SettingValue>), String> {
    let Some(setting) = setting(name) else {
        let names = SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>();
        return Err(format!("is not a setting; there are {}", names.join(", ")));
    };
    if value.is_null() {
        return Ok((setting, None));
    }
    setting.read(value).map(|value| (setting, Some(value)))
}

fn pointer(name: &str) -> String {
    cut(name).replace('~', "~0").replace('/', "~1")
}
