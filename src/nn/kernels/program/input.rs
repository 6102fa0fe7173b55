//! How a program's input is written.

/// Writes row `y` of an image: `(image, y, [columns * channels])`.
pub(crate) type RowFill<'a> = dyn Fn(usize, usize, &mut [f32]) + Sync + 'a;

/// How the input is written: image by image before a run begins, or row by row while it goes on.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Whole(&'a (dyn Fn(usize, &mut InputRows) + Sync)),
    Rows(&'a RowFill<'a>),
}

/// The rows of one input image, to be written.
pub struct InputRows<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) first: usize,
    pub(crate) stride: usize,
    pub(crate) length: usize,
}

impl InputRows<'_> {
    /// Row `y`: `[columns * channels]`.
    pub fn row(&mut self, y: usize) -> &mut [f32] {
        &mut self.values[self.first + y * self.stride..][..self.length]
    }

    /// The whole image, `[rows * columns * channels]`, where its rows follow each other (no convolution
    /// pads the input).
    pub fn whole(&mut self) -> Option<&mut [f32]> {
        (self.stride == self.length).then_some(&mut *self.values)
    }
}
