//! One coded picture to samples.
//!
//! `heifer_hevc_dec` decodes a slice from wherever it says that it begins to wherever it ends, so that a stream of many
//! short slices could ask for the whole picture again with each. Here a slice must begin where the one before has ended:
//! each block is decoded once, and a picture costs its pixels and its bytes.

use std::borrow::Cow;

use heifer_hevc_dec::nal::{NalUnit, split_annex_b};
use heifer_hevc_dec::params::ParameterSets;
use heifer_hevc_dec::recon::{Frame, Reconstructor};
use heifer_hevc_dec::slice::SliceHeader;
use heifer_hevc_dec::syntax::{Picture as State, decode_slice_segment};

use super::super::failure::Failure;
use super::picture::{Picture, Rows};

/// A coded picture is cut at its edges to the size that it is shown in, from whole blocks of at most this many pixels.
const BLOCK: u32 = 64;

/// What the decoder gives.
struct Decoded(Frame);

impl Rows for Decoded {
    fn row(&self, plane: usize, y: usize) -> Cow<'_, [u16]> {
        let width = self.0.widths[plane] as usize;
        Cow::Borrowed(&self.0.planes[plane][y * width..(y + 1) * width])
    }
}

/// Decodes the first picture of a stream (Annex B), which must be of that size.
///
/// # Errors
/// [`Failure::Disproportionate`] for a picture much larger than it is said to be, or one decoded twice over; what the
/// decoder does not read, or finds damaged.
pub(super) fn decode(stream: &[u8], (width, height): (u32, u32)) -> Result<Picture, Failure> {
    let most = u64::from(width.next_multiple_of(BLOCK)) * u64::from(height.next_multiple_of(BLOCK));
    let units: Vec<&[u8]> = split_annex_b(stream).collect();
    let mut sets = ParameterSets::default();
    let mut first_slice = units.len();
    for (at, unit) in units.iter().enumerate() {
        let unit = NalUnit::parse(unit)?;
        if unit.header.unit_type.is_slice() {
            first_slice = at;
            break;
        }
        sets.add(&unit)?;
        // Before anything that goes by the picture's size is read or made.
        for sps in sets.sps.iter().flatten() {
            let (w, h) = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
            if u64::from(w) * u64::from(h) > most {
                return Err(Failure::Disproportionate(format!(
                    "a picture of {w}x{h} pixels in one of {width}x{height}"
                )));
            }
        }
    }
    let mut state: Option<(State<'_>, Reconstructor<'_>)> = None;
    let mut previous: Option<SliceHeader> = None;
    for unit in &units[first_slice..] {
        let unit = NalUnit::parse(unit)?;
        if !unit.header.unit_type.is_slice() {
            continue;
        }
        // The flag is the first bit; the header of a picture after this one may be of a kind that is not read.
        if unit.rbsp.first().is_some_and(|b| b & 0x80 != 0) && state.is_some() {
            break;
        }
        let header = SliceHeader::parse(&unit.rbsp, &unit.header, &sets, previous.as_ref())?;
        let (pps, sps) = sets.get(usize::from(header.slice_pic_parameter_set_id))?;
        let (picture, frame) = state.get_or_insert_with(|| (State::new(sps, pps), Reconstructor::new(sps, pps)));
        let begins = picture.layout.rs_to_ts.get(header.slice_segment_address as usize).copied();
        if begins != Some(picture.decoded_ctbs) {
            return Err(Failure::Disproportionate("parts of its picture coded twice, or out of order".to_string()));
        }
        frame.start_slice(&header);
        let data = unit.rbsp.get(header.header_size..).unwrap_or_default();
        decode_slice_segment(picture, &header, header.slice_qp_y(&sets)?, data, frame)?;
        if let Some(e) = frame.error.take() {
            return Err(e.into());
        }
        if !header.dependent_slice_segment_flag {
            previous = Some(header);
        }
    }
    let (picture, frame) = state.ok_or(Failure::Truncated("there is no picture in it"))?;
    if !picture.is_complete() {
        return Err(Failure::Truncated("the file breaks off before the end of the picture"));
    }
    let sps = picture.sps;
    let (across, down) = sps.chroma_subsampling();
    let [left, _, top, _] = sps.conf_win_offsets;
    let (left, top, shown) = ((left * across) as usize, (top * down) as usize, sps.output_size());
    if shown.0 < width || shown.1 < height {
        return Err(Failure::Truncated("a picture smaller than it is said to be"));
    }
    let frame = frame.finish(false);
    Ok(Picture {
        size: (width, height),
        left,
        top,
        depths: frame.bit_depth,
        subsampling: match frame.chroma_format {
            0 => None,
            1 => Some([1, 1]),
            2 => Some([1, 0]),
            _ => Some([0, 0]),
        },
        // As libheif takes it.
        smooth: false,
        matrix: u16::from(frame.matrix_coeffs),
        full_range: frame.full_range,
        rows: Box::new(Decoded(frame)),
    })
}
