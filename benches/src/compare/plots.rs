//! The SVG plots: a line a library, over batch, window or clients.

use crate::compare::drivers::DRIVERS;
use crate::compare::results::Record;
use crate::compare::table::short;
use crate::compare::targets::cores;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

const COLOURS: [RGBColor; 7] = [
    RGBColor(0xc4, 0x3c, 0x2c),
    RGBColor(0x2b, 0x6c, 0xb0),
    RGBColor(0x2f, 0x85, 0x5a),
    RGBColor(0x8a, 0x9a, 0x2b),
    RGBColor(0x80, 0x5a, 0xd5),
    RGBColor(0xb7, 0x79, 0x1f),
    RGBColor(0x4a, 0x55, 0x68),
];
/// The picture, and the part of it that holds the legend.
const SIZE: (u32, u32) = (820, 420);
const LEGEND: u32 = 170;

/// The figures that have plots; the others stand in the tables.
const PLOTTED: [&str; 5] = [
    "/s",
    "µs p50",
    "µs p99",
    "µs of processors each",
    "µs of the servers' processors a write",
];

type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// What a plot shows.
#[derive(Clone, Debug, Default)]
struct Plot {
    title: String,
    axis: String,
    unit: String,
    lines: Lines,
}

/// Writes a plot for each series of at least two points and each of its figures, removes the SVGs that lay in the folder before, and returns the files' names.
///
/// # Errors
/// The folder cannot be written to.
pub fn write(records: &[Record], dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    for file in fs::read_dir(dir)? {
        let file = file?.path();
        if file.extension().is_some_and(|e| e == "svg") {
            fs::remove_file(file)?;
        }
    }
    let mut names = Vec::new();
    for plot in plots(records) {
        let name = file_name(&plot.title, &plot.unit);
        draw(&dir.join(&name), &plot)?;
        names.push(name);
    }
    Ok(names)
}

fn plots(records: &[Record]) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for (r, place) in records.iter().filter_map(|r| Some((r, r.plot.as_ref()?))) {
        let title = format!("{}, {}", place.series, cores(r.cores));
        for metric in r.metrics.iter().filter(|m| PLOTTED.contains(&&*m.unit)) {
            let at = plots
                .iter()
                .position(|p| (&p.title, &*p.unit) == (&title, &*metric.unit));
            let plot = match at {
                Some(at) => &mut plots[at],
                None => {
                    plots.push(Plot {
                        title: title.clone(),
                        axis: place.axis.clone().into_owned(),
                        unit: metric.unit.clone().into_owned(),
                        lines: Lines::new(),
                    });
                    plots.last_mut().expect("one was pushed")
                }
            };
            for driver in &r.drivers {
                if let Some(s) = r.spread(driver, &metric.key) {
                    #[allow(clippy::cast_precision_loss)]
                    plot.lines
                        .entry(driver.clone())
                        .or_default()
                        .push((place.x as f64, s.median));
                }
            }
        }
    }
    plots.retain(|p| p.lines.values().any(|points| points.len() > 1));
    for points in plots.iter_mut().flat_map(|p| p.lines.values_mut()) {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    plots
}

fn file_name(title: &str, unit: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let unit = match unit {
        "/s" => "throughput",
        other if other.contains("processors") => "processors",
        other => other.trim_start_matches("µs "),
    };
    let name: String = format!("{title} {unit}").chars().map(plain).collect();
    let parts: Vec<_> = name.split('-').filter(|p| !p.is_empty()).collect();
    format!("{}.svg", parts.join("-"))
}

/// An axis whose steps are factors, with a little room on both sides of what is shown.
fn axis(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    low.max(f64::MIN_POSITIVE) / 1.4..high * 1.4
}

/// 1, 2 and 5 of each power of ten within the axis; of a long axis only the powers.
fn steps(axis: &std::ops::Range<f64>) -> Vec<f64> {
    let decades = (axis.end / axis.start).log10();
    let factors: &[f64] = if decades > 4.0 {
        &[1.0]
    } else if decades > 2.0 {
        &[1.0, 3.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    #[allow(clippy::cast_possible_truncation)]
    let (first, last) = (
        axis.start.log10().floor() as i32,
        axis.end.log10().ceil() as i32,
    );
    let all = (first..=last).flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e)));
    all.filter(|x| axis.contains(x)).collect()
}

/// As an axis has it: no digits that say nothing.
fn label(x: f64) -> String {
    let text = short(x);
    let (number, unit) = text
        .split_once(' ')
        .map_or((text.as_str(), ""), |(n, u)| (n, u));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number}{}{unit}", if unit.is_empty() { "" } else { " " })
}

fn draw(file: &Path, plot: &Plot) -> Result<(), Box<dyn Error>> {
    let points = || plot.lines.values().flatten().copied();
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 - LEGEND);
    let mut places: Vec<f64> = points().map(|p| p.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let (x, y) = (axis(points().map(|p| p.0)), axis(points().map(|p| p.1)));
    let y_steps = steps(&y);
    let what = if plot.unit == "/s" {
        "operations a second"
    } else {
        &plot.unit
    };
    let mut chart = ChartBuilder::on(&left)
        .caption(format!("{}: {what}", plot.title), ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(
            x.log_scale().with_key_points(places.clone()),
            y.log_scale().with_key_points(y_steps.clone()),
        )?;
    chart
        .configure_mesh()
        .x_labels(places.len())
        .y_labels(y_steps.len())
        .light_line_style(WHITE.mix(0.0))
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_label_formatter(&|x| label(*x))
        .y_label_formatter(&|y| label(*y))
        .x_desc(format!("{} (log scale)", plot.axis))
        .y_desc(format!("{what} (log scale)"))
        .draw()?;
    let mut row = 40;
    for (at, driver) in DRIVERS.iter().enumerate() {
        let Some(points) = plot.lines.get(driver.name) else {
            continue;
        };
        // The first colour is ours: tickraft's, and kvexample's where its rivals are stores.
        let colour = at % COLOURS.len();
        let style = COLOURS[colour].stroke_width(if colour == 0 { 3 } else { 2 });
        chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
        right.draw(&PathElement::new([(6, row), (30, row)], style))?;
        right.draw(&Text::new(driver.name, (38, row - 7), ("sans-serif", 14)))?;
        row += 22;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::cases::{Case, LATENCIES};
    use crate::compare::drivers::Answer;
    use crate::compare::results::Measured;
    use serde_json::json;

    #[test]
    fn names_are_plain() {
        let name = file_name("3 nodes, 128 B, single, wire, 1 core", "/s");
        assert_eq!(name, "3-nodes-128-b-single-wire-1-core-throughput.svg");
        assert_eq!(
            file_name("clients, 2 cores", "µs p50"),
            "clients-2-cores-p50.svg"
        );
        assert_eq!(
            file_name(
                "3 processes, 2 cores",
                "µs of the servers' processors a write"
            ),
            "3-processes-2-cores-processors.svg"
        );
    }

    #[test]
    fn steps_lie_within_the_axis() {
        assert_eq!(steps(&(40.0..1100.0)), [50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(
            [label(50_000.0), label(1e6), label(0.5), label(300.0)],
            ["50 k", "1 M", "0.5", "300"]
        );
    }

    /// A plot a series and figure; what lay there before goes, what is not a plot stays.
    #[test]
    fn old_plots_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["old.svg", "README.md"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let record = |window: u64| {
            let case = Case::new("node", window.to_string(), &[]);
            let mut r = Record::new(
                &case
                    .plotted("nodes", "in flight", window)
                    .metrics(LATENCIES),
                2,
                Measured::default(),
            );
            r.add(
                "tickraft",
                Answer::Figures(json!({"per_second": 10 * window, "p99_us": window})),
                1.0,
            );
            r
        };
        let names = write(&[record(64), record(1), record(1024)], dir.path()).unwrap();
        assert_eq!(
            names,
            ["nodes-2-cores-throughput.svg", "nodes-2-cores-p99.svg"]
        );
        let mut there: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(
            there,
            [
                "README.md",
                "nodes-2-cores-p99.svg",
                "nodes-2-cores-throughput.svg"
            ]
        );
        let svg = fs::read_to_string(dir.path().join(&names[0])).unwrap();
        assert!(
            ["tickraft", "in flight", "1024"]
                .iter()
                .all(|text| svg.contains(text))
        );
    }
}
