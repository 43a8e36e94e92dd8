//! `lstm devices`: what can be computed on here, and what is missing for the rest.

use lstm_cpu::Cpu;
use lstm_cuda::probe::{self, Report, Version};
use serde_json::{Value, json};

use crate::args::Devices;
use crate::device::{self, Work};
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Machine;
use crate::value::Device;

/// Prints the list.
///
/// # Errors
/// A device failure where even the processor does not start.
pub(crate) fn run(args: &Devices) -> Result<()> {
    let cpu = Cpu::new(0).map_err(|error| Failure::device(error.to_string()))?;
    let report = probe::probe();
    if args.json {
        return output::print_json(&as_json(&cpu, &report)?);
    }
    output::print(in_words(&cpu, &report)?.as_bytes())
}

/// The device that `--device auto` takes for this work.
fn auto(work: Work, report: &Report) -> Result<Device> {
    let gpu = device::gpu(&Machine::default(), work, || report.clone())?;
    Ok(gpu.map_or(Device::Cpu, |number| Device::Cuda(Some(number))))
}

fn in_words(cpu: &Cpu, report: &Report) -> Result<String> {
    let mut text = format!("{:<8}{}, {}\n", "cpu", device::processor(), device::of_cpu(cpu));
    for gpu in &report.devices {
        let (major, minor) = gpu.capability;
        text += &format!(
            "{:<8}{}, {}, compute capability {major}.{minor}\n",
            Device::Cuda(Some(gpu.ordinal)).to_string(),
            gpu.name,
            output::size(gpu.memory)
        );
    }
    let missing = report.missing();
    let version = |part: &std::result::Result<Version, String>| {
        part.as_ref().map_or_else(|_| "none".to_owned(), ToString::to_string)
    };
    text += &if missing.is_empty() {
        let [driver, nvrtc, cublas] = [&report.driver, &report.nvrtc, &report.cublas].map(version);
        format!("\nCUDA can be used: driver {driver}, NVRTC {nvrtc}, cuBLAS {cublas}.\n")
    } else {
        let missing: String = missing.iter().map(|sentence| format!("- {sentence}\n")).collect();
        format!("\nCUDA cannot be used:\n{missing}")
    };
    let [training, forecasting] = [auto(Work::Training, report)?, auto(Work::Forecasting, report)?];
    text += &if training == forecasting {
        format!("\n--device auto is {training}.\n")
    } else {
        format!(
            "\n--device auto trains on {training}, and forecasts with a trained model on {forecasting}.\n"
        )
    };
    Ok(text)
}

fn as_json(cpu: &Cpu, report: &Report) -> Result<Value> {
    let usable = report.is_usable();
    let dtypes = ["f32", "f64"];
    let mut devices = vec![json!({
        "name": "cpu",
        "hardware": device::processor(),
        "threads": cpu.threads(),
        "instructions": device::instructions(cpu),
        "dtypes": dtypes,
        "usable": true,
    })];
    devices.extend(report.devices.iter().map(|gpu| {
        json!({
            "name": Device::Cuda(Some(gpu.ordinal)),
            "hardware": gpu.name,
            "memory": gpu.memory,
            "capability": format!("{}.{}", gpu.capability.0, gpu.capability.1),
            "dtypes": dtypes,
            "usable": usable,
        })
    }));
    let version = |part: &std::result::Result<Version, String>| part.as_ref().ok().map(ToString::to_string);
    Ok(json!({
        "devices": devices,
        "cuda": {
            "usable": usable,
            "driver": version(&report.driver),
            "nvrtc": version(&report.nvrtc),
            "cublas": version(&report.cublas),
            "missing": report.missing(),
        },
        "auto": { "training": auto(Work::Training, report)?, "forecasting": auto(Work::Forecasting, report)? },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let version = Ok(Version { major: 13, minor: 1 });
        let gpu = |ordinal| probe::Device {
            ordinal,
            name: "NVIDIA H200".into(),
            capability: (9, 0),
            memory: 141 << 30,
        };
        Report {
            driver: version.clone(),
            nvrtc: version.clone(),
            cublas: version,
            devices: vec![gpu(0), gpu(1)],
        }
    }

    #[test]
    fn gpus_are_listed_with_what_they_have() {
        let cpu = Cpu::new(1).unwrap();
        let text = in_words(&cpu, &report()).unwrap();
        for line in [
            "cuda:1  NVIDIA H200, 141.0 GiB, compute capability 9.0",
            "CUDA can be used: driver 13.1, NVRTC 13.1, cuBLAS 13.1.",
            "--device auto trains on cuda:0, and forecasts with a trained model on cpu.",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        let value = as_json(&cpu, &report()).unwrap();
        assert_eq!(value["devices"][2]["name"], "cuda:1");
        assert_eq!(value["devices"][2]["memory"], 141_u64 << 30);
        assert_eq!((&value["cuda"]["usable"], &value["auto"]["training"]), (&json!(true), &json!("cuda:0")));
    }

    #[test]
    fn what_is_missing_is_said() {
        let cpu = Cpu::new(1).unwrap();
        let report = Report { cublas: Err("libcublas is not there: install it".into()), ..report() };
        let text = in_words(&cpu, &report).unwrap();
        assert!(text.contains("CUDA cannot be used:\n- libcublas is not there: install it\n"), "{text}");
        assert!(text.ends_with("--device auto is cpu.\n"), "{text}");
        let value = as_json(&cpu, &report).unwrap();
        assert_eq!(value["cuda"]["missing"], json!(["libcublas is not there: install it"]));
        assert_eq!((&value["cuda"]["cublas"], &value["devices"][1]["usable"]), (&Value::Null, &json!(false)));
    }
}
