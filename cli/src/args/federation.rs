//! What can be typed of charters, serving, questions and releases.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use hedgerow_protocol::{
    privacy::MicroEpsilon,
    statistic::{Axis, Bounded, Measure},
    time::Quarter,
    vocabulary::{Field, FieldError},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Charter {
    /// Draw up a charter from the members' cards, and sign it.
    New(CharterNew),
    /// Add this node's signature.
    Sign {
        /// The charter; it is replaced by the signed one.
        charter: PathBuf,
        /// Other copies of the same charter, whose signatures are taken over.
        #[arg(long = "merge", value_name = "FILE")]
        others: Vec<PathBuf>,
    },
    /// Write this node's card anew, for whoever draws up a charter.
    Card {
        /// Where to write it.
        #[arg(long, default_value = "member.json", value_name = "FILE")]
        out: PathBuf,
    },
    /// Show a charter, or the one that this node joined.
    Show {
        /// The charter; the node's own if not given.
        charter: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CharterNew {
    /// Name of the federation.
    #[arg(long)]
    pub(crate) name: String,
    /// Member card of another organisation; this node's own is added.
    #[arg(long = "member", value_name = "FILE")]
    pub(crate) members: Vec<PathBuf>,
    /// How many members must sign; a majority if not given.
    #[arg(long)]
    pub(crate) quorum: Option<u32>,
    /// What each node may spend over all questions.
    #[arg(long, default_value = "8")]
    pub(crate) epsilon_total: MicroEpsilon,
    /// Most that one question may cost.
    #[arg(long, default_value = "2")]
    pub(crate) epsilon_per_query: MicroEpsilon,
    /// At how many nodes one person is assumed to be known.
    #[arg(long, default_value_t = 2)]
    pub(crate) nodes_per_person: u32,
    /// Fewest contributions that make a release; a majority if not given.
    #[arg(long)]
    pub(crate) contributions: Option<u32>,
    /// Hold no rounds: every member adds its own full noise to every answer.
    #[arg(long)]
    pub(crate) no_rounds: bool,
    /// How many members may drop out of a round or collude; a fifth, and one at least, if not given.
    #[arg(long, conflicts_with = "no_rounds")]
    pub(crate) tolerated: Option<u32>,
    /// Most that a round may cost a person if every aggregator colludes; three times --epsilon-per-query if not
    /// given. Less makes the noise larger.
    #[arg(long, conflicts_with = "no_rounds")]
    pub(crate) epsilon_aggregators: Option<MicroEpsilon>,
    /// Most of the total that the questions of one member may cost; half of it if not given.
    #[arg(long, value_name = "EPSILON")]
    pub(crate) epsilon_per_asker: Option<MicroEpsilon>,
    /// Count in zero-concentrated differential privacy and state guarantees at this delta, such as 1e-9: many small
    /// questions, and those in which one person touches many cells, get more accurate answers.
    #[arg(long, value_name = "DELTA", value_parser = delta)]
    pub(crate) zcdp: Option<u64>,
    /// Give each calendar year of incidents a budget of its own: the guarantee then covers what a node holds of one
    /// person for one year.
    #[arg(long)]
    pub(crate) by_year: bool,
    /// Let members publish indicators under pseudonyms: that one of them says it is sure, and not who.
    #[arg(long)]
    pub(crate) pseudonyms: bool,
    /// How many members must vouch for a pseudonym: the more, the more may collude and have none too many. Two thirds and one
    /// if not given.
    #[arg(long, value_name = "MEMBERS", requires = "pseudonyms")]
    pub(crate) vouchers: Option<u32>,
    /// Over how many seconds, once all members have met, a node spreads the handing in of the tokens by which it is vouched
    /// for. Longer hides better who has which pseudonym. Publishing itself takes seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, requires = "pseudonyms")]
    pub(crate) pseudonym_delay: u32,
    /// Where to write it.
    #[arg(long, default_value = "charter.json", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// A delta in units of 1e-12.
fn delta(text: &str) -> Result<u64, String> {
    let wrong = || "a delta is between 1e-12 and 1e-6".to_owned();
    let delta: f64 = text.parse().map_err(|_| wrong())?;
    let units = (delta * 1e12).round();
    if (1.0..=1e6).contains(&units) { Ok(units as u64) } else { Err(wrong()) }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Multiaddress to listen on; the addresses in the charter if not given. May be given several times.
    #[arg(long = "listen", value_name = "MULTIADDR")]
    pub(crate) listen: Vec<String>,
    /// Serve the indicator library over TAXII 2.1 on this address, such as 127.0.0.1:8447. `hedgerow taxii token add`
    /// lets a program in.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) taxii: Option<std::net::SocketAddr>,
    /// How TAXII clients reach this node, such as https://taxii.example.org, where a proxy with TLS stands before it.
    #[arg(long, value_name = "URL", requires = "taxii")]
    pub(crate) taxii_url: Option<String>,
    /// Lock after so many minutes in which nobody used it: records and all else but the status then need a key. 0 for
    /// never. The federation is answered, and TAXII served, all the same.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    pub(crate) lock_after: u64,
    /// End when standard input closes, so that a parent leaves nothing running.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ask {
    /// incidents or people.
    #[arg(long, default_value = "people", value_parser = measure)]
    pub(crate) count: Measure,
    /// The sum of a number over incidents: accounts_affected, contacts_exposed, days_to_answer or money_lost. With
    /// :N, larger numbers count as N; the noise grows with it.
    #[arg(long, value_name = "NUMBER[:N]", value_parser = bounded, conflicts_with_all = ["count", "mean", "quantile"])]
    pub(crate) sum: Option<Bounded>,
    /// The mean of a number over the incidents that have it. How accurate it is depends on how many these are.
    #[arg(long, value_name = "NUMBER[:N]", value_parser = bounded, conflicts_with_all = ["count", "quantile", "target_error"])]
    pub(crate) mean: Option<Bounded>,
    /// A quantile of a number, such as days_to_answer:0.9; the median without :Q. Asks for incidents by the number's
    /// bins, which `--by NUMBER` shows as a histogram.
    #[arg(long, value_name = "NUMBER[:Q]", value_parser = quantile, conflicts_with = "count")]
    pub(crate) quantile: Option<(Field, f64)>,
    /// How many groups saw each of these published indicators: values or STIX ids. By quarter or year, too, with --by.
    /// Nobody learns which groups.
    #[arg(
        long, value_delimiter = ',', value_name = "INDICATOR,…",
        conflicts_with_all = ["count", "sum", "mean", "quantile", "conditions"]
    )]
    pub(crate) sightings: Vec<String>,
    /// Axes of the answer, such as tactic,quarter.
    #[arg(long, value_delimiter = ',', value_name = "AXIS,…")]
    pub(crate) by: Vec<Axis>,
    /// Conditions, such as origin=IR,role=journalist; several codes of one dimension as origin=IR|CN.
    #[arg(long = "where", value_delimiter = ',', value_name = "DIMENSION=CODE,…")]
    pub(crate) conditions: Vec<String>,
    /// First quarter, such as 2025-Q1. Without a period all time is asked, or the last eight complete quarters
    /// where the answer is by quarter or year.
    #[arg(long)]
    pub(crate) from: Option<Quarter>,
    /// Last quarter.
    #[arg(long)]
    pub(crate) to: Option<Quarter>,
    /// What each node is asked to spend, such as 0.5.
    #[arg(long, required_unless_present = "target_error")]
    pub(crate) epsilon: Option<MicroEpsilon>,
    /// Find the epsilon: the least at which 95% intervals reach no further than this to either side.
    #[arg(long, value_name = "N", conflicts_with = "epsilon")]
    pub(crate) target_error: Option<u64>,
    /// Tell what it would cost and how accurate the answer would be; spend nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the answer is for: a code of the charter, such as research.
    #[arg(long)]
    pub(crate) purpose: String,
    /// Why it is needed, in a sentence; members see it.
    #[arg(long, default_value = "")]
    pub(crate) need: String,
    /// Most cells one person counts in, below the charter's bound: fewer means less noise.
    #[arg(long)]
    pub(crate) cells_per_person: Option<u32>,
    /// Hold no round: every member adds its own full noise, and the answer is that much less accurate.
    #[arg(long)]
    pub(crate) local: bool,
    /// Where to write the release; release-<id>.json if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn measure(text: &str) -> Result<Measure, String> {
    match text {
        "incidents" => Ok(Measure::Incidents),
        "people" => Ok(Measure::People),
        _ => Err("incidents or people can be counted".into()),
    }
}

/// `NUMBER[:REST]`.
fn number(text: &str) -> Result<(Field, Option<&str>), String> {
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    Ok((name.parse().map_err(|e: FieldError| e.to_string())?, rest))
}

fn bounded(text: &str) -> Result<Bounded, String> {
    let (field, rest) = number(text)?;
    let at_most = match rest {
        None => field.most(),
        Some(n) => n.parse().map_err(|_| format!("{n:?} is no whole number"))?,
    };
    Ok(Bounded { field, at_most })
}

fn quantile(text: &str) -> Result<(Field, f64), String> {
    let (field, rest) = number(text)?;
    match rest.map_or(Ok(0.5), str::parse) {
        Ok(q) if q > 0.0 && q < 1.0 => Ok((field, q)),
        _ => Err("a quantile is between 0 and 1, such as 0.5".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// The release.
    pub(crate) release: PathBuf,
    /// The charter that you trust; the release must be under it.
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: Option<PathBuf>,
    /// Show its figures, too.
    #[arg(long)]
    pub(crate) show: bool,
}
