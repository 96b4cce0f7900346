//! tract: the reference on the CPU, in pure Rust.
//!
//! tract optimises graphs with symbolic sizes into plans that fail, so a session keeps the parsed
//! graph and makes one plan for each set of input shapes that it meets. Plans share their constants.
//!
//! Quantization is our own, in [`quant`]: tract computes it in another way than the other engines, and
//! has no FP8. Not here: BF16, which it does not have either. Run it on the graph before such a pass.

mod constants;
mod convert;
mod model;
mod plans;
mod quant;

use std::{
    any::Any,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tract_onnx::prelude::{
    InferenceFact, InferenceModelExt, TValue, TVec, TractResult, TypedSimplePlan,
};

use self::{constants::Constants, model::Parsed, plans::Plans};
use super::signature::Input;
use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    tensor::{Feeds, HostTensor},
};

const NAME: &str = "tract";
/// tract tells its version to nobody; the manifest of the workspace pins this one.
const VERSION: &str = "tract 0.23.9";
const DEFAULT_PLANS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// tract, as a [`Backend`]. Always available where it is compiled in. Its sessions share equal
/// constants, so the item table of a model's graphs is in memory once.
#[derive(Debug, Clone)]
pub struct TractBackend {
    plans: NonZeroUsize,
    constants: Arc<Mutex<Constants>>,
}

impl TractBackend {
    /// Keeps 16 plans a session.
    #[must_use]
    pub fn new() -> Self {
        Self { plans: DEFAULT_PLANS, constants: Arc::default() }
    }

    /// Keeps `plans` plans a session, the least recently used ones go first.
    #[must_use]
    pub fn with_plans(self, plans: NonZeroUsize) -> Self {
        Self { plans, ..self }
    }
}

impl TractBackend {
    fn session(&self, model: &Path) -> Result<TractSession, RunError> {
        let refused = |reason| RunError::Load { backend: NAME, model: model.to_owned(), reason };
        let mut parsed = model::parse(model)?;
        let constants = Arc::clone(&self.constants);
        guarded(|| lock(&constants).adopt(&mut parsed.model)).map_err(refused)?;
        Ok(TractSession { parsed, constants, plans: Plans::new(self.plans) })
    }
}

impl Default for TractBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for TractBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn availability(&self) -> Availability {
        Availability::Ready { version: VERSION.to_owned(), library: None }
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        Ok(Box::new(self.session(model)?))
    }
}

/// A parsed graph and the plans made of it so far.
struct TractSession {
    parsed: Parsed,
    constants: Arc<Mutex<Constants>>,
    plans: Plans,
}

/// A panic elsewhere leaves nothing half-done that matters: entries are only added.
fn lock(constants: &Mutex<Constants>) -> std::sync::MutexGuard<'_, Constants> {
    constants.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session for TractSession {
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError> {
        let Self { parsed, constants, plans } = self;
        let inputs = parsed.signature.arrange(feeds)?;
        let shapes = inputs.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect();
        let failed = |reason| RunError::Run { backend: NAME, reason };
        let plan = plans
            .get_or_make(shapes, || guarded(|| make_plan(parsed, constants, &inputs)))
            .map_err(failed)?;
        let outputs = guarded(|| evaluate(&plan, &inputs)).map_err(failed)?;
        let named = parsed.outputs.iter().zip(outputs);
        named
            .map(|(output, value)| {
                let name = &output.name;
                let tensor = convert::from_tract(&value, output.is_f8)
                    .map_err(|reason| failed(format!("output `{name}` {reason}")))?;
                Ok((name.clone(), tensor))
            })
            .collect()
    }

    fn placement(&self) -> Placement {
        Placement { device: "cpu".to_owned(), fallback_nodes: 0 }
    }
}

/// The graph with every size known, optimised.
fn make_plan(
    parsed: &Parsed,
    constants: &Mutex<Constants>,
    inputs: &[(&Input, &HostTensor)],
) -> TractResult<Arc<TypedSimplePlan>> {
    let mut model = parsed.model.clone();
    for (at, (input, tensor)) in inputs.iter().enumerate() {
        let fact = InferenceFact::dt_shape(convert::datum_type(input.dtype)?, tensor.shape());
        model.set_input_fact(at, fact)?;
    }
    let mut model = model.into_optimized()?;
    lock(constants).share(&mut model)?;
    TypedSimplePlan::new(model)
}

fn evaluate(
    plan: &Arc<TypedSimplePlan>,
    inputs: &[(&Input, &HostTensor)],
) -> TractResult<TVec<TValue>> {
    let values: TractResult<_> =
        inputs.iter().map(|(_, tensor)| convert::to_tract(tensor)).collect();
    plan.run(values?)
}

/// Runs tract, which panics where it should refuse, and turns both into its words.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(payload) => Err(format!("panic: {}", panic_text(payload.as_ref()))),
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests;
