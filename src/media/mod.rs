//! Bytes to pixels and back: decoding, bounding, resizing, warping, drawing, encoding.

mod decode;
mod draw;
mod encode;
mod failure;
#[cfg(any(feature = "heic", feature = "avif"))]
mod heif;
mod jpeg;
mod limits;
mod photo;
mod png;
mod raster;
mod resize;
mod sniff;
mod taken;
mod text;
mod tiff;
mod warp;
mod webp;

pub use draw::{draw_box, draw_disc, draw_line, fill_rect};
pub use encode::{encode_jpeg, encode_jpeg_at, encode_jpeg_like_opencv, encode_png, save, save_like_opencv};
pub use limits::Limits;
pub use photo::Photo;
pub use raster::Raster;
pub use resize::{
    AreaRows, Frame, Region, RowSums, fit_within, resize_area, resize_area_interleaved, resize_bilinear_fixed,
    resize_triangle,
};
pub use sniff::{SNIFFED, Sniffed, sniff};
pub use taken::taken_at;
pub use text::{draw_label, draw_text, label_size, measure};
pub use warp::warp;
