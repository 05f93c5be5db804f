//! Carries out one command.

use std::{fs::File, path::Path, sync::Arc};

use hedgerow_protocol::{
    id::NodeId,
    statistic::{Mode, Query},
    time::Timestamp,
    wire::Spreading,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};

use super::{budget, command::*, library, outcome::*, people};
use crate::{
    error::{Class, NodeError},
    export::{self, Audience, Exported, Publisher, export},
    flow::{
        access::Caller,
        backup::Recipients,
        intake::{Imported, read_bounded},
        serve::Service,
    },
    net::PeerState,
    node::{Node, now, random},
    reader::{incident, indicator},
    simulate::simulate,
    store::{Attachment, CustodyNote, Entry, ForeignObject, RecordNumber},
};

/// Hears of progress: done, and of how many if that is known.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, Option<u64>) + Send);

/// How long members may take to answer a question, in seconds.
const QUESTION_OPEN_SECONDS: i64 = 600;
/// Most records listed at once.
const MOST_LISTED: u64 = 10_000;
/// Most records made up at once.
const MOST_SIMULATED: u64 = 10_000_000;

/// Carries out `command` on `node` for the one who opened its vault; with `service` if it is running.
pub async fn run(
    node: &Arc<Node>,
    service: Option<&Service>,
    command: Command,
    progress: Progress<'_>,
) -> Result<Outcome, NodeError> {
    run_as(&Caller::opener(node), node, service, command, progress).await
}

/// Carries out `command` for `caller`, if she may do it.
pub async fn run_as(
    caller: &Caller,
    node: &Arc<Node>,
    service: Option<&Service>,
    command: Command,
    progress: Progress<'_>,
) -> Result<Outcome, NodeError> {
    let (action, what) = command.access(Some(&caller.user.name));
    blocking(|| node.permit(caller, action, &what))?;
    match command {
        Command::Ask { question } => {
            let service = service.ok_or_else(|| {
                NodeError::new(
                    Class::Network,
                    "asking needs the node running; start it with `hedgerow serve`",
                )
            })?;
            let query = dated(node, question, now())?;
            let release = service.ask(query, &mut |done, of| progress(done, Some(of))).await?;
            Ok(Outcome::Release(release.envelope().clone()))
        }
        Command::IndicatorPublish { tlp, to, confirmed } => {
            let (mut report, announcements) = blocking(|| node.publish_to(tlp, &to, confirmed, now()))?;
            if let Some(service) = service {
                report.announced = service.announce(announcements).await;
            }
            Ok(Outcome::Published(report))
        }
        Command::IndicatorRevoke { id } => {
            let (mut report, announcements) = blocking(|| node.revoke(&id, now()))?;
            if let Some(service) = service {
                report.announced = service.announce(announcements).await;
            }
            Ok(Outcome::Published(report))
        }
        Command::Status => blocking(|| status(node, service)),
        Command::People { people } => blocking(|| people::run(node, caller, people)).map(Outcome::People),
        other => blocking(|| offline(node, other, progress)),
    }
}

/// Store work of one command, off the tasks that serve the network.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Commands that need the vault alone.
fn offline(node: &Node, command: Command, progress: Progress<'_>) -> Result<Outcome, NodeError> {
    match command {
        Command::Import { path, options } => import(node, &path, options, progress).map(Outcome::Imported),
        Command::Simulate { count, seed } => made_up(node, count, seed, progress).map(Outcome::Imported),
        Command::RecordAdd { form } => node.add_record(*form).map(|n| Outcome::Added(n.0)),
        Command::RecordShow { number } => {
            let record = node.record(RecordNumber(number))?;
            Ok(Outcome::Records(vec![NumberedForm { number, record }]))
        }
        Command::RecordList { from, limit } => {
            let limit = usize::try_from(limit.min(MOST_LISTED)).unwrap_or(0);
            let listed = node.list_records(RecordNumber(from), limit)?;
            let numbered = listed.into_iter().map(|(n, record)| NumberedForm { number: n.0, record });
            Ok(Outcome::Records(numbered.collect()))
        }
        Command::RecordSearch { search } => node.search_records(&search).map(Outcome::Found),
        Command::RecordReplace { number, form } => {
            node.replace_record(RecordNumber(number), *form).map(|()| Outcome::Changed)
        }
        Command::RecordConsent { number, consents } => {
            node.set_consent(RecordNumber(number), consents).map(|()| Outcome::Changed)
        }
        Command::Check => {
            node.records.check()?;
            let attachments = node.attachments.check(&mut |done| progress(done, None))?;
            Ok(Outcome::Checked(Checked {
                values: node.vault.check()?,
                records: node.records.count() as u64,
                attachments,
            }))
        }
        Command::RecordErase { number } => node.erase_record(RecordNumber(number)).map(|()| Outcome::Erased),
        Command::Attachment { record, action } => {
            attachment(node, RecordNumber(record), action, progress).map(Outcome::Attachments)
        }
        Command::Charter => Ok(Outcome::Charter(node.federation()?.charter.envelope().clone())),
        Command::IndicatorImport { path, format, given } => {
            let format =
                format.map(|f| f.parse::<indicator::Format>()).transpose().map_err(NodeError::input)?;
            // A folder is a MISP feed.
            let rows = if path.is_dir() {
                indicator::read_feed(&path, now())
            } else {
                indicator::read(&read_bounded(opened(&path)?, indicator::FILE_BYTES)?, format, now())
            };
            let mut rows = rows.map_err(NodeError::input)?;
            node.given(&mut rows, &given, now())?;
            let total = rows.len() as u64;
            let (own, context) = node.import_indicators(rows, now(), &mut |n| progress(n, Some(total)))?;
            Ok(imported(own, context))
        }
        Command::IndicatorCorroborate { ids } => {
            let (own, context) = node.import_indicators(node.said_too(&ids, now())?, now(), &mut |_| ())?;
            Ok(imported(own, context))
        }
        Command::IndicatorList => {
            let entries = node.indicators()?;
            Ok(Outcome::Indicators(entries.iter().map(|e| listed(node, e)).collect()))
        }
        Command::Library { action } => Ok(Outcome::Library(Box::new(library::run(node, action)?))),
        Command::IndicatorExport { format, members, corroborated } => {
            let format: export::Format = format.parse().map_err(NodeError::input)?;
            let audience = if members { Audience::Members } else { Audience::Anyone };
            let mut entries = node.indicators()?;
            let policy = if format.acts() { node.settings.policy()?.corroborated } else { 0 };
            let fewest = corroborated.unwrap_or_default().max(policy);
            let mut left = Exported::default();
            if fewest > 1 {
                node.corroborated(&mut entries, fewest, now(), &mut left);
            }
            let allowed = node.library.allowed().entries();
            let mut done = export(&entries, format, audience, &publisher(node), &allowed, now());
            done.left_out.extend(left.left_out);
            Ok(Outcome::Exported(done))
        }
        Command::ConfirmLedger { also } => node.confirm_ledger(also, now()).map(Outcome::Confirmed),
        Command::Backup { path, recipients, single } => {
            let recipients = Recipients::parse(&recipients, single)?;
            node.back_up(&path, &recipients, now(), progress).map(Outcome::Archived)
        }
        Command::Ledger => budget::ledger(node, |id| name_of(node, id)).map(Outcome::Ledger),
        Command::Expect { question, half_width } => {
            let query = dated(node, question, now())?;
            Ok(Outcome::Expected(Box::new(budget::expect(node, query, half_width)?)))
        }
        Command::TaxiiTokenAdd { name, tlp, write } => {
            Ok(Outcome::TaxiiToken(node.add_client(&name, tlp, write, now())?.to_string()))
        }
        Command::TaxiiTokenList => Ok(Outcome::TaxiiTokens(node.list_clients()?)),
        Command::TaxiiTokenRevoke { name } => node.revoke_client(&name).map(|()| Outcome::TaxiiTokenRevoked),
        Command::IndicatorPull { from } => {
            node.pull(&from, now(), &mut |read| progress(read, None)).map(Outcome::Pulled)
        }
        Command::Match { paths, records, remember } => {
            let mut matches =
                node.find_matches(&paths, records, now(), &mut |done, of| progress(done, Some(of)))?;
            if remember {
                matches.remembered = Some(node.remember(&matches, now())?);
            }
            Ok(Outcome::Matches(Box::new(matches)))
        }
        Command::ForeignList => node.list_foreign(listed_foreign).map(Outcome::Foreign),
        Command::ForeignAdopt { which } => node.adopt(&which, now()).map(Outcome::ForeignMoved),
        Command::ForeignDrop { which } => node.drop_foreign(&which).map(Outcome::ForeignMoved),
        Command::Ask { .. }
        | Command::Status
        | Command::People { .. }
        | Command::IndicatorPublish { .. }
        | Command::IndicatorRevoke { .. } => Err(NodeError::input("this command is not for the vault alone")),
    }
}

fn attachment(
    node: &Node,
    record: RecordNumber,
    action: AttachmentAction,
    progress: Progress<'_>,
) -> Result<Vec<Attachment>, NodeError> {
    let dated = |note| CustodyNote { at: now(), note };
    let one = match action {
        AttachmentAction::List => return node.list_attachments(record),
        AttachmentAction::Add { path, note } => node.attach(record, &path, dated(note), progress)?,
        AttachmentAction::Export { number, path } => {
            node.export_attachment(record, number, &path, progress)?
        }
        AttachmentAction::Note { number, note } => node.note_attachment(record, number, dated(note))?,
        AttachmentAction::Remove { number } => node.remove_attachment(record, number)?,
    };
    Ok(vec![one])
}

fn dated(node: &Node, question: Question, at: Timestamp) -> Result<Query, NodeError> {
    let charter = &node.federation()?.charter;
    // A round is far more accurate: it is what is asked for wherever there can be one.
    let round = !question.local && charter.document().privacy.round.is_some();
    let mut query = Query {
        version: 1,
        mode: if round { Mode::Round } else { Mode::Local },
        charter: charter.id(),
        measure: question.measure,
        indicators: node.published_as(&question.indicators)?.into_iter().map(|one| one.id).collect(),
        conditions: question.conditions,
        period: question.period,
        group_by: question.group_by,
        cells_per_person: question.cells_per_person,
        purpose: question.purpose,
        need: question.need,
        epsilon: question.epsilon,
        asked_at: at,
        expires_at: at.plus_seconds(QUESTION_OPEN_SECONDS),
    };
    query.version = query.version_needed();
    Ok(query)
}

fn opened(path: &Path) -> Result<File, NodeError> {
    File::open(path).map_err(|e| NodeError::input(format!("{} cannot be read: {e}", path.display())))
}

fn import(
    node: &Node,
    path: &Path,
    options: ImportOptions,
    progress: Progress<'_>,
) -> Result<Imported, NodeError> {
    let mapping = match &options.mapping {
        Some(path) => {
            let json = read_bounded(opened(path)?, 1024 * 1024)?;
            let json = String::from_utf8(json).map_err(|_| NodeError::input("the mapping is not UTF-8"))?;
            Some(incident::Mapping::from_json(&json).map_err(NodeError::input)?)
        }
        None => None,
    };
    let format = options
        .format
        .map(|f| f.parse())
        .transpose()
        .map_err(|e: incident::ReadError| NodeError::input(e))?;
    let reading = incident::Options {
        format,
        name: path.file_name().map(|n| n.to_string_lossy().into_owned()),
        encoding: options.encoding,
        mapping,
        assume_consent: options.assume_consent,
    };
    let rows = incident::read(opened(path)?, reading).map_err(|error| match &error {
        incident::ReadError::NoMapping { proposed } => {
            NodeError::input(format!("{error}. Proposed:\n{}", proposed.to_json()))
        }
        _ => NodeError::input(error),
    })?;
    let (k, n) = options.share.unwrap_or((0, 1));
    if n == 0 || k >= n {
        return Err(NodeError::input("a share is k of n, with k from 0 and below n"));
    }
    let rows = rows.zip(0u64..).filter(move |(_, place)| place % n == k).map(|(row, _)| {
        let result = match row.result {
            Ok(incoming) => Ok((incoming.form, incoming.source)),
            Err(rejection) => Err(match rejection.column {
                Some(column) if !rejection.reason.starts_with(&column) => {
                    format!("{column}: {}", rejection.reason)
                }
                _ => rejection.reason,
            }),
        };
        (row.line, result)
    });
    node.import_records(rows, options.dry_run, &mut |done| progress(done, None))
}

fn made_up(
    node: &Node,
    count: u64,
    seed: Option<u64>,
    progress: Progress<'_>,
) -> Result<Imported, NodeError> {
    if count > MOST_SIMULATED {
        return Err(NodeError::input(format!("at most {MOST_SIMULATED} records are made up at once")));
    }
    let seed = seed.unwrap_or_else(|| random().random());
    let forms = simulate(StdRng::seed_from_u64(seed), now().day());
    let take = usize::try_from(count).unwrap_or(usize::MAX);
    let rows = (1u64..).zip(forms.take(take)).map(|(line, form)| {
        // The same seed twice adds nothing, as the same file twice does not.
        let mut source = Sha256::new();
        source.update(b"hedgerow/simulate/1/");
        source.update(seed.to_be_bytes());
        source.update(line.to_be_bytes());
        (line, Ok((form, source.finalize().into())))
    });
    node.import_records(rows, false, &mut |done| progress(done, Some(count)))
}

fn name_of(node: &Node, id: NodeId) -> String {
    let charter = node.charter().map(|c| c.document());
    match charter.and_then(|c| c.member(&id)) {
        Some(member) => member.name.clone(),
        None if node.own_keys().contains(&id) => format!("pseudonym {} (this node's)", id.short()),
        None if charter.is_some_and(|c| c.pseudonyms.is_some()) => format!("pseudonym {}", id.short()),
        None => id.short(),
    }
}

fn imported(own: Imported, context: Imported) -> Outcome {
    let Imported { read, stored, duplicates, rejected } = own;
    Outcome::IndicatorsImported(IndicatorsImported { read, stored, duplicates, rejected, context })
}

/// In whose name an export stands: the federation's, or this node's own while it is in none.
fn publisher(node: &Node) -> Publisher {
    match node.charter() {
        Some(charter) => Publisher { name: charter.document().name.clone(), charter: Some(charter.id()) },
        None => Publisher { name: node.member().document().name.clone(), charter: None },
    }
}

fn listed_foreign(foreign: &ForeignObject) -> ListedForeign {
    let object = &foreign.object;
    ListedForeign {
        id: object.id().to_owned(),
        kind: object.kind().to_owned(),
        what: object.what(),
        tlp: object.tlp(),
        source: foreign.source.clone(),
        at: foreign.at,
    }
}

fn listed(node: &Node, entry: &Entry) -> ListedIndicator {
    let object = &entry.object;
    let state = match (entry.is_draft(), object.revoked()) {
        (true, _) => "draft",
        (false, true) => "revoked",
        (false, false) => "published",
    };
    ListedIndicator {
        id: object.id().to_owned(),
        kind: object.kind().to_owned(),
        what: object.what(),
        tlp: if entry.is_draft() { None } else { object.tlp() },
        state: state.to_owned(),
        from: entry.owner.map(|id| name_of(node, id)),
        at: entry.at,
    }
}

fn status(node: &Node, service: Option<&Service>) -> Result<Outcome, NodeError> {
    let (indicators, drafts) = node.library.count();
    let charter = node.charter().map(|c| CharterView {
        name: c.document().name.clone(),
        id: c.id(),
        members: c.document().members.len(),
        quorum: c.document().quorum,
    });
    let budget = match node.charter() {
        Some(_) => Some(budget::ledger(node, |id| name_of(node, id))?.total),
        None => None,
    };
    Ok(Outcome::Status(Box::new(Status {
        name: node.member().document().name.clone(),
        id: node.id(),
        charter,
        records: node.records.count(),
        indicators,
        drafts,
        batches: node.documents.count(Spreading::Batch),
        releases: node.documents.count(Spreading::Release),
        budget,
        restored: node.restored()?,
        pseudonym: node.standing()?,
        network: service.map(|s| network_view(node, s)),
        acts_for: None,
    })))
}

fn network_view(node: &Node, service: &Service) -> NetworkView {
    let network = service.network();
    let peers = network.peers().into_iter().map(|peer| PeerView {
        name: name_of(node, peer.id),
        id: peer.id,
        connected: peer.state == PeerState::Connected,
        state: match peer.state {
            PeerState::Connected => "connected".into(),
            PeerState::Trying => "trying to connect".into(),
            PeerState::NoAddress => "no address is known; waiting for its call".into(),
            PeerState::Unreachable { why } => format!("unreachable: {why}"),
            PeerState::WrongKey => "another key answers at its address".into(),
            PeerState::Blocked { fault, .. } => format!("blocked for its conduct: {fault}"),
        },
    });
    let dropped = network.counters();
    let dropped = dropped.named().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n));
    NetworkView {
        listening: network.listening(),
        peers: peers.collect(),
        dropped: dropped.collect(),
        aggregating: service.aggregating(),
    }
}
