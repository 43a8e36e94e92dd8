//! What a network answers besides values: losses against PyTorch's, gradients against differences, quantiles against
//! the densities that they belong to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_nn::{Answer, InitSpec, Loss, Model, Network, Readout, TrainOptions, TrainPass};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, LayerSpec};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn all() -> [Answer; 4] {
    let levels = vec![0.1, 0.25, 0.5, 0.75, 0.9];
    [Answer::Quantiles { levels }, Answer::Gaussian, Answer::StudentT, Answer::NegativeBinomial]
}

#[test]
fn losses_and_their_slopes_are_pytorchs() {
    let recorded: Value = serde_json::from_str(include_str!("../golden/answers.json")).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    for case in cases {
        let answer = match case["answer"].as_str().unwrap() {
            "quantiles" => Answer::Quantiles { levels: numbers(&recorded["levels"]) },
            "gaussian" => Answer::Gaussian,
            "student-t" => Answer::StudentT,
            "negative-binomial" => Answer::NegativeBinomial,
            other => panic!("{other}"),
        };
        let (a, y) = (numbers(&case["a"]), numbers(&case["y"]));
        let mut slope = vec![f64::NAN; a.len()];
        let loss = answer.loss(&a, &y, &mut slope);
        // Logarithms of gamma functions of a large r lose as many digits as r has.
        let close = |got: f64, want: f64| (got - want).abs() <= 1e-8 * want.abs().max(1.0);
        assert!(close(loss, case["value"].as_f64().unwrap()), "{case}: {loss}");
        let want = numbers(&case["grad"]);
        assert!(slope.iter().zip(&want).all(|(got, want)| close(*got, *want)), "{case}: {slope:?}");
    }
    assert_eq!(cases.len(), 24);
}

fn quantile(answer: &Answer, a: &[f64], y: &[f64], level: f64) -> f64 {
    answer.quantiles(a, y, &[level])[0]
}

/// Weights that blow up must end in numbers, or in what is none, and not go on for ever.
#[test]
fn quantiles_of_the_largest_answers_end() {
    let levels = [0.025, 0.5, 0.975];
    for freedom in [1e4, 1e6, 1e8, 1e300] {
        let normal = Answer::Gaussian.quantiles(&[0.0, 1.0], &[0.0], &levels);
        let of_t = Answer::StudentT.quantiles(&[0.0, 1.0, freedom], &[0.0], &levels);
        assert!(normal.iter().zip(&of_t).all(|(a, b)| (a - b).abs() < 1e-3), "{freedom}: {of_t:?}");
    }
    for a in [[1e9, 0.0], [1e19, 0.0], [1e30, 1.0], [1e3, 1e6], [1e3, 1e200]] {
        let counts = Answer::NegativeBinomial.quantiles(&a, &[0.0, 1e4, 0.0], &levels);
        assert!(counts.is_sorted() && counts.iter().all(|count| *count >= 0.0), "{a:?}: {counts:?}");
    }
    let none = Answer::NegativeBinomial.quantiles(&[f64::INFINITY, 0.0], &[0.0, 1e4, 0.0], &levels);
    assert!(none.iter().any(|count| !count.is_finite()), "{none:?}");
}

/// A loss that is the negative logarithm of a density has as much of it below a quantile as the level says.
#[test]
fn quantiles_are_those_of_the_density() {
    let mut nothing = [0.0; 3];
    for (answer, a) in [(Answer::Gaussian, vec![0.4, -1.0]), (Answer::StudentT, vec![0.4, -1.0, 1.5])] {
        for level in [0.025, 0.1, 0.5, 0.9, 0.99] {
            let end = quantile(&answer, &a, &[0.0], level);
            // The middle rule, down to where next to nothing lies.
            let (steps, from) = (200_000, -60.0);
            let width = (end - from) / f64::from(steps);
            let density = |i| (-answer.loss(&a, &[from + (f64::from(i) + 0.5) * width], &mut nothing)).exp();
            let below: f64 = (0..steps).map(density).sum::<f64>() * width;
            assert!((below - level).abs() < 1e-4, "{answer:?} {level}: {below}");
        }
    }
    let count = Answer::NegativeBinomial;
    for size in [1.0, 30.0, 2000.0] {
        let (a, mut sum, mut k) = ([0.3, 0.5], 0.0, 0.0);
        let levels = [0.025, 0.1, 0.5, 0.9, 0.975];
        for (level, quantile) in levels.into_iter().zip(count.quantiles(&a, &[0.0, size, 0.2], &levels)) {
            while k < quantile {
                sum += (-count.loss(&a, &[k, size, 0.2], &mut nothing)).exp();
                k += 1.0;
            }
            let here = (-count.loss(&a, &[k, size, 0.2], &mut nothing)).exp();
            assert!(sum < level && level <= sum + here + 1e-9, "{size} {level}: {sum} {here}");
        }
    }
    // A network's own quantiles, lines between them, and rising beyond.
    let own = &all()[0];
    let a = [1.0, 0.0, 0.0, 0.0, 0.0];
    let step = 2f64.ln();
    let at = |level| quantile(own, &a, &[0.0], level);
    assert_eq!([at(0.25), at(0.5), at(0.9)], [1.0 - step, 1.0, 1.0 + 2.0 * step]);
    assert!((at(0.625) - (1.0 + 0.5 * step)).abs() < 1e-12);
    assert!(at(0.01) < at(0.1) && at(0.99) > at(0.9) && at(0.9999) > at(0.99));
}

/// A small network with one of the answers, and a batch for it: inputs and targets of 3 steps of 2 sequences.
fn case<B: Backend>(backend: &B, answer: &Answer) -> (Model<B, f64>, Vec<f64>, Vec<f64>) {
    const VALUES: usize = 2;
    let layer = LayerSpec::new(3).forget_bias(1.0);
    let network = Network::new(2).layer(layer).head(Readout::Every, VALUES * answer.parameters());
    let model = Model::new(backend, network, &InitSpec::torch(), 3).unwrap();
    let mut stream = Philox::new(5, Purpose::Data, 0);
    let x = (0..3 * 2 * 2).map(|_| stream.normal()).collect();
    let mut y = Vec::new();
    for _row in 0..3 * 2 {
        match answer {
            // Two counts, their sizes, where their means lie.
            Answer::NegativeBinomial => y.extend([4.0, 0.0, 5.0, 2.0, 0.3, -0.4]),
            _ => y.extend((0..VALUES).map(|_| stream.normal())),
        }
    }
    (model, x, y)
}

/// Loss and gradient, of the last two of three steps alone.
fn evaluate<B: Backend>(
    backend: &B,
    model: &Model<B, f64>,
    answer: &Answer,
    (x, y): (&[f64], &[f64]),
) -> (f64, Vec<f64>) {
    let loss = Loss { step_weights: Some(vec![0.0, 1.0, 1.0]), ..Loss::mean(answer.clone()) };
    let mut pass = TrainPass::new(backend, model, 3, 2, TrainOptions::new(loss)).unwrap();
    let mut gradient = model.gradients(backend).unwrap();
    pass.accumulate(backend, model, &mut gradient, x, y, (0, &[0, 1]), 2).unwrap();
    let mut host = vec![0.0; model.params().layout().len()];
    backend.download(gradient.values(), 0, &mut host).unwrap();
    (pass.take_loss(backend).unwrap(), host)
}

#[test]
fn a_networks_gradient_is_the_slope_of_its_loss() {
    let cpu = Cpu::new(1).unwrap();
    for answer in all() {
        let (mut model, x, y) = case(&cpu, &answer);
        let (_, gradient) = evaluate(&cpu, &model, &answer, (&x, &y));
        let params = model.download(&cpu).unwrap();
        for (at, slope) in gradient.iter().enumerate() {
            let mut value = |step: f64| {
                let mut moved = params.clone();
                moved[at] += step;
                model.upload(&cpu, &moved).unwrap();
                evaluate(&cpu, &model, &answer, (&x, &y)).0
            };
            let difference = (value(1e-6) - value(-1e-6)) / 2e-6;
            assert!((difference - slope).abs() < 1e-7, "{answer:?}, parameter {at}: {difference} {slope}");
        }
        assert!(gradient.iter().filter(|slope| **slope != 0.0).count() > 50, "{answer:?}");
    }
}

#[test]
fn devices_agree_though_the_host_computes_the_loss() {
    let (cpu, cuda) = (Cpu::new(1).unwrap(), Cuda::new(Emulator::new(Schedule::Skewed(1))).unwrap());
    for answer in all() {
        let (model, x, y) = case(&cpu, &answer);
        let (loss, gradient) = evaluate(&cpu, &model, &answer, (&x, &y));
        let (model, x, y) = case(&cuda, &answer);
        let (other, others) = evaluate(&cuda, &model, &answer, (&x, &y));
        assert!((loss - other).abs() < 1e-12 * loss.abs().max(1.0), "{answer:?}: {loss} {other}");
        assert!(gradient.iter().zip(&others).all(|(a, b)| (a - b).abs() < 1e-12), "{answer:?}");
    }
}

#[test]
fn what_fits_no_answer_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let (model, ..) = case(&cpu, &Answer::Gaussian);
    let refused = |answer: Answer| {
        let made = TrainPass::new(&cpu, &model, 3, 2, TrainOptions::new(Loss::mean(answer)));
        made.err().unwrap().to_string()
    };
    let said = refused(Answer::StudentT);
    assert!(said.contains("columns of the output is 4, but must be a multiple of 3"), "{said}");
    for levels in [vec![0.1, 0.5], vec![0.4], vec![f64::NAN]] {
        assert!(refused(Answer::Quantiles { levels }).contains("levels of the quantiles"));
    }
}
