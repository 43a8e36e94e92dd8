//! Sources of the kernels, in CUDA C++ that includes no CUDA header.

/// Every source with its file name, in the order in which they make one translation unit.
pub const SOURCES: &[(&str, &str)] = &[("device.cuh", include_str!("kernels/device.cuh"))];

/// All kernels as one translation unit for NVRTC: the sources in order, without their includes of each
/// other.
#[must_use]
pub fn source() -> String {
    let lines = SOURCES.iter().flat_map(|(name, text)| {
        let kept = text.lines().filter(|line| !line.starts_with("#include") && !line.starts_with("#pragma"));
        std::iter::once(format!("#line 1 \"{name}\"")).chain(kept.map(str::to_owned))
    });
    lines.collect::<Vec<_>>().join("\n")
}
