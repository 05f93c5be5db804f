//! A plot of how the cost of a round grows, as SVG: two panels on logarithmic axes, a round beside bare prio.

use std::fmt::Write as _;

/// The cost of one round.
pub(crate) struct Cost {
    pub(crate) nodes: u32,
    pub(crate) cells: usize,
    /// Processor time of a whole round, and of the bare calls.
    pub(crate) seconds: f64,
    pub(crate) bare: f64,
    /// Sent in all.
    pub(crate) mib: f64,
}

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 220.0;

/// Left, by nodes at 1,000 cells; right, by cells at 50 nodes.
pub(crate) fn growth(costs: &[Cost]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"820\" height=\"310\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
    );
    let mut by_nodes: Vec<&Cost> = costs.iter().filter(|c| c.cells == 1000).collect();
    by_nodes.sort_by_key(|c| c.nodes);
    let mut by_cells: Vec<&Cost> = costs.iter().filter(|c| c.nodes == 50).collect();
    by_cells.sort_by_key(|c| c.cells);
    panel(&mut svg, 60.0, "nodes (1,000 cells)", &by_nodes, |c| f64::from(c.nodes));
    panel(&mut svg, 460.0, "cells (50 nodes)", &by_cells, |c| c.cells as f64);
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, left: f64, title: &str, costs: &[&Cost], x: impl Fn(&Cost) -> f64) {
    let ends = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        ((low / 1.4).ln(), (high * 1.6).ln())
    };
    let (x0, x1) = ends(costs.iter().map(|c| x(c)).collect());
    let (y0, y1) = ends(costs.iter().flat_map(|c| [c.seconds, c.bare]).collect());
    let at = |xv: f64, yv: f64| {
        let across = left + WIDTH * (xv.ln() - x0) / (x1 - x0);
        (across, 30.0 + HEIGHT * (1.0 - (yv.ln() - y0) / (y1 - y0)))
    };
    let bottom = 30.0 + HEIGHT;
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"30\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\n<text x=\"{}\" \
         y=\"{}\" text-anchor=\"middle\">{title}</text>",
        left + WIDTH / 2.0,
        bottom + 38.0
    );
    // Seconds at which a grid line is drawn.
    for second in [0.001f64, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0] {
        if second.ln() > y0 && second.ln() < y1 {
            let (_, y) = at(x1.exp(), second);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n<text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{second} s</text>",
                left + WIDTH,
                left - 6.0,
                y + 4.0
            );
        }
    }
    for cost in costs {
        let (px, py) = at(x(cost), cost.seconds);
        let _ = writeln!(
            svg,
            "<text x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text x=\"{px:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\" fill=\"#666\" font-size=\"10\">{:.1} MiB</text>",
            bottom + 16.0,
            x(cost),
            py - 10.0,
            cost.mib
        );
    }
    for (name, colour, place, of) in [
        ("a round", "#1b6e53", 46.0, (|c: &Cost| c.seconds) as fn(&Cost) -> f64),
        ("bare prio", "#b5651d", 62.0, |c: &Cost| c.bare),
    ] {
        let points: Vec<(f64, f64)> = costs.iter().map(|c| at(x(c), of(c))).collect();
        let line: Vec<String> = points.iter().map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (a, b) in &points {
            let _ = writeln!(svg, "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{place}\" fill=\"{colour}\">{name}</text>", left + 10.0);
    }
}
