//! One file for each group of commands.

mod ask;
mod attachment;
mod backup;
mod charter;
mod demo;
mod indicator;
mod library;
mod matching;
mod people;
mod record;
mod serve;
mod show;
mod taxii;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;

use crate::{
    args::{Args, Command},
    session::Session,
};

/// What every command is given.
pub(crate) struct Context {
    pub(crate) session: Session,
    pub(crate) json: bool,
}

/// Carries out what was typed.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let session = Session::new(args.home, args.passphrase_file)?;
    // To `restore` it is what opens the backup; the restored vault opens as it always did.
    let identity = args.identity.filter(|_| !matches!(args.command, Command::Restore(_)));
    let session = Session { identity, user: args.user, reason: args.reason, ..session };
    let context = Context { session, json: args.json };
    match args.command {
        Command::Demo(demo) => demo::run(&context, &demo),
        Command::Init(init) => charter::init(&context, init),
        Command::Import(import) => record::import(&context, &import),
        Command::Simulate(simulate) => record::simulate(&context, &simulate),
        Command::Record(record) => record::run(&context, record),
        Command::Attachment(attachment) => attachment::run(&context, attachment),
        Command::Charter(charter) => charter::run(&context, charter),
        Command::Join { charter } => charter::join(&context, &charter),
        Command::Serve(serve) => serve::run(&context, serve),
        Command::Ask(ask) => ask::run(&context, &ask),
        Command::Verify(verify) => ask::verify(&context, &verify),
        Command::Indicator(indicator) => indicator::run(&context, indicator),
        Command::Match { paths, records, remember } => matching::run(&context, &paths, records, remember),
        Command::Taxii(taxii) => taxii::run(&context, taxii),
        Command::User(user) => people::user(&context, user),
        Command::Key(key) => people::key(&context, key),
        Command::Log(log) => people::log(&context, &log),
        Command::Policy { require_reason, corroborated } => {
            people::policy(&context, require_reason, corroborated)
        }
        Command::Lock => people::seat(&context, false),
        Command::Unlock => people::seat(&context, true),
        Command::Panic { yes } => people::panic(&context, yes),
        Command::Ledger(ledger) => show::ledger(&context, ledger),
        Command::Backup(backup) => backup::backup(&context, backup),
        Command::Rebuild { at_least } => backup::rebuild(&context, at_least),
        Command::Restore(restore) => backup::restore(&context, &restore),
        Command::Status => show::status(&context),
        Command::Check => show::check(&context),
        Command::Upgrade => show::upgrade(&context),
        Command::Codes { dimension } => show::codes(&context, dimension.as_deref()),
    }
}

/// Reads a file of at most 16 MiB.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    anyhow::ensure!(size <= 16 * 1024 * 1024, "{} is too long to be what is asked for", path.display());
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    let mut hidden = std::ffi::OsString::from(format!(".{}-", std::process::id()));
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let synced = || {
        use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
        // New, so that nothing planted under the name is written through; for its owner alone.
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    };
    synced()
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .with_context(|| format!("{} cannot be written", path.display()))
}
