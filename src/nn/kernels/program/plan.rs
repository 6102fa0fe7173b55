//! Buffer aliasing: which maps of a program share memory, because they are never alive at the same time.
//!
//! A map is alive from the first step that writes it to the last that reads it, shows it or gives it out. One
//! without a border is written whole before it is read, so it may follow any other without a border, however large.
//! A border has to hold zeros and is never written, so a map with one follows only maps whose borders lie exactly
//! where its own do. Where maps are in f16, the input, which is not, shares its place with none.

use half::f16;

use crate::lanes::Number;
use crate::program::builder::{ProgramBuilder, Slice, Task};
use crate::program::layout::{Border, Layout};

/// The place of each map in a workspace.
pub(crate) struct Plan {
    /// The place of each map.
    pub place_of: Vec<usize>,
    /// F32 whose memory each place takes for one image.
    pub lengths: Vec<usize>,
}

struct Place {
    /// The last step that needs what is there.
    until: usize,
    length: usize,
    /// The border and the strides of whatever is there; `None` where nothing has a border.
    border: Option<(Border, usize, usize)>,
}

/// The plan for maps of these layouts, all but the input in f16 where `f16_maps`; `outputs` are read after the last step.
pub(crate) fn plan(builder: &ProgramBuilder, layouts: &[Layout], outputs: &[Slice], f16_maps: bool) -> Plan {
    let mut alive = vec![(usize::MAX, 0); builder.maps.len()];
    let mut use_at = |slice: Slice, step: usize| {
        let (from, until): &mut (usize, usize) = &mut alive[slice.map.id];
        (*from, *until) = ((*from).min(step), (*until).max(step));
    };
    for (step, tasks) in builder.steps.iter().enumerate() {
        for task in tasks {
            [Some(task.reads()), Some(task.writes()), Task::adds(task)]
                .into_iter()
                .flatten()
                .for_each(|s| use_at(s, step));
        }
    }
    builder.marks.iter().for_each(|&(after, _, slice)| use_at(slice, after));
    outputs.iter().for_each(|&slice| use_at(slice, usize::MAX));
    // The input is written before the first step, at the beginning of the memory.
    alive[0].0 = 0;
    if f16_maps {
        alive[0].1 = usize::MAX;
    }
    let memory = |map: usize| {
        let values = layouts[map].image;
        if f16_maps && map > 0 { values.div_ceil(f16::IN_ONE) } else { values }
    };
    let mut places: Vec<Place> = Vec::new();
    let mut place_of = vec![0; layouts.len()];
    // Maps between fused tasks have no place.
    let mut order: Vec<usize> = (0..layouts.len()).filter(|&map| alive[map] != (usize::MAX, 0)).collect();
    order.sort_by_key(|&map| alive[map].0);
    for map in order {
        let ((from, until), layout) = (alive[map], &layouts[map]);
        let border = layout.has_border().then_some((layout.border, layout.row, layout.image));
        let free = places.iter().enumerate().filter(|(_, p)| p.until < from && p.border == border);
        // The one that has to grow, or is left unused, least.
        let place = match free.min_by_key(|(_, p)| p.length.abs_diff(memory(map))) {
            Some((at, _)) => at,
            None => {
                places.push(Place { until, length: 0, border });
                places.len() - 1
            }
        };
        places[place].until = until;
        places[place].length = places[place].length.max(memory(map));
        place_of[map] = place;
    }
    Plan { place_of, lengths: places.into_iter().map(|p| p.length).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f32::pack::{Activation, ConvWeights, PackedConv};
    use crate::program::layout::layouts;
    use crate::simd::Simd;

    #[test]
    fn maps_share_memory_only_when_they_are_never_alive_together() {
        let (mut builder, input) = ProgramBuilder::new(20, 20, 16);
        let conv = |window: usize| {
            let weights = ConvWeights {
                weight: &vec![0.1; 16 * 16 * window * window],
                outputs: 16,
                inputs: 16,
                window: (window, window),
                bias: &[],
                stride: 1,
                padding: (window / 2, window / 2),
                activation: Activation::None,
            };
            PackedConv::new(&weights, Simd::available()[0])
        };
        let (plain, padded) = (conv(1), conv(3));
        let mut maps = vec![input];
        for (step, conv) in [&plain, &plain, &padded, &padded, &plain, &plain, &plain].into_iter().enumerate() {
            builder.step();
            let from = maps[step];
            let to = builder.map(20, 20, 16);
            builder.conv(conv, from, to, None);
            maps.push(to);
        }
        let layouts = layouts(&builder);
        let plan = plan(&builder, &layouts, &[maps[7].into()], false);
        let of = |n: usize| plan.place_of[maps[n].id];
        // 2 and 3 are read by padded convolutions; 4 to 7 have no border, and take turns.
        assert!(layouts[2].has_border() && layouts[3].has_border() && !layouts[4].has_border());
        assert_ne!(of(2), of(3));
        assert!([of(4), of(5)].iter().all(|p| ![of(2), of(3)].contains(p)));
        assert_eq!((of(4), of(5)), (of(6), of(7)));
        assert!(plan.lengths.len() < maps.len());
        // The last output and what it is made from are alive together.
        assert_ne!(of(6), of(7));

        // In f16: half as much, but for the input, which is f32 and keeps its place.
        let f16 = super::plan(&builder, &layouts, &[maps[7].into()], true);
        assert!(f16.place_of[1..].iter().all(|&place| place != f16.place_of[0]));
        assert_eq!(f16.lengths[f16.place_of[0]], layouts[0].image);
        assert_eq!(f16.lengths[f16.place_of[maps[7].id]], layouts[7].image / 2);
    }
}
