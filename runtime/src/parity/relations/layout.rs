//! Answers to a changed batch, brought into the places of the plain one.

use crate::tensor::HostTensor;

/// Where the plain batch's rows, slots and candidates are in another batch.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// For each row, its row there.
    pub(super) rows: Vec<usize>,
    /// Slots of a history; there may be more or fewer there.
    pub(super) slots: usize,
    /// For each candidate, its place there.
    pub(super) candidates: Vec<usize>,
}

/// An output in the plain batch's layout: rows, slots and candidates picked. Slots that are missing become 0.
pub(super) fn align(name: &str, tensor: &HostTensor, layout: &Layout) -> HostTensor {
    let shape = tensor.shape();
    if shape.is_empty() {
        return tensor.clone();
    }
    let rows = tensor.pick(0, &layout.rows);
    match shape.len() {
        4 if name.starts_with("present.") => {
            let slots: Vec<usize> = (0..layout.slots).collect();
            rows.pick(2, &slots)
        }
        3 if name == "scores" || name == "generator_logits" => rows.pick(1, &layout.candidates),
        _ => rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_its_own_axes() {
        let layout = Layout { rows: vec![1, 0], slots: 1, candidates: vec![1] };
        let kv = HostTensor::of(&[2, 1, 2, 1], vec![1.0_f32, 2.0, 3.0, 4.0]);
        let kept = HostTensor::of(&[2, 1, 1, 1], vec![3.0_f32, 1.0]);
        assert_eq!(align("present.0.key", &kv, &layout), kept);
        let scores = HostTensor::of(&[2, 2, 1], vec![1.0_f32, 2.0, 3.0, 4.0]);
        let kept = HostTensor::of(&[2, 1, 1], vec![4.0_f32, 2.0]);
        assert_eq!(align("scores", &scores, &layout), kept);
    }
}
