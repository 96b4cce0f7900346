//! Our operators inside tract: numbers to codes, codes to numbers.
//!
//! To tract's optimiser they are closed boxes of one shape: it neither fuses them with products nor moves
//! transposes across them, which an axis would not survive.

use half::f16;
use onr_calibration::fp8;
use onr_onnx::ElemType;
use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTValue as _, OutletId, SpecialOps as _, TValue, TVec, Tensor,
        TractResult, TypedFact, TypedModel, tvec,
    },
    tract_core::{
        internal::{DatumTypeExt as _, EvalContext, StaticName, bail},
        ops::{EvalOp, Op, TypedOp},
    },
    tract_hir::infer::{InferenceResult, InferenceRulesOp, IntoExp as _, Solver, TensorProxy},
};

use super::{
    numbers::{Bounds, dequantize, quantize_f16, quantize_f32},
    params::{Params, tensors},
};

/// What codes stand for. tract holds those of FP8 as `u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    I8,
    U8,
    /// Biases only: nothing is quantized to it.
    I32,
    F8,
}

impl Codes {
    pub(super) const fn of(elem: ElemType) -> Option<Self> {
        Some(match elem {
            // 4-bit constants are unpacked before tract sees them.
            ElemType::Int8 | ElemType::Int4 => Self::I8,
            ElemType::Uint8 | ElemType::Uint4 => Self::U8,
            ElemType::Int32 => Self::I32,
            ElemType::Float8E4M3Fn => Self::F8,
            _ => return None,
        })
    }

    /// The number that stands for it in a prepared node.
    pub(super) const fn attribute(self) -> i64 {
        match self {
            Self::I8 => 0,
            Self::U8 => 1,
            Self::I32 => 2,
            Self::F8 => 3,
        }
    }

    pub(super) fn from_attribute(told: i64) -> Option<Self> {
        [Self::I8, Self::U8, Self::I32, Self::F8].into_iter().find(|c| c.attribute() == told)
    }

    pub(super) const fn is_integer(self) -> bool {
        !matches!(self, Self::F8)
    }

    const fn datum(self) -> DatumType {
        match self {
            Self::I8 => DatumType::I8,
            Self::U8 | Self::F8 => DatumType::U8,
            Self::I32 => DatumType::I32,
        }
    }
}

/// The codes of a node, and the axis that its scales belong to when there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Along {
    pub(super) axis: i64,
    pub(super) codes: Codes,
}

/// One of our operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coding {
    /// Codes of a tensor by its scales; perhaps zero points.
    Quantize(Along),
    /// Numbers of codes by their scales; perhaps zero points.
    Dequantize(Along),
    /// FP8 codes of numbers.
    Encode,
    /// Numbers of FP8 codes.
    Decode(DatumType),
}

impl Coding {
    /// The element type of the result; `scale` is that of the second input.
    fn output(&self, scale: Option<DatumType>) -> TractResult<DatumType> {
        Ok(match (self, scale) {
            (Self::Quantize(along), _) => along.codes.datum(),
            (Self::Dequantize(_), Some(scale)) => scale,
            (Self::Dequantize(_), None) => bail!("has no scale"),
            (Self::Encode, _) => DatumType::U8,
            (Self::Decode(to), _) => *to,
        })
    }

    pub(super) fn compute(&self, inputs: &[&Tensor]) -> TractResult<Tensor> {
        let x = inputs[0];
        match self {
            Self::Quantize(along) => quantize(x, along.codes, &Params::new(along, inputs)?),
            Self::Dequantize(along) => {
                let to = self.output(inputs.get(1).map(|scale| scale.datum_type()))?;
                codes_to_numbers(x, along.codes, to, &Params::new(along, inputs)?)
            }
            Self::Encode => match x.datum_type() {
                DatumType::F32 => each(x, fp8::encode),
                DatumType::F16 => each(x, |x: f16| fp8::encode(x.to_f32())),
                other => bail!("has no FP8 of {other:?}"),
            },
            Self::Decode(DatumType::F32) => each(x, fp8::decode),
            Self::Decode(DatumType::F16) => each(x, |code| f16::from_f32(fp8::decode(code))),
            Self::Decode(other) => bail!("has no {other:?} of FP8"),
        }
    }
}

fn quantize(x: &Tensor, codes: Codes, params: &Params) -> TractResult<Tensor> {
    const I8: Bounds = (-128, 127);
    const U8: Bounds = (0, 255);
    match (x.datum_type(), codes) {
        (DatumType::F32, Codes::I8) => spread(x, params, |x, s, z| quantize_f32(x, s, z, I8) as i8),
        (DatumType::F32, Codes::U8) => spread(x, params, |x, s, z| quantize_f32(x, s, z, U8) as u8),
        (DatumType::F32, Codes::F8) => spread(x, params, |x: f32, s, _| fp8::encode(x / s)),
        (DatumType::F16, Codes::I8) => {
            spread(x, params, |x: f16, s, z| quantize_f16(x.to_f32(), s, z, I8) as i8)
        }
        (DatumType::F16, Codes::U8) => {
            spread(x, params, |x: f16, s, z| quantize_f16(x.to_f32(), s, z, U8) as u8)
        }
        (DatumType::F16, Codes::F8) => {
            spread(x, params, |x: f16, s, _| fp8::encode(x.to_f32() / s))
        }
        (from, to) => bail!("has no {to:?} of {from:?}"),
    }
}

fn codes_to_numbers(
    x: &Tensor,
    codes: Codes,
    to: DatumType,
    params: &Params,
) -> TractResult<Tensor> {
    match codes {
        Codes::I8 => rounded(x, to, params, |q: i8, s, z| dequantize(q.into(), s, z)),
        Codes::U8 => rounded(x, to, params, |q: u8, s, z| dequantize(q.into(), s, z)),
        Codes::I32 => rounded(x, to, params, dequantize),
        Codes::F8 => rounded(x, to, params, |q, s, _| fp8::decode(q) * s),
    }
}

/// The F32 numbers of codes, rounded to the type of their scale.
fn rounded<X: Datum + Copy>(
    x: &Tensor,
    to: DatumType,
    params: &Params,
    number: impl Fn(X, f32, i32) -> f32,
) -> TractResult<Tensor> {
    match to {
        DatumType::F32 => spread(x, params, number),
        DatumType::F16 => spread(x, params, |q, s, z| f16::from_f32(number(q, s, z))),
        other => bail!("has no {other:?} of codes"),
    }
}

fn spread<X: Datum + Copy, Y: Datum + Copy>(
    x: &Tensor,
    params: &Params,
    number: impl Fn(X, f32, i32) -> Y,
) -> TractResult<Tensor> {
    let out = params.map(x.try_as_plain_ram()?.as_slice::<X>()?, number);
    Tensor::from_shape(x.shape(), &out)
}

fn each<X: Datum + Copy, Y: Datum + Copy>(
    x: &Tensor,
    number: impl Fn(X) -> Y,
) -> TractResult<Tensor> {
    let out: Vec<Y> = x.try_as_plain_ram()?.as_slice::<X>()?.iter().map(|x| number(*x)).collect();
    Tensor::from_shape(x.shape(), &out)
}

impl Op for Coding {
    fn name(&self) -> StaticName {
        let name = match self {
            Self::Quantize(_) => "QuantizeLinear",
            Self::Dequantize(_) => "DequantizeLinear",
            Self::Encode | Self::Decode(_) => "Cast",
        };
        name.into()
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        Some(self)
    }
}

impl EvalOp for Coding {
    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec![self.compute(&tensors(&inputs))?.into_tvalue()])
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        Ok(Some(tvec![self.compute(&tensors(&inputs))?.into_tvalue()]))
    }
}

impl TypedOp for Coding {
    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let datum = self.output(inputs.get(1).map(|scale| scale.datum_type))?;
        Ok(tvec![datum.fact(inputs[0].shape.clone())])
    }
}

impl InferenceRulesOp for Coding {
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        solver.equals(&outputs[0].shape, &inputs[0].shape)?;
        match (self, inputs.get(1)) {
            (Self::Dequantize(_), Some(scale)) => {
                solver.equals(&outputs[0].datum_type, &scale.datum_type)
            }
            _ => solver.equals(&outputs[0].datum_type, self.output(None)?.bex()),
        }
    }

    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }

    tract_onnx::tract_hir::to_typed!();
}
