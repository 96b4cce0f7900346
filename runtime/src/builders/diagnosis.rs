//! What TensorRT's ONNX parser says when it gives up, taken out of its log.
//!
//! The parser's error objects cannot be reached through `trtx`, nor of course through `trtexec`; the
//! log holds the same facts. Its wording is stable since TensorRT 8; where it should change, the
//! reason still holds the whole text.

use super::log::one_line;

/// Where the parser stopped, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Diagnosis {
    /// Name of the node, or of its output when it has none; empty when no node is to blame.
    pub(super) node: String,
    /// Its operator.
    pub(super) op: String,
    /// The parser's own words.
    pub(super) reason: String,
}

const AT_NODE: &str = "While parsing node number ";
const REASON: &str = "ERROR: ";
/// What `trtexec` adds, before it repeats itself in other words.
const REFUSED: &str = "Failed to parse onnx file";

/// Do these errors tell of a file that was refused?
pub(super) fn parser_failed(errors: &[String]) -> bool {
    errors.iter().any(|e| e.contains(AT_NODE) || e.contains(REFUSED))
}

/// Reads the errors that a failed parse leaves in the log.
pub(super) fn diagnose(errors: &[String]) -> Diagnosis {
    let errors = errors.split(|e| e.contains(REFUSED)).next().unwrap_or(errors);
    let Some(at) = errors.iter().position(|e| e.contains(AT_NODE)) else {
        return Diagnosis { reason: all_words(errors), ..Diagnosis::default() };
    };
    let about = &errors[at..];
    let (op, output) = op_and_output(&about[0]);
    let name = about.iter().find_map(|e| node_name(e)).unwrap_or(output);
    let reason = about.iter().find(|e| e.contains(REASON)).map(|e| words(e));
    Diagnosis {
        node: name.to_owned(),
        op: op.to_owned(),
        reason: reason.unwrap_or_else(|| all_words(errors)),
    }
}

/// The last error that says something about the graph, on one line.
#[cfg(feature = "tensorrt-rtx")]
pub(crate) fn last_words(errors: &[String]) -> Option<String> {
    errors.iter().rev().map(|e| words(e)).find(|w| !w.is_empty())
}

fn all_words(errors: &[String]) -> String {
    let words: Vec<_> = errors.iter().map(|e| words(e)).filter(|w| !w.is_empty()).collect();
    words.join("; ")
}

/// `MatMul` and `y` of `While parsing node number 0 [MatMul -> "y"]:`.
fn op_and_output(message: &str) -> (&str, &str) {
    let inside = message.split_once(AT_NODE).and_then(|(_, rest)| rest.split_once('['));
    let inside = inside.and_then(|(_, rest)| rest.rsplit_once(']')).map_or("", |(text, _)| text);
    let (op, output) = inside.split_once(" -> ").unwrap_or((inside, ""));
    (op, output.trim_matches('"'))
}

/// `Node name: n` since TensorRT 10, a line `name: "n"` of protobuf text before.
fn node_name(message: &str) -> Option<&str> {
    let name = message.lines().find_map(|line| {
        line.strip_prefix("Node name: ")
            .or_else(|| line.strip_prefix("name: \"").and_then(|l| l.strip_suffix('"')))
    })?;
    Some(name.trim()).filter(|n| !n.is_empty())
}

/// A message without source positions, repetitions, and complaints about the driver: on a machine
/// without a GPU every error of a layer is followed by one.
fn words(message: &str) -> String {
    let text = match message.split_once(REASON) {
        Some((_, rest)) => rest.split_once('\n').map_or(rest, |(_, reason)| without_code(reason)),
        None => without_position(message),
    };
    let telling = |l: &&str| !l.contains("catchCudaError") && !l.starts_with("Invalid Node - ");
    one_line(&text.lines().filter(telling).collect::<Vec<_>>().join(" "))
}

/// `reason` of `[6] reason`.
fn without_code(text: &str) -> &str {
    match text.strip_prefix('[').and_then(|t| t.split_once("] ")) {
        Some((code, reason)) if code.bytes().all(|b| b.is_ascii_digit()) => reason,
        _ => text,
    }
}

/// `reason` of `WeightsContext.cpp:203: reason`.
fn without_position(text: &str) -> &str {
    match text.split_once(": ") {
        Some((place, reason)) if place.contains(".cpp:") && !place.contains(' ') => reason,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(errors: &[&str]) -> Diagnosis {
        diagnose(&errors.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>())
    }

    /// As TensorRT for RTX 1.7.1 says it, on a machine without a driver.
    #[test]
    fn a_node_of_today() {
        let d = diagnosis(&[
            "ITensor::getDimensions: Error Code 4: API Usage Error (enc/MatMul: 4 and 3 must match)",
            "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (cudaError 35: no)",
            "ModelImporter.cpp:140: While parsing node number 7 [MatMul -> \"h\"]:",
            "ModelImporter.cpp:142: --- Begin node ---\nNode name: enc/MatMul",
            "ModelImporter.cpp:143: --- End node ---",
            "ModelImporter.cpp:151: ERROR: ModelImporter.cpp:489 In function parseNode:\n[6] Invalid \
             Node - enc/MatMul\nITensor::getDimensions: Error Code 4: API Usage Error (enc/MatMul: 4 \
             and 3 must match)\n[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime \
             (cudaError 35: no)",
        ]);
        assert_eq!((d.node.as_str(), d.op.as_str()), ("enc/MatMul", "MatMul"));
        assert_eq!(
            d.reason,
            "ITensor::getDimensions: Error Code 4: API Usage Error (enc/MatMul: 4 and 3 must match)"
        );
    }

    /// As `trtexec` of TensorRT 8.6 says it.
    #[test]
    fn a_node_of_old() {
        let d = diagnosis(&[
            "3: getPluginCreator could not find plugin: Odd version: 1",
            "ModelImporter.cpp:771: While parsing node number 1026 [Odd -> \"1661\"]:",
            "ModelImporter.cpp:772: --- Begin node ---",
            "ModelImporter.cpp:773: input: \"x\"\noutput: \"1661\"\nname: \"Odd_1026\"\nop_type: \
             \"Odd\"\nattribute {\n  name: \"axis\"\n  i: 0\n}",
            "ModelImporter.cpp:774: --- End node ---",
            "ModelImporter.cpp:777: ERROR: builtin_op_importers.cpp:5404 In function import:\n[8] \
             Assertion failed: creator && \"Plugin not found\"",
            "Failed to parse onnx file",
        ]);
        assert_eq!((d.node.as_str(), d.op.as_str()), ("Odd_1026", "Odd"));
        assert_eq!(d.reason, "Assertion failed: creator && \"Plugin not found\"");
    }

    #[test]
    fn a_node_without_a_name_is_called_by_its_output() {
        let d = diagnosis(&[
            "ModelImporter.cpp:140: While parsing node number 0 [Frob -> \"y\"]:",
            "ModelImporter.cpp:142: --- Begin node ---\nNode name: ",
            "ModelImporter.cpp:151: ERROR: a.cpp:1 In function f:\n[6] no",
        ]);
        assert_eq!((d.node.as_str(), d.op.as_str(), d.reason.as_str()), ("y", "Frob", "no"));
    }

    #[test]
    fn a_failure_that_blames_no_node_keeps_every_error() {
        let d = diagnosis(&[
            "WeightsContext.cpp:203: Failed to open file: /x/weights.data",
            "ModelImporter.cpp:151: ERROR: ModelImporter.cpp:899 In function importInitializers:\n[5] \
             Failed to import initializer: w",
        ]);
        assert_eq!(d.node, "");
        assert_eq!(
            d.reason,
            "Failed to open file: /x/weights.data; Failed to import initializer: w"
        );
    }

    #[cfg(feature = "tensorrt-rtx")]
    #[test]
    fn the_last_words_are_about_the_graph() {
        let errors = [
            "IBuilder::buildSerializedNetwork: Error Code 4: Internal Error (no profile)",
            "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (cudaError 35: no)",
        ];
        let errors = errors.map(str::to_owned);
        assert_eq!(last_words(&errors).as_deref(), Some(errors[0].as_str()));
        assert_eq!(last_words(&[]), None);
        assert!(!parser_failed(&errors));
    }
}
