//! Parameters and operations of each layer, counted as the FaceNet paper's tables count them: a multiplication and its
//! addition are one operation, biases are counted, and pooling, norms and activations are free.

use serde::Serialize;

use super::layer::{Layer, Network, Node, Shape};

/// What a layer costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// Its name.
    pub name: String,
    /// Channels, rows and columns that it makes.
    pub output: (usize, usize, usize),
    /// Learnt parameters, without running statistics.
    pub parameters: u64,
    /// Multiplications with their additions, for one face.
    pub operations: u64,
}

impl Network {
    /// The costs of the layers that have any, or that change the map's size, in order.
    pub fn costs(&self) -> Vec<LayerCost> {
        let mut shape = self.input;
        let mut costs: Vec<LayerCost> = Vec::new();
        for node in &self.nodes {
            let (parameters, operations) = cost(node, shape);
            let output = node.layer.output(shape);
            let silent = matches!(node.layer, Layer::Relu | Layer::PRelu | Layer::BatchNorm { .. });
            match costs.last_mut().filter(|_| silent) {
                // Norms and slopes belong to the convolution before them.
                Some(before) => {
                    before.parameters += parameters;
                    before.operations += operations;
                }
                None => costs.push(LayerCost {
                    name: node.name.clone(),
                    output: (output.channels, output.rows, output.columns),
                    parameters,
                    operations,
                }),
            }
            shape = output;
        }
        costs
    }

    /// Learnt parameters.
    pub fn parameters(&self) -> u64 {
        self.costs().iter().map(|c| c.parameters).sum()
    }

    /// Multiplications with their additions, for one face.
    pub fn operations(&self) -> u64 {
        self.costs().iter().map(|c| c.operations).sum()
    }
}

fn cost(node: &Node, shape: Shape) -> (u64, u64) {
    let inside = |nodes: &[Node]| {
        nodes.iter().fold((0, 0, shape), |(p, o, shape), node| {
            let (parameters, operations) = cost(node, shape);
            (p + parameters, o + operations, node.layer.output(shape))
        })
    };
    match &node.layer {
        Layer::Branches(branches) => branches.iter().fold((0, 0), |(p, o), branch| {
            let (parameters, operations, _) = inside(branch);
            (p + parameters, o + operations)
        }),
        Layer::Residual { inner: nodes, .. } => {
            let (parameters, operations, _) = inside(nodes);
            (parameters, operations)
        }
        layer => {
            let learnt = layer.tensors(shape).into_iter().filter(|(part, _)| !part.starts_with("running"));
            let parameters: u64 = learnt.map(|(_, dims)| dims.iter().product::<usize>() as u64).sum();
            let output = layer.output(shape);
            let pixels = match layer {
                Layer::Conv { .. } | Layer::Linear { .. } | Layer::Maxout { .. } => output.rows * output.columns,
                _ => 0,
            };
            (parameters, parameters * pixels as u64)
        }
    }
}
