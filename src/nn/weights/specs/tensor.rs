//! A tensor that an architecture needs: its name and its shape.

/// A tensor that an architecture needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its shape, outermost dimension first; [`TensorSpec::ANY`] where any length will do.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// A length that the file may choose, such as how many directions a trained subspace has.
    pub const ANY: usize = 0;

    /// Whether a tensor of that shape will do.
    pub(in crate::nn::weights) fn admits(&self, shape: &[usize]) -> bool {
        let fits = |(wanted, length): (&usize, &usize)| wanted == length || (*wanted == Self::ANY && *length > 0);
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}

pub(super) fn spec(name: impl Into<String>, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.into(), shape: shape.to_vec() }
}

/// Weight and bias of a layer.
pub(super) fn pair(specs: &mut Vec<TensorSpec>, name: &str, weight: &[usize]) {
    specs.push(spec(format!("{name}.weight"), weight));
    specs.push(spec(format!("{name}.bias"), &weight[..1]));
}
