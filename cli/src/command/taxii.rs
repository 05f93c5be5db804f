//! `taxii`: who may collect indicators over TAXII.

use std::process::ExitCode;

use anyhow::bail;
use hedgerow_node::api::{Command, Outcome};
use serde_json::json;

use super::Context;
use crate::{
    args::{Taxii, Token},
    output::{self, plain},
};

pub(crate) fn run(context: &Context, Taxii::Token(token): Taxii) -> anyhow::Result<ExitCode> {
    match token {
        Token::Add { name, tlp, write } => {
            let command = Command::TaxiiTokenAdd { name: name.clone(), tlp, write };
            let Outcome::TaxiiToken(token) = context.session.run(&command, "making")? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&json!({ "name": name, "tlp": tlp, "write": write, "token": token }))?;
            } else {
                println!("{token}");
                eprintln!("This is shown once. As a password it goes with any user name.");
            }
        }
        Token::List => {
            let Outcome::TaxiiTokens(list) = context.session.run(&Command::TaxiiTokenList, "reading")? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&list)?;
            } else {
                for client in &list {
                    let posts = if client.write.is_some() { "reads and posts" } else { "reads" };
                    println!(
                        "{:<24} TLP {:<12} {posts}, since {}",
                        plain(&client.name),
                        client.tlp.to_string(),
                        client.at
                    );
                }
            }
        }
        Token::Revoke { name } => {
            context.session.run(&Command::TaxiiTokenRevoke { name: name.clone() }, "revoking")?;
            if context.json {
                output::json(&json!({ "revoked": name }))?;
            } else {
                println!("The token of {} is refused from now on.", plain(&name));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
