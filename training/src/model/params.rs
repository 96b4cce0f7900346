//! The weights of a model in training, under their names in the checkpoint.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use onr_graphs::{ModelConfig, model::weights::checkpoint};

/// All weights of a model, by name.
#[derive(Debug, Clone)]
pub struct Params {
    vars: BTreeMap<String, Var>,
}

impl Params {
    /// Weights of the shapes that `cfg` asks for, each from `make(name, shape)`, row-major.
    ///
    /// # Errors
    /// When a tensor has not the number of values of its shape.
    pub fn new(
        cfg: &ModelConfig,
        dtype: DType,
        mut make: impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<Self> {
        let var = |spec: onr_graphs::model::weights::WeightSpec| {
            let values = make(&spec.key, &spec.shape);
            let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?;
            Ok((spec.key, Var::from_tensor(&tensor.to_dtype(dtype)?)?))
        };
        Ok(Self { vars: checkpoint(cfg).into_iter().map(var).collect::<Result<_>>()? })
    }

    /// Names and weights, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The values of one tensor, row-major.
    ///
    /// # Errors
    /// When the model has no such tensor.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        self.get(name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }

    /// Replaces the values of one tensor, row-major.
    ///
    /// # Errors
    /// When the model has no such tensor, or it has another number of values.
    pub fn set(&self, name: &str, values: &[f32]) -> Result<()> {
        let var = self.get(name)?;
        let tensor = Tensor::from_slice(values, var.shape(), var.device())?;
        var.set(&tensor.to_dtype(var.dtype())?)
    }

    /// One tensor.
    pub(crate) fn get(&self, name: &str) -> Result<&Var> {
        match self.vars.get(name) {
            Some(var) => Ok(var),
            None => bail!("the model has no tensor `{name}`"),
        }
    }

    /// The members of a part, e.g. `layers.0`.
    pub(crate) fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope { params: self, prefix: prefix.to_owned() }
    }
}

/// The weights below a name.
pub(crate) struct Scope<'a> {
    params: &'a Params,
    prefix: String,
}

impl<'a> Scope<'a> {
    pub(crate) fn get(&self, name: &str) -> Result<&'a Var> {
        self.params.get(&format!("{}.{name}", self.prefix))
    }

    /// `weight` and `bias` directly below the name.
    pub(crate) fn root(&self) -> Result<(&'a Var, &'a Var)> {
        Ok((self.get("weight")?, self.get("bias")?))
    }

    /// The norm, the linear layer or whatever has `name.weight` and `name.bias`.
    pub(crate) fn pair(&self, name: &str) -> Result<(&'a Var, &'a Var)> {
        Ok((self.get(&format!("{name}.weight"))?, self.get(&format!("{name}.bias"))?))
    }
}
