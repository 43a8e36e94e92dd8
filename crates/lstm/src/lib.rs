//! Long short-term memory networks: fused on the CPU, deterministic, and ready to forecast a series.
//!
//! This crate gathers the workspace's public pieces and holds no logic of its own. Depend on it, or on
//! single crates:
//!
//! | module | crate | what |
//! |---|---|---|
//! | [`tensor`] | `lstm-tensor` | the backend contract, specifications, random numbers |
//! | [`cpu`] | `lstm-cpu` | the CPU backend |
//! | `cuda` | `lstm-cuda` | the CUDA backend, with the feature `cuda`; not yet measured on a device |
//! | [`nn`] | `lstm-nn` | networks, initialisation, passes, streams, saved models |
//! | [`optim`] | `lstm-optim` | optimizers, schedules, clipping |
//! | [`data`] | `lstm-data` | CSV, windows, splits, scalers, generators |
//! | [`train`] | `lstm-train` | training loop, forecaster, baselines, metrics |
//!
//! ```
//! use lstm::{Cpu, Init, InitSpec, Model, Network, Readout, nn::InferPass};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cpu = Cpu::new(1)?;
//! let network = Network::new(1).lstm(8).head(Readout::Last, 3);
//! let init = InitSpec { recurrent: Init::Orthogonal, ..InitSpec::torch() };
//! let model = Model::<Cpu, f32>::new(&cpu, network, &init, 1)?;
//! let mut out = Vec::new();
//! InferPass::new(&cpu, &model, 5, 1)?.predict(&cpu, &model, &[0.1, 0.2, 0.3, 0.4, 0.5], None, &mut out)?;
//! assert_eq!(out.len(), 3);
//! # Ok(())
//! # }
//! ```

pub use lstm_cpu as cpu;
#[cfg(feature = "cuda")]
pub use lstm_cuda as cuda;
pub use lstm_data as data;
pub use lstm_nn as nn;
pub use lstm_optim as optim;
pub use lstm_tensor as tensor;
pub use lstm_train as train;

pub use lstm_cpu::Cpu;
#[cfg(feature = "cuda")]
pub use lstm_cuda::Cuda;
pub use lstm_nn::{Init, InitSpec, Loss, Model, Network, Readout};
pub use lstm_optim::{Optimizer, OptimizerConfig};
pub use lstm_tensor::{Backend, LayerSpec, StackSpec};
pub use lstm_train::forecaster::{ForecastChoices, ForecastConfig, Forecaster};
