//! The SVG plots: a line a library, over batch, window or clients.

use crate::compare::drivers::DRIVERS;
use crate::compare::table::{Row, short};
use plotters::prelude::*;
use std::collections::BTreeMap;
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

type Lines = BTreeMap<&'static str, Vec<(f64, f64)>>;

/// Writes a plot for each series of at least two points and each of its metrics; returns the files' names.
///
/// # Errors
/// The folder cannot be written to.
pub fn write(rows: &[Row], dir: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut plots: BTreeMap<(String, &'static str), Lines> = BTreeMap::new();
    for row in rows {
        let (series, x) = &row.case.series;
        let title = format!("{series}, {} cores", row.cores);
        for metric in row.case.metrics {
            let lines = plots.entry((title.clone(), metric.unit)).or_default();
            for &driver in row.case.drivers {
                if let Some(s) = row.outcome.spread(driver, metric) {
                    #[allow(clippy::cast_precision_loss)]
                    lines.entry(driver).or_default().push((*x as f64, s.median));
                }
            }
        }
    }
    plots.retain(|_, lines| lines.values().any(|points| points.len() > 1));
    let mut names = Vec::new();
    for ((title, unit), lines) in plots {
        let name = file_name(&title, unit);
        plot(&dir.join(&name), &title, unit, &lines)?;
        names.push(name);
    }
    Ok(names)
}

fn file_name(title: &str, unit: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let unit = unit.trim_start_matches(['/', 'µ']);
    let name: String = format!("{title} {unit}").chars().map(plain).collect();
    let parts: Vec<_> = name.split('-').filter(|p| !p.is_empty()).collect();
    format!("{}.svg", parts.join("-"))
}

/// A little room on both sides of what is shown, on an axis whose steps are factors.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    low.max(f64::MIN_POSITIVE) / 1.5..high * 1.5
}

fn plot(
    file: &Path,
    title: &str,
    unit: &str,
    lines: &Lines,
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.values().flatten().copied();
    let root = SVGBackend::new(file, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{title} ({unit})"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(
            range(points().map(|p| p.0)).log_scale(),
            range(points().map(|p| p.1)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE.mix(0.0))
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .y_desc(unit)
        .draw()?;
    for (name, points) in lines {
        let at = DRIVERS.iter().position(|d| d.name == *name).unwrap_or(0);
        let colour = COLOURS[at % COLOURS.len()];
        let style = colour.stroke_width(if at == 0 { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let name = file_name("3 nodes, 128 B, single, wire, 1 cores", "µs p50");
        assert_eq!(name, "3-nodes-128-b-single-wire-1-cores-s-p50.svg");
    }
}
