//! `init`, `charter`, `join`: from an organisation to a federation.

use std::{path::Path, process::ExitCode};

use hedgerow_node::{
    flow::{
        access::Action,
        membership::{self, Pseudonymous, Terms},
    },
    node::{Node, now},
    store::KdfParams,
};
use hedgerow_protocol::{
    document::{self, Member, Signed},
    privacy::{Accounting, Unit},
};
use serde_json::json;

use super::{Context, read, write};
use crate::{
    args::{Charter, CharterNew, Init},
    output::{self, plain},
    passphrase,
};

pub(crate) fn init(context: &Context, init: Init) -> anyhow::Result<ExitCode> {
    let home = &context.session.home;
    let card = init.card.unwrap_or_else(|| home.join("member.json"));
    let passphrase = passphrase::read_new(context.session.passphrase_file.as_deref())?;
    let node = Node::init(home, &passphrase, KdfParams::default(), init.name, init.contact, init.addresses)?;
    write(&card, &membership::write(node.member())?)?;
    if context.json {
        output::json(&json!({ "id": node.id(), "home": home, "card": card }))?;
    } else {
        println!("The vault is in {}.", home.display());
        println!("This node is {}.", node.id());
        println!(
            "Give {} to whoever draws up the charter, and say the node's id to them by voice.",
            card.display()
        );
        println!("Nobody can open the vault without the passphrase: keep it safe.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(context: &Context, charter: Charter) -> anyhow::Result<ExitCode> {
    match charter {
        Charter::New(new) => draw_up(context, new),
        Charter::Sign { charter, others } => {
            let node = context.session.open(Action::Charter, "sign one")?;
            let signed = membership::read(&read(&charter)?)?;
            let others = others
                .iter()
                .map(|path| Ok(membership::read(&read(path)?)?))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let signed = membership::sign(&node, signed, &others)?;
            write(&charter, &membership::write(&signed)?)?;
            show(context, &signed)
        }
        Charter::Card { out } => {
            let node = context.session.open(Action::Charter, "write its card")?;
            write(&out, &membership::write(node.member())?)?;
            if context.json {
                output::json(&json!({ "id": node.id(), "card": out }))?;
            } else {
                println!("Give {} to whoever draws up the charter.", out.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Charter::Show { charter: Some(path) } => show(context, &membership::read(&read(&path)?)?),
        Charter::Show { charter: None } => {
            match context.session.run(&hedgerow_node::api::Command::Charter, "reading")? {
                hedgerow_node::api::Outcome::Charter(envelope) => show(context, &envelope.open()?),
                _ => anyhow::bail!("the node answered another question"),
            }
        }
    }
}

pub(crate) fn join(context: &Context, path: &Path) -> anyhow::Result<ExitCode> {
    let charter = membership::read(&read(path)?)?;
    let node = context.session.open(Action::Charter, "join one")?;
    membership::join(&node, &charter)?;
    if context.json {
        output::json(&json!({ "joined": charter.id(), "name": charter.document().name }))?;
    } else {
        println!("Joined {:?} ({}).", plain(&charter.document().name), charter.id());
        println!("`hedgerow serve` runs the node.");
    }
    Ok(ExitCode::SUCCESS)
}

fn draw_up(context: &Context, new: CharterNew) -> anyhow::Result<ExitCode> {
    let cards = new
        .members
        .iter()
        .map(|path| Ok(membership::read::<Member>(&read(path)?)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let node = context.session.open(Action::Charter, "draw one up")?;
    let terms = Terms {
        quorum: new.quorum,
        epsilon_total: new.epsilon_total,
        epsilon_per_query: new.epsilon_per_query,
        nodes_per_person: new.nodes_per_person,
        contributions: new.contributions,
        rounds: !new.no_rounds,
        tolerated: new.tolerated,
        epsilon_aggregators: new.epsilon_aggregators,
        epsilon_per_asker: new.epsilon_per_asker,
        accounting: new.zcdp.map_or(Accounting::Pure, |delta_e12| Accounting::Zcdp { delta_e12 }),
        unit: if new.by_year { Unit::PersonYear } else { Unit::Person },
        pseudonyms: new
            .pseudonyms
            .then_some(Pseudonymous { vouchers: new.vouchers, delay_seconds: new.pseudonym_delay }),
        ..Terms::new(new.name)
    };
    let signed = membership::draw_up(&node, cards, terms, now())?;
    write(&new.out, &membership::write(&signed)?)?;
    show(context, &signed)
}

fn show(context: &Context, charter: &Signed<document::Charter>) -> anyhow::Result<ExitCode> {
    let c = charter.document();
    if context.json {
        output::json(&json!({
            "id": charter.id(),
            "in_force": charter.in_force(),
            "signed_by": charter.signers(),
            "charter": c,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} — charter {}", plain(&c.name), charter.id());
    let state = if charter.in_force() { "in force" } else { "not in force yet" };
    println!(
        "Signed by {} members of {}, {} must: {state}.",
        charter.member_signatures(),
        c.members.len(),
        c.quorum
    );
    for member in &c.members {
        let mark = if charter.signers().contains(&member.id) { "signed" } else { "      " };
        println!("  {mark}  {}  {}", member.id, plain(&member.name));
    }
    let p = &c.privacy;
    println!(
        "Privacy: epsilon {} in total at each node, {} a question; a person counts in at most {} cells with {} \
         incidents each, and is assumed to be known at up to {} nodes.",
        p.epsilon_total, p.epsilon_per_query, p.cells_per_person, p.incidents_per_cell, p.nodes_per_person
    );
    if let Some(asker) = &p.epsilon_per_asker {
        println!("The questions of one member may cost epsilon {asker} of it.");
    }
    if let Some(delta) = p.accounting.delta_e12() {
        println!("Counted in zCDP; every epsilon is that at delta {delta}e-12.");
    }
    if p.unit == Unit::PersonYear {
        println!(
            "Each calendar year of incidents has this budget of its own, and covers that year's records alone."
        );
    }
    match &p.round {
        Some(round) => println!(
            "Rounds: {} aggregators, up to {} members may drop out or collude; epsilon at most {} if every aggregator \
             colludes; at most {} in one cell of one member.",
            c.aggregators, round.tolerated, round.epsilon_aggregators, round.most_in_cell
        ),
        None => println!("No rounds: each member adds its own full noise to every answer."),
    }
    if let Some(policy) = &c.pseudonyms {
        println!(
            "Pseudonyms: {} members must vouch for one; tokens are handed in over {} seconds.",
            policy.vouchers, policy.delay_seconds
        );
    }
    for purpose in &c.purposes {
        println!("Purpose {}: {} (epsilon {})", purpose.code, plain(&purpose.label), purpose.epsilon);
    }
    for ground in &c.refusal_grounds {
        println!("Ground for refusing {}: {}", ground.code, plain(&ground.label));
    }
    Ok(ExitCode::SUCCESS)
}
