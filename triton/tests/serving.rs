//! The client against a real `tritonserver`: what it says, and that HTTP and gRPC say the same.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{BOTH, Place, TYPES};
use half::{bf16, f16};
use onr_kserve::{
    Cancel, ClientOptions, Datatype, InferRequest, KserveError, Tensor, Transport, VersionPolicy,
};

/// `rows x 3` elements of a type, each byte another, BOOL and strings as they must be.
fn tensor(name: &str, rows: usize) -> Tensor {
    let datatype: Datatype = format!("TYPE_{name}").parse().unwrap();
    let (count, name) = (rows * 3, format!("x_{name}"));
    match datatype.size() {
        None => {
            let strings: Vec<_> = (0..count).map(|i| "é\0".repeat(i % 4)).collect();
            Tensor::of_strings(name, [rows, 3], &strings).unwrap()
        }
        Some(size) => {
            let top = if datatype == Datatype::Bool { 2 } else { 256 };
            let bytes = (0..count * size).map(|i| (i * 7 % top) as u8).collect::<Vec<_>>();
            Tensor::new(name, datatype, [rows, 3], bytes).unwrap()
        }
    }
}

#[test]
fn every_type_and_batch_returns_as_it_was_sent() {
    let place = Place::new(&[common::identity]);
    for transport in BOTH {
        let client = place.client(transport);
        for rows in 1..=32 {
            let inputs: Vec<_> = TYPES.iter().map(|name| tensor(name, rows)).collect();
            let answer = client.infer(&InferRequest::new("identity", inputs.clone())).unwrap();
            assert_eq!((answer.model.as_str(), answer.version.as_str()), ("identity", "1"));
            for input in &inputs {
                let name = input.name().replace("x_", "y_");
                let output = answer.output(&name).unwrap();
                assert_eq!(output.shape(), input.shape(), "{transport:?} {name}");
                assert_eq!(output.datatype(), input.datatype(), "{transport:?} {name}");
                assert_eq!(output.bytes(), input.bytes(), "{transport:?} {name}");
            }
        }
    }
}

/// NaN with its bits, infinities, subnormals, minus zero, and no elements at all.
#[test]
fn odd_numbers_are_numbers() {
    let place = Place::new(&[common::identity]);
    let f32s = [0x7fc1_2345_u32, 0xff80_0000, 1, 0x8000_0000, 0x7f7f_ffff];
    let f16s = [f16::NAN, f16::INFINITY, f16::MIN_POSITIVE_SUBNORMAL, f16::NEG_ZERO, f16::MAX];
    let f16s: Vec<u8> = f16s.iter().flat_map(|x| x.to_le_bytes()).collect();
    let inputs = [
        Tensor::of("x_FP32", [1, 5], &f32s.map(f32::from_bits)).unwrap(),
        Tensor::new("x_FP16", Datatype::Fp16, [1, 5], f16s).unwrap(),
        Tensor::of("x_INT64", [1, 2], &[i64::MIN, i64::MAX]).unwrap(),
        Tensor::of::<f64>("x_FP64", [1, 0], &[]).unwrap(),
    ];
    for transport in BOTH {
        let client = place.client(transport);
        let request = InferRequest::new("identity", inputs.clone()).id("odd");
        let answer = client.infer(&request).unwrap();
        assert_eq!(answer.id, "odd");
        assert_eq!(answer.outputs.len(), 4);
        for input in &inputs {
            let output = answer.output(&input.name().replace("x_", "y_")).unwrap();
            assert_eq!((output.shape(), output.bytes()), (input.shape(), input.bytes()));
        }
        let some = client.infer(&request.outputs(["y_INT64"])).unwrap();
        assert_eq!(some.outputs.len(), 1);
        assert_eq!(some.outputs[0].to_vec::<i64>(), Some(vec![i64::MIN, i64::MAX]));
    }
}

#[test]
fn ensembles_scalars_and_the_packages_of_python_models() {
    let place = Place::new(&[common::chain, common::scalar, common::packages]);
    for transport in BOTH {
        let client = place.client(transport);
        for rows in 1..=32_usize {
            let x: Vec<f32> = (0..rows * 5).map(|i| i as f32 / 7.0).collect();
            let x_tensor = Tensor::of("x", [rows, 5], &x).unwrap();
            let y = client.infer(&InferRequest::new("chain", [x_tensor])).unwrap();
            let want: Vec<f32> = x.iter().map(|x| x * 2.0 + 1.0).collect();
            assert_eq!(y.output("y").unwrap().to_vec::<f32>(), Some(want));
        }
        let x = Tensor::of("x", [2, 1], &[41_i64, -1]).unwrap();
        let y = client.infer(&InferRequest::new("scalar", [x])).unwrap();
        assert_eq!(y.outputs[0].shape(), [2, 1]);
        assert_eq!(y.outputs[0].to_vec::<i64>(), Some(vec![42, 0]));

        let x = Tensor::of_strings("x", [1, 1], &[""]).unwrap();
        let y = client.infer(&InferRequest::new("packages", [x])).unwrap();
        let words = y.outputs[0].to_strings().unwrap();
        assert!(words[0].starts_with(b"numpy 1.") && words[1].starts_with(b"onnxruntime 1."));
    }
}

#[test]
fn eight_threads_share_a_client() {
    let place = Place::new(&[common::chain]);
    for transport in BOTH {
        let client = place.client(transport);
        thread::scope(|threads| {
            for worker in 0..8_u16 {
                let client = &client;
                threads.spawn(move || {
                    for round in 0..25_u16 {
                        let x = f32::from(worker * 100 + round);
                        let tensor = Tensor::of("x", [1, 2], &[x, -x]).unwrap();
                        let y = client.infer(&InferRequest::new("chain", [tensor])).unwrap();
                        let want = vec![2.0 * x + 1.0, 1.0 - 2.0 * x];
                        assert_eq!(y.outputs[0].to_vec::<f32>(), Some(want));
                    }
                });
            }
        });
    }
}

#[test]
fn metadata_configuration_and_statistics_are_the_same_over_both() {
    let place = Place::new(&[common::chain, common::scalar, common::failing]);
    let [http, grpc] = BOTH.map(|transport| place.client(transport));
    assert!(http.server_live().unwrap() && grpc.server_live().unwrap());
    assert!(http.server_ready().unwrap() && grpc.server_ready().unwrap());
    let server = http.server_metadata().unwrap();
    assert_eq!(server, grpc.server_metadata().unwrap());
    assert!(server.extensions.iter().any(|name| name == "binary_tensor_data"));
    for model in ["chain", "plus", "scalar"] {
        let metadata = http.model_metadata(model, None).unwrap();
        assert_eq!(metadata, grpc.model_metadata(model, Some("1")).unwrap());
        assert_eq!((metadata.inputs[0].name.as_str(), metadata.inputs[0].shape[0]), ("x", -1));
        let config = http.model_config(model, Some("1")).unwrap();
        assert_eq!(config, grpc.model_config(model, None).unwrap());
        assert_eq!((config.name.as_str(), config.max_batch_size), (model, 32));
        assert_eq!(config.is_ensemble(), model == "chain");
        assert!(http.model_ready(model, None).unwrap() && grpc.model_ready(model, None).unwrap());
    }
    let chain = http.model_config("chain", None).unwrap();
    assert_eq!(chain.steps[1].model, "plus");
    assert_eq!(chain.steps[1].inputs["x"], "doubled");
    let scalar = http.model_config("scalar", None).unwrap();
    assert_eq!(
        (scalar.inputs[0].dims.clone(), scalar.inputs[0].reshape.clone()),
        (vec![1], Some(vec![]))
    );
    let plus = http.model_config("plus", None).unwrap();
    assert_eq!(plus.version_policy, VersionPolicy::Specific(vec![1]));
    assert_eq!(plus.parameters["kind"], "sum");
    assert_eq!(plus.dynamic_batching.unwrap().max_queue_delay_us, 50);
    assert_eq!(plus.instances[0].kind, "KIND_CPU");

    let x = Tensor::of("x", [4, 1], &[0_f32; 4]).unwrap();
    grpc.infer(&InferRequest::new("chain", [x.clone()])).unwrap();
    http.infer(&InferRequest::new("failing", [x])).unwrap_err();
    // A server counts after it has answered, the ensemble last or its members.
    let asked = |model: &str| {
        let counted = http.statistics(Some(model), None).unwrap().remove(0);
        counted.success.count + counted.fail.count
    };
    for model in ["failing", "chain", "twice", "plus"] {
        assert!(common::soon(|| asked(model) == 1), "{model}: {}", asked(model));
    }
    let all = http.statistics(None, None).unwrap();
    assert_eq!(all, grpc.statistics(None, None).unwrap());
    let of = |name: &str| all.iter().find(|model| model.name == name).unwrap().clone();
    assert_eq!((of("plus").success.count, of("plus").inference_count), (1, 4));
    assert_eq!(of("plus").batches[0].batch_size, 4);
    assert!(of("plus").compute_infer.ns > 0);
    assert_eq!((of("failing").success.count, of("failing").fail.count), (0, 1));
    assert_eq!(http.statistics(Some("plus"), None).unwrap(), [of("plus")]);
    assert_eq!(grpc.statistics(Some("plus"), Some("1")).unwrap(), [of("plus")]);
}

#[test]
fn what_is_refused_is_refused_in_the_servers_words() {
    let place = Place::new(&[common::chain, common::failing]);
    for transport in BOTH {
        let client = place.client(transport);
        let infer = |model: &str, inputs: &[Tensor]| {
            client.infer(&InferRequest::new(model, inputs)).unwrap_err()
        };
        let x = Tensor::of("x", [1, 1], &[1_f32]).unwrap();

        let unknown = infer("chains", std::slice::from_ref(&x));
        assert!(matches!(&unknown, KserveError::UnknownModel { .. }), "{unknown}");
        assert_eq!(unknown.hint().unwrap(), "ready there: chain, failing, plus, twice");
        let version = client.infer(&InferRequest::new("plus", [x.clone()]).version("7"));
        let version = version.unwrap_err();
        assert!(matches!(&version, KserveError::UnknownModel { .. }), "{version}");
        let metadata = client.model_metadata("chains", None).unwrap_err();
        assert!(matches!(&metadata, KserveError::UnknownModel { .. }), "{metadata}");
        let config = client.model_config("chains", None).unwrap_err();
        assert!(matches!(&config, KserveError::UnknownModel { .. }), "{config}");
        let statistics = client.statistics(Some("chains"), None).unwrap_err();
        assert!(matches!(&statistics, KserveError::UnknownModel { .. }), "{statistics}");
        assert!(!client.model_ready("chains", None).unwrap());
        assert!(!client.model_ready("plus", Some("7")).unwrap());

        let cases = [
            ("failing", vec![x.clone()], "no \"good\" at\nall: é"),
            ("plus", vec![Tensor::of("x", [33, 1], &[1_f32; 33]).unwrap()], "<= 32"),
            ("plus", vec![Tensor::of("x", [1], &[1_f32]).unwrap()], "shape"),
            ("plus", vec![Tensor::of("x", [1, 1], &[1_f64]).unwrap()], "FP64"),
            ("plus", vec![Tensor::of("z", [1, 1], &[1_f32]).unwrap()], "'z'"),
            ("plus", vec![], "expected"),
        ];
        for (model, inputs, words) in cases {
            let error = infer(model, &inputs);
            assert!(matches!(&error, KserveError::Refused { .. }), "{transport:?} {error:?}");
            assert!(error.to_string().contains(words), "{transport:?} {error}");
            assert!(error.hint().is_some());
        }
        let twice = infer("plus", &[x.clone(), x]);
        assert!(matches!(&twice, KserveError::Request { .. }), "{twice}");
        assert!(client.load_model("plus").unwrap_err().to_string().contains("explicit"));
    }
}

#[test]
fn timeouts_and_cancelling_leave_the_client_usable() {
    let place = Place::new(&[common::sleeper]);
    for transport in BOTH {
        let client = place.client(transport);
        let request = |seconds: f32| {
            InferRequest::new("sleeper", [Tensor::of("x", [1, 1], &[seconds]).unwrap()])
        };
        let start = Instant::now();
        let late = client.infer(&request(1.5).timeout(Duration::from_millis(200))).unwrap_err();
        assert!(matches!(late, KserveError::Timeout { .. }), "{late}");
        assert!(start.elapsed() < Duration::from_secs(1));

        let cancel = Cancel::new();
        let stopped = thread::scope(|threads| {
            let asked = threads.spawn(|| client.infer(&request(1.5).cancelled_by(&cancel)));
            thread::sleep(Duration::from_millis(100));
            cancel.cancel();
            asked.join().unwrap().unwrap_err()
        });
        assert!(matches!(stopped, KserveError::Cancelled { .. }), "{stopped}");
        assert!(client.infer(&request(0.0)).is_ok());
    }
}

#[test]
fn a_message_of_tens_of_mebibytes() {
    let place = Place::new(&[common::identity]);
    let x = Tensor::of("x_UINT8", [1, 40 << 20], &vec![0xa5_u8; 40 << 20]).unwrap();
    for transport in BOTH {
        let request = InferRequest::new("identity", [x.clone()]);
        let answer = place.client(transport).infer(&request).unwrap();
        assert_eq!(answer.outputs[0].bytes(), x.bytes());

        let max_message_bytes = 1 << 20;
        let small = ClientOptions { max_message_bytes, ..ClientOptions::default() };
        let client = place.client_with(transport, small);
        let error = client.infer(&request).unwrap_err();
        assert!(error.to_string().contains("the request is larger than 1048576"), "{error}");
        let half = Tensor::of("x_UINT8", [1, 1 << 19], &vec![0_u8; 1 << 19]).unwrap();
        let fits = client.infer(&InferRequest::new("identity", [half])).unwrap();
        assert_eq!(fits.outputs[0].bytes().len(), 1 << 19);
    }
}

/// BF16 has no numpy type, so a Python model can't give it back; a server that refuses it has read it.
#[test]
fn bf16_travels_as_bytes() {
    let one = bf16::from_f32(1.0).to_le_bytes().to_vec();
    let x = Tensor::new("x", Datatype::Bf16, [1, 1], one).unwrap();
    let place = Place::new(&[common::chain]);
    for transport in BOTH {
        let error = place.client(transport).infer(&InferRequest::new("plus", [x.clone()]));
        assert!(error.unwrap_err().to_string().contains("BF16"));
    }
}

/// Triton's own client sends the same numbers and gets the same bytes.
#[test]
fn the_official_client_gets_the_same() {
    let place = Place::new(&[common::chain]);
    let folder = place.folder.path();
    let x: Vec<f32> = (0..7 * 11).map(|i| 1.0 / (i as f32 + 0.1)).collect();
    let tensor = Tensor::of("x", [7, 11], &x).unwrap();
    std::fs::write(folder.join("x"), tensor.bytes()).unwrap();
    let python = common::checkout(".onr/venv/bin/python");
    let client = common::checkout(".onr/triton/client");
    assert!(client.is_dir(), "there is no {}: `make setup` fetches it", client.display());
    let ran = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.py"))
        .args(BOTH.map(|transport| place.server.endpoint(transport).port().to_string()))
        .args(["7", "11"])
        .arg(folder)
        .env("PYTHONPATH", client)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for (transport, theirs) in BOTH.into_iter().zip(["http", "grpc"]) {
        let request = InferRequest::new("chain", [tensor.clone()]);
        let ours = place.client(transport).infer(&request).unwrap();
        assert_eq!(std::fs::read(folder.join(theirs)).unwrap(), ours.outputs[0].bytes()[..]);
    }
    assert_eq!(BOTH, [Transport::Http, Transport::Grpc]);
}
