//! Kernels in CUDA C++ that includes no CUDA header, each beside the code that launches it.

pub(crate) mod cell;
pub(crate) mod elementwise;
pub(crate) mod loss;
pub(crate) mod optimizer;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod rows;
pub(crate) mod sequence;

/// Every source with its file name, in the order in which they make one translation unit.
pub const SOURCES: &[(&str, &str)] = &[
    ("device.cuh", include_str!("kernels/device.cuh")),
    ("span.cuh", include_str!("kernels/span.cuh")),
    ("block_sum.cuh", include_str!("kernels/block_sum.cuh")),
    ("philox.cuh", include_str!("kernels/philox.cuh")),
    ("elementwise.cu", include_str!("kernels/elementwise.cu")),
    ("rows.cu", include_str!("kernels/rows.cu")),
    ("reduce.cu", include_str!("kernels/reduce.cu")),
    ("random.cu", include_str!("kernels/random.cu")),
    ("cell.cu", include_str!("kernels/cell.cu")),
    ("sequence.cuh", include_str!("kernels/sequence.cuh")),
    ("sequence.cu", include_str!("kernels/sequence.cu")),
    ("cluster.cu", include_str!("kernels/cluster.cu")),
    ("grid.cu", include_str!("kernels/grid.cu")),
    ("loss.cu", include_str!("kernels/loss.cu")),
    ("optimizer.cu", include_str!("kernels/optimizer.cu")),
];

/// All kernels as one translation unit for NVRTC: the sources in order, without their includes of each
/// other.
#[must_use]
pub fn source() -> String {
    let lines = SOURCES.iter().flat_map(|(name, text)| {
        let kept = |line: &&str| !line.starts_with("#include") && !line.starts_with("#pragma");
        let lines = text.lines().map(move |line| if kept(&line) { line } else { "" }.to_owned());
        std::iter::once(format!("#line 1 \"{name}\"")).chain(lines)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Name of a kernel for an element type: `kernel!(F, "map")` is `"map_f32"` or `"map_f64"`.
macro_rules! kernel {
    ($float:ty, $stem:literal) => {
        if size_of::<$float>() == 4 { concat!($stem, "_f32") } else { concat!($stem, "_f64") }
    };
}
pub(crate) use kernel;

/// Arguments of a kernel, in the order of its parameters.
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::runtime::Arg::new($value)),*] };
}
pub(crate) use args;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let listed = SOURCES.iter().any(|(source, _)| *source == name);
            assert!(listed || name.ends_with(".rs"), "{name} is missing in SOURCES");
        }
    }

    #[test]
    fn the_translation_unit_includes_nothing() {
        assert!(!source().contains("#include"));
        assert_eq!(source().matches("#line 1 ").count(), SOURCES.len());
    }
}
