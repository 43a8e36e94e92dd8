//! A network with its parameters on a backend.

use crate::{InitSpec, Network, Result};
use lstm_tensor::{Arena, Backend, Float};
use std::sync::Arc;

/// A network with its parameters on a backend.
pub struct Model<B: Backend, F: Float> {
    network: Network,
    params: Arena<B, F>,
}

impl<B: Backend, F: Float> Model<B, F> {
    /// A freshly initialised model.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for impossible sizes or initialisers;
    /// [`lstm_tensor::Error::Memory`].
    pub fn new(backend: &B, network: Network, init: &InitSpec, seed: u64) -> Result<Self> {
        network.validate()?;
        let values = init.values(&network, seed)?;
        let mut model = Self::zeros(backend, network)?;
        let layout = Arc::clone(model.params.layout());
        for (entry, values) in layout.entries().iter().zip(values) {
            let values: Vec<F> = values.into_iter().map(F::from_f64).collect();
            model.params.set(backend, &entry.name, &values)?;
        }
        Ok(model)
    }

    /// A model whose parameters are all zero, to be set.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn zeros(backend: &B, network: Network) -> Result<Self> {
        network.validate()?;
        let params = Arena::zeros(backend, &Arc::new(network.param_layout()))?;
        Ok(Self { network, params })
    }

    /// The network's shape.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Arena<B, F> {
        &self.params
    }

    /// The parameters, for writing.
    pub fn params_mut(&mut self) -> &mut Arena<B, F> {
        &mut self.params
    }

    /// A zero gradient arena for this model.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn gradients(&self, backend: &B) -> Result<Arena<B, F>> {
        Ok(Arena::zeros(backend, self.params.layout())?)
    }

    /// All parameters as they lie in the arena, padding included.
    ///
    /// # Errors
    /// As [`Backend::download`].
    pub fn download(&self, backend: &B) -> Result<Vec<F>> {
        let mut out = vec![F::ZERO; self.params.layout().len()];
        backend.download(self.params.values(), 0, &mut out)?;
        Ok(out)
    }

    /// Overwrites all parameters with what [`Model::download`] gave.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where the number of elements differs.
    pub fn upload(&mut self, backend: &B, values: &[F]) -> Result<()> {
        let len = self.params.layout().len();
        lstm_tensor::Error::check_shape("set parameters", "values", &[len], &[values.len()])?;
        Ok(backend.upload(values, self.params.values_mut(), 0)?)
    }
}
