//! TensorRT's element types and ours.

use onr_graphs::DType;
use trtx::DataType;

/// Ours for one of TensorRT's; `None` for what no tensor of ours has.
pub(super) const fn dtype(of: &DataType) -> Option<DType> {
    Some(match of {
        DataType::kFLOAT => DType::F32,
        DataType::kHALF => DType::F16,
        DataType::kBF16 => DType::BF16,
        DataType::kFP8 => DType::F8E4M3,
        DataType::kINT8 => DType::I8,
        DataType::kINT32 => DType::I32,
        DataType::kINT64 => DType::I64,
        DataType::kUINT8 => DType::U8,
        DataType::kBOOL => DType::Bool,
        _ => return None,
    })
}

/// TensorRT's for one of ours; it has no F64.
pub(super) const fn data_type(of: DType) -> Option<DataType> {
    Some(match of {
        DType::F32 => DataType::kFLOAT,
        DType::F16 => DataType::kHALF,
        DType::BF16 => DataType::kBF16,
        DType::F8E4M3 => DataType::kFP8,
        DType::I8 => DataType::kINT8,
        DType::I32 => DataType::kINT32,
        DType::I64 => DataType::kINT64,
        DType::U8 => DataType::kUINT8,
        DType::Bool => DataType::kBOOL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_back() {
        for ours in DType::ALL {
            let theirs = data_type(ours);
            assert_eq!(theirs.is_none(), ours == DType::F64);
            assert!(theirs.is_none_or(|t| dtype(&t) == Some(ours)), "{ours}");
        }
    }
}
