//! Who may do what, and what of it is written down: the one table of both (docs/operating.md, People).
//!
//! Roles are kept by this program, not by keys: every slot of the keyring wraps the same master key
//! (docs/threat-model.md).

use crate::{
    error::NodeError,
    node::{Node, now},
    store::{Access, Anchor, Chain, Role, User},
};

use Role::{Analyst, Auditor, Caseworker, Operator};

/// Longest reason, in characters.
const REASON: usize = 500;

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See how the node is.
    Status,
    /// See the charter, or the policy.
    Look,
    /// Add a record.
    RecordAdd,
    /// Import or make up records.
    RecordImport,
    /// Read one record.
    RecordShow,
    /// List or search records.
    RecordList,
    /// Look for indicators in records.
    RecordMatch,
    /// Erase a record.
    RecordErase,
    /// Take something of a record out of the vault.
    RecordExport,
    /// List indicators.
    IndicatorList,
    /// Look for indicators in files.
    FileMatch,
    /// Import indicators.
    IndicatorImport,
    /// Decide about indicators of others: quarantine, allow-list, warning lists.
    IndicatorRule,
    /// Publish indicators.
    IndicatorPublish,
    /// Take an indicator back.
    IndicatorRevoke,
    /// Write indicators for other tools.
    IndicatorExport,
    /// See which programs may collect indicators.
    ClientList,
    /// Give a program a token to collect indicators, or take it back.
    ClientChange,
    /// Ask the federation.
    Ask,
    /// See what a question would cost.
    Expect,
    /// Read the ledger.
    Ledger,
    /// Read the access log.
    Log,
    /// Draw up, sign or join a charter.
    Charter,
    /// Run the node.
    Serve,
    /// Become the one for whom the running node acts.
    Unlock,
    /// Copy, restore, rebuild or upgrade the vault.
    Maintain,
    /// Count and open everything, showing nothing of it.
    Check,
    /// See who its users and their keys are.
    UserList,
    /// Change who its users are, what they may, or another's passphrase.
    UserChange,
    /// Change one's own passphrase.
    OwnPassphrase,
    /// Add or remove a key: a recipient, recovery shares.
    KeyChange,
    /// Set the policy.
    PolicySet,
}

/// What holds for an action.
struct Rule {
    /// Its name in the log.
    name: &'static str,
    /// One of these roles is needed.
    roles: &'static [Role],
    /// Whether it is written down.
    logged: bool,
    /// Whether a policy may ask for a reason.
    reasoned: bool,
}

const fn rule(name: &'static str, roles: &'static [Role]) -> Rule {
    Rule { name, roles, logged: true, reasoned: false }
}

impl Rule {
    const fn quiet(self) -> Self {
        Self { logged: false, ..self }
    }

    const fn reasoned(self) -> Self {
        Self { reasoned: true, ..self }
    }

    /// The role by which a user may do it.
    fn role_of(&self, user: &User) -> Option<Role> {
        self.roles.iter().copied().find(|role| user.roles.contains(role))
    }

    /// What is said to who has none of the roles.
    fn refusal(&self, user: &User) -> String {
        let may: Vec<_> = self.roles.iter().map(|role| role.name()).collect();
        format!(
            "{} ({}) may not do this ({}): it is for {}. `--user NAME` acts as another",
            user.name,
            user.roles_in_words(),
            self.name,
            may.join(" or ")
        )
    }
}

impl Action {
    const fn rule(self) -> Rule {
        match self {
            Self::Status => rule("status", &Role::ALL).quiet(),
            Self::Look => rule("look", &Role::ALL).quiet(),
            Self::RecordAdd => rule("record.add", &[Caseworker]),
            Self::RecordImport => rule("record.import", &[Caseworker]),
            Self::RecordShow => rule("record.show", &[Caseworker]).reasoned(),
            Self::RecordList => rule("record.list", &[Caseworker]).reasoned(),
            Self::RecordMatch => rule("record.match", &[Caseworker]).reasoned(),
            Self::RecordErase => rule("record.erase", &[Caseworker]).reasoned(),
            Self::RecordExport => rule("record.export", &[Caseworker]).reasoned(),
            Self::IndicatorList => rule("indicator.list", &[Analyst]).quiet(),
            Self::FileMatch => rule("file.match", &[Analyst, Caseworker]).quiet(),
            Self::IndicatorImport => rule("indicator.import", &[Analyst]),
            Self::IndicatorRule => rule("indicator.rule", &[Analyst]),
            Self::IndicatorPublish => rule("indicator.publish", &[Analyst]),
            Self::IndicatorRevoke => rule("indicator.revoke", &[Analyst]),
            Self::IndicatorExport => rule("indicator.export", &[Analyst]),
            Self::ClientList => rule("client.list", &[Operator, Analyst]).quiet(),
            Self::ClientChange => rule("client.change", &[Operator]),
            Self::Ask => rule("ask", &[Analyst]),
            Self::Expect => rule("expect", &[Analyst]).quiet(),
            Self::Ledger => rule("ledger", &[Auditor, Analyst]).quiet(),
            Self::Log => rule("log", &[Auditor]).quiet(),
            Self::Charter => rule("charter", &[Operator]),
            Self::Serve => rule("serve", &[Operator]),
            Self::Unlock => rule("unlock", &Role::ALL),
            Self::Maintain => rule("maintain", &[Operator]),
            Self::Check => rule("check", &[Operator, Auditor]).quiet(),
            Self::UserList => rule("user.list", &[Operator, Auditor]).quiet(),
            Self::UserChange => rule("user.change", &[Operator]),
            Self::OwnPassphrase => rule("user.passphrase", &Role::ALL),
            Self::KeyChange => rule("key.change", &[Operator]),
            Self::PolicySet => rule("policy.set", &[Operator]),
        }
    }

    /// An error if `user` has no role for it. For what is done to a vault that cannot be opened yet: where there is one,
    /// [`Node::permit`] asks, and writes down.
    pub(super) fn allowed(self, user: &User) -> Result<(), NodeError> {
        let rule = self.rule();
        rule.role_of(user).map(drop).ok_or_else(|| NodeError::refused(rule.refusal(user)))
    }

    /// Its name in the access log.
    pub const fn name(self) -> &'static str {
        self.rule().name
    }

    /// Whether it asks for a key each time, though someone has unlocked the running node.
    pub const fn needs_key(self) -> bool {
        matches!(
            self,
            Self::Unlock | Self::UserChange | Self::OwnPassphrase | Self::KeyChange | Self::PolicySet
        )
    }

    /// Whether a locked node does it for anyone who reaches its socket.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Status)
    }
}

/// Who asks for something, and why.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub user: User,
    /// The reason given.
    pub reason: Option<String>,
}

impl Caller {
    /// The one who opened the vault.
    pub fn opener(node: &Node) -> Self {
        Self { user: node.opener().clone(), reason: None }
    }
}

impl Node {
    /// Lets `caller` do `action` to `what` (a number or a count, never contents), or says why not. What the table says
    /// is to be written down is on disk when this returns, refusals too.
    pub fn permit(&self, caller: &Caller, action: Action, what: &str) -> Result<(), NodeError> {
        let rule = action.rule();
        if let Some(reason) = &caller.reason
            && (reason.chars().count() > REASON || reason.chars().any(char::is_control))
        {
            return Err(NodeError::input(format!("a reason is one line of at most {REASON} characters")));
        }
        let role = rule.role_of(&caller.user);
        let refusal = if role.is_none() {
            Some(rule.refusal(&caller.user))
        } else if rule.reasoned && caller.reason.is_none() && self.settings.policy()?.reasons {
            Some("this node's policy asks for a reason; say it with --reason TEXT".to_owned())
        } else {
            None
        };
        if rule.logged || role.is_none() {
            self.journal.append(&Access {
                at: now(),
                user: caller.user.name.clone(),
                role: role.filter(|_| refusal.is_none()),
                action: rule.name.to_owned(),
                what: what.to_owned(),
                reason: caller.reason.clone(),
                allowed: refusal.is_none(),
            })?;
        }
        refusal.map_or(Ok(()), |refusal| Err(NodeError::refused(refusal)))
    }

    /// The access log, checked: up to `limit` entries from number `from` on, or the last ones.
    pub fn access_log(
        &self,
        from: Option<u64>,
        limit: u64,
        known: Option<Anchor>,
    ) -> Result<Chain, NodeError> {
        Ok(self.journal.read(from, limit, known)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{KdfParams, Passphrase};

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("correct horse".into());
        let node = Node::init(
            &dir.path().join("home"),
            &passphrase,
            KdfParams::FLOOR,
            "Group".into(),
            String::new(),
            vec![],
        );
        (dir, node.unwrap())
    }

    fn caller(role: Role) -> Caller {
        let user = User { name: role.name().parse().unwrap(), roles: [role].into() };
        Caller { user, reason: None }
    }

    #[test]
    fn each_role_may_do_its_own_work_and_no_other() {
        let (_dir, node) = node();
        for (action, allowed) in [
            (Action::RecordShow, &[Caseworker][..]),
            (Action::RecordErase, &[Caseworker]),
            (Action::Ask, &[Analyst]),
            (Action::IndicatorPublish, &[Analyst]),
            (Action::Serve, &[Operator]),
            (Action::UserChange, &[Operator]),
            (Action::Log, &[Auditor]),
            (Action::Status, &Role::ALL),
        ] {
            for role in Role::ALL {
                let permitted = node.permit(&caller(role), action, "").is_ok();
                assert_eq!(permitted, allowed.contains(&role), "{role} {action:?}");
            }
        }
        node.permit(&Caller::opener(&node), Action::RecordShow, "").unwrap();
    }

    #[test]
    fn what_was_done_and_what_was_refused_is_in_the_log_before_it_happens() {
        let (_dir, node) = node();
        node.permit(&caller(Caseworker), Action::RecordShow, "record 3").unwrap();
        node.permit(&caller(Operator), Action::RecordShow, "record 4").unwrap_err();
        node.permit(&caller(Auditor), Action::Status, "").unwrap();
        let log = node.access_log(None, 9, None).unwrap();
        let told: Vec<_> =
            log.entries.iter().map(|e| (&*e.access.what, e.access.role, e.access.allowed)).collect();
        assert_eq!(told, [("record 3", Some(Caseworker), true), ("record 4", None, false)]);
    }

    #[test]
    fn a_policy_asks_for_reasons_and_the_log_keeps_them() {
        let (_dir, node) = node();
        node.settings.put_policy(crate::store::Policy { reasons: true, ..Default::default() }).unwrap();
        let mut asking = caller(Caseworker);
        let error = node.permit(&asking, Action::RecordErase, "record 3").unwrap_err();
        assert!(error.message.contains("--reason"), "{error}");
        node.permit(&asking, Action::RecordAdd, "one record").unwrap();
        asking.reason = Some("she withdrew it".into());
        node.permit(&asking, Action::RecordErase, "record 3").unwrap();
        asking.reason = Some("two\nlines".into());
        node.permit(&asking, Action::RecordErase, "record 3").unwrap_err();
        let log = node.access_log(None, 9, None).unwrap();
        assert_eq!(log.entries.last().unwrap().access.reason.as_deref(), Some("she withdrew it"));
    }
}
