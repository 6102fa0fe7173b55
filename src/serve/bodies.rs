//! Bodies with photos, for the API's description: what [`super::input::Form`] reads, in each form that it takes.
#![expect(dead_code, reason = "only their schemas are used; Form reads the bodies")]

use utoipa::ToSchema;

/// A photo as a part of a form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotoFile {
    /// JPEG, PNG, WebP, BMP, GIF or TIFF.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// A photo as text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotoText {
    /// The photo's bytes in base64; `data:image/jpeg;base64,` before them is passed over.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    file: String,
}

/// Two photos as parts of a form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PairFiles {
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    a: Vec<u8>,
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    b: Vec<u8>,
}

/// Two photos as text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PairTexts {
    /// The photo's bytes in base64.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    a: String,
    /// The photo's bytes in base64.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    b: String,
}

/// Several photos as parts of a form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotoFiles {
    /// Said once for each photo.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 32)]
    file: Vec<Vec<u8>>,
}

/// Several photos as text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotoTexts {
    /// Each photo's bytes in base64.
    #[schema(value_type = Vec<String>, format = Byte, min_items = 1, max_items = 32)]
    files: Vec<String>,
}

/// A photo as a part of a form. Other parts are passed over.
#[derive(ToSchema)]
#[schema(as = compreface::PhotoFile)]
pub(super) struct TheirPhotoFile {
    /// JPEG, PNG, WebP, BMP, GIF or TIFF.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// A photo as text. Other members are passed over.
#[derive(ToSchema)]
#[schema(as = compreface::PhotoText)]
pub(super) struct TheirPhotoText {
    /// The photo's bytes in base64.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    file: String,
}

/// A photo to find a face in, and one to look for it in, as parts of a form.
#[derive(ToSchema)]
#[schema(as = compreface::SourceAndTargetFiles)]
pub(super) struct SourceAndTargetFiles {
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    source_image: Vec<u8>,
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    target_image: Vec<u8>,
}

/// The same as text.
#[derive(ToSchema)]
#[schema(as = compreface::SourceAndTargetTexts)]
pub(super) struct SourceAndTargetTexts {
    /// The photo's bytes in base64.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    source_image: String,
    /// The photo's bytes in base64.
    #[schema(format = Byte, content_encoding = "base64", content_media_type = "application/octet-stream")]
    target_image: String,
}
