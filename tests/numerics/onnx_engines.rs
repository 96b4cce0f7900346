//! A stand-in for TensorRT above a device of host memory: engines that run the plan's ONNX file on ONNX Runtime.
#![expect(unsafe_code, reason = "the stand-in of an engine implements an unsafe trait")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use onr_device::{
    Address, Binding, Context, DeviceError, Engine, Engines, Handle, Weights,
    host::{HostDriver, HostMemory},
};
use onr_exporter::{TensorInfo, onnx::OnnxFile};
use onr_graphs::DType;
use onr_onnx::Model;
use onr_runtime::{
    backend::Session,
    tensor::{Feeds, HostTensor},
};

use crate::support::ort;

/// The version that it claims.
pub(crate) const VERSION: &str = "1.2.3";

/// Loads "plans" that hold the path of their ONNX file.
#[derive(Debug)]
pub(crate) struct OnnxEngines(pub(crate) HostDriver);

type Shared = Arc<Mutex<Box<dyn Session + Send>>>;

struct OnnxEngine {
    driver: HostDriver,
    session: Shared,
    bindings: Vec<Binding>,
    shapes: BTreeMap<String, Vec<String>>,
}

struct OnnxContext {
    driver: HostDriver,
    session: Shared,
    bindings: Vec<Binding>,
    shapes: BTreeMap<String, Vec<String>>,
    sizes: BTreeMap<String, usize>,
    fed: BTreeMap<String, Vec<usize>>,
    at: BTreeMap<String, Address>,
}

fn failed(reason: impl ToString) -> DeviceError {
    DeviceError::Engine { reason: reason.to_string() }
}

fn bindings(tensors: &[TensorInfo], input: bool) -> impl Iterator<Item = Binding> {
    tensors.iter().map(move |info| Binding {
        name: info.name.clone(),
        input,
        dtype: DType::from_name(&info.dtype).unwrap(),
        shape: info.shape.iter().map(|axis| axis.parse().ok()).collect(),
    })
}

impl Engines for OnnxEngines {
    fn title(&self) -> String {
        format!("stand-in {VERSION}")
    }

    fn load(&self, plan: &[u8]) -> Result<Arc<dyn Engine>, DeviceError> {
        let refuse = |reason: String| DeviceError::Plan { reason };
        let file = PathBuf::from(String::from_utf8_lossy(plan).into_owned());
        let bytes = fs::read(&file).map_err(|error| refuse(error.to_string()))?;
        let about = OnnxFile::read(&file).map_err(|error| refuse(error.to_string()))?;
        let session = ort().open_bytes(&bytes, file.parent().unwrap(), true);
        let tensors = about.inputs.iter().chain(&about.outputs);
        Ok(Arc::new(OnnxEngine {
            driver: self.0.clone(),
            session: Arc::new(Mutex::new(session.map_err(|error| refuse(error.to_string()))?)),
            bindings: bindings(&about.inputs, true)
                .chain(bindings(&about.outputs, false))
                .collect(),
            shapes: tensors.map(|info| (info.name.clone(), info.shape.clone())).collect(),
        }))
    }

    /// A file beside the plan's with these weights in it.
    fn refit(&self, plan: &[u8], weights: &Weights<'_>) -> Result<Vec<u8>, DeviceError> {
        let refuse = |reason: String| DeviceError::Plan { reason };
        let file = PathBuf::from(String::from_utf8_lossy(plan).into_owned());
        let mut model = Model::open(&file).map_err(|error| refuse(error.to_string()))?;
        model.inline().map_err(|error| refuse(error.to_string()))?;
        for tensor in &mut model.graph_mut().initializer {
            let name = tensor.label().to_owned();
            let given = weights.iter().find(|(given, ..)| *given == name);
            let (_, _, bytes) = given.ok_or_else(|| refuse(format!("it also needs {name}")))?;
            tensor.raw_data = Some(Bytes::copy_from_slice(bytes));
        }
        let fresh = file.with_extension("refitted.onnx");
        fs::write(&fresh, model.encode()).map_err(|error| refuse(error.to_string()))?;
        Ok(fresh.to_str().unwrap().into())
    }
}

impl Engine for OnnxEngine {
    fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    fn profiles(&self) -> usize {
        1
    }

    fn context(&self) -> Result<Box<dyn Context>, DeviceError> {
        Ok(Box::new(OnnxContext {
            driver: self.driver.clone(),
            session: Arc::clone(&self.session),
            bindings: self.bindings.clone(),
            shapes: self.shapes.clone(),
            sizes: BTreeMap::new(),
            fed: BTreeMap::new(),
            at: BTreeMap::new(),
        }))
    }
}

// SAFETY: the driver checks every address.
unsafe impl Context for OnnxContext {
    unsafe fn choose(&mut self, _: usize, _: Handle) -> Result<(), DeviceError> {
        self.fed.clear();
        Ok(())
    }

    fn resize(&mut self, input: &str, shape: &[usize]) -> Result<(), DeviceError> {
        for (axis, size) in self.shapes[input].iter().zip(shape) {
            self.sizes.insert(axis.clone(), *size);
        }
        self.fed.insert(input.to_owned(), shape.to_vec());
        Ok(())
    }

    fn output(&self, name: &str) -> Result<Vec<usize>, DeviceError> {
        let size = |axis: &String| axis.parse().ok().or_else(|| self.sizes.get(axis).copied());
        let shape = self.shapes[name].iter().map(size).collect::<Option<_>>();
        shape.ok_or_else(|| failed(format!("no shape of `{name}`")))
    }

    unsafe fn bind(&mut self, name: &str, at: Address) -> Result<(), DeviceError> {
        self.at.insert(name.to_owned(), at);
        Ok(())
    }

    unsafe fn enqueue(&mut self, stream: Handle) -> Result<(), DeviceError> {
        let (session, bindings, at) =
            (Arc::clone(&self.session), self.bindings.clone(), self.at.clone());
        let fed = self.fed.clone();
        let run = move |memory: &mut HostMemory| {
            let mut feeds = Feeds::new();
            for input in bindings.iter().filter(|b| b.input) {
                let shape = &fed[&input.name];
                let bytes = shape.iter().product::<usize>() * input.dtype.size();
                let elements = memory.read(at[&input.name], bytes)?;
                let tensor = HostTensor::from_le_bytes(input.dtype, shape, elements).unwrap();
                feeds.insert(input.name.clone(), tensor);
            }
            for (name, tensor) in session.lock().unwrap().run(&feeds).map_err(failed)? {
                let bytes = tensor.le_bytes();
                memory.write(at[&name], bytes.len())?.copy_from_slice(&bytes);
            }
            Ok(())
        };
        self.driver.submit(stream, Arc::new(run))
    }
}
