//! The code lists. Append only; never reorder within a version of the vocabulary.

use super::CodeEntry;

const fn entry(code: &'static str, label: &'static str) -> CodeEntry {
    CodeEntry { code, label }
}

/// Tactic.
pub(super) const TACTICS: &[CodeEntry] = &[
    entry("T01", "credential phishing"),
    entry("T02", "account takeover"),
    entry("T03", "SIM swap or code interception"),
    entry("T04", "mercenary spyware"),
    entry("T05", "other malware or stalkerware"),
    entry("T06", "location or communications tracking"),
    entry("T07", "device seizure or search"),
    entry("T08", "doxxing"),
    entry("T09", "harassment or brigading"),
    entry("T10", "smear or disinformation"),
    entry("T11", "manipulated or intimate media"),
    entry("T12", "impersonation"),
    entry("T13", "direct threat"),
    entry("T14", "coercion by proxy (relatives)"),
    entry("T15", "mass reporting or takedown"),
    entry("T16", "denial of service or site attack"),
    entry("T17", "infiltration of a network"),
    entry("T18", "legal, INTERPOL or passport abuse"),
    entry("T19", "data breach of the group"),
    entry("T99", "other or unknown"),
];

/// Role of the target.
pub(super) const ROLES: &[CodeEntry] = &[
    entry("journalist", "journalist"),
    entry("human-rights-defender", "human-rights defender"),
    entry("lawyer", "lawyer"),
    entry("opposition", "opposition"),
    entry("academic", "academic or student"),
    entry("artist", "artist or influencer"),
    entry("minority-leader", "community or minority leader"),
    entry("relative", "relative"),
    entry("ngo-staff", "NGO staff"),
    entry("organisation", "organisation"),
    entry("other", "other"),
    entry("unknown", "unknown"),
];

/// Confidence in the origin.
pub(super) const CONFIDENCES: &[CodeEntry] = &[
    entry("none", "no origin named"),
    entry("suspected", "suspected"),
    entry("likely", "likely"),
    entry("confirmed", "confirmed"),
];

/// Basis of the attribution.
pub(super) const BASES: &[CodeEntry] = &[
    entry("none", "no origin named"),
    entry("victim", "the person herself"),
    entry("helpline", "helpline"),
    entry("forensic-lab", "forensic lab"),
    entry("platform-notice", "notice by the platform"),
    entry("court", "court"),
];

/// Platform.
pub(super) const PLATFORMS: &[CodeEntry] = &[
    entry("email", "e-mail"),
    entry("whatsapp", "WhatsApp"),
    entry("telegram", "Telegram"),
    entry("signal", "Signal"),
    entry("meta", "Facebook or Instagram"),
    entry("x", "X"),
    entry("tiktok", "TikTok"),
    entry("youtube", "YouTube"),
    entry("wechat", "WeChat"),
    entry("phone", "phone or SMS"),
    entry("website", "website"),
    entry("cloud", "cloud"),
    entry("device", "device"),
    entry("in-person", "in person"),
    entry("other", "other"),
    entry("unknown", "unknown"),
];

/// Harm.
pub(super) const HARMS: &[CodeEntry] = &[
    entry("none", "none (attempt)"),
    entry("account-loss", "account loss"),
    entry("data-exposed", "data exposed"),
    entry("device-compromised", "device compromised"),
    entry("contacts-exposed", "contacts exposed"),
    entry("family-harmed", "family harmed"),
    entry("self-censorship", "self-censorship"),
    entry("psychological", "psychological"),
    entry("financial", "financial"),
    entry("relocation", "relocation"),
    entry("physical", "physical"),
    entry("unknown", "unknown"),
];

/// Help sought.
pub(super) const HELP: &[CodeEntry] = &[
    entry("helpline", "helpline"),
    entry("own-organisation", "own organisation"),
    entry("police", "police"),
    entry("cybersecurity-agency", "cybersecurity agency"),
    entry("platform", "platform"),
    entry("lawyer", "lawyer"),
    entry("psychosocial", "psychosocial help"),
    entry("none", "none"),
];

/// Campaign phase.
pub(super) const PHASES: &[CodeEntry] = &[
    entry("none", "none"),
    entry("theft", "theft"),
    entry("dump", "dump"),
    entry("amplification", "amplification"),
    entry("uptake", "uptake"),
];

/// Institution and outcome, institution-major: the place is `institution * 7 + outcome`, in the order of [`HELP`]
/// without its last entry.
pub(super) const ANSWERS: &[CodeEntry] = &[
    entry("helpline/pending", "helpline: pending"),
    entry("helpline/resolved", "helpline: resolved"),
    entry("helpline/partial", "helpline: partly resolved"),
    entry("helpline/refused", "helpline: refused"),
    entry("helpline/failed", "helpline: failed"),
    entry("helpline/no-answer", "helpline: no answer"),
    entry("helpline/lost-contact", "helpline: lost contact"),
    entry("own-organisation/pending", "own organisation: pending"),
    entry("own-organisation/resolved", "own organisation: resolved"),
    entry("own-organisation/partial", "own organisation: partly resolved"),
    entry("own-organisation/refused", "own organisation: refused"),
    entry("own-organisation/failed", "own organisation: failed"),
    entry("own-organisation/no-answer", "own organisation: no answer"),
    entry("own-organisation/lost-contact", "own organisation: lost contact"),
    entry("police/pending", "police: pending"),
    entry("police/resolved", "police: resolved"),
    entry("police/partial", "police: partly resolved"),
    entry("police/refused", "police: refused"),
    entry("police/failed", "police: failed"),
    entry("police/no-answer", "police: no answer"),
    entry("police/lost-contact", "police: lost contact"),
    entry("cybersecurity-agency/pending", "cybersecurity agency: pending"),
    entry("cybersecurity-agency/resolved", "cybersecurity agency: resolved"),
    entry("cybersecurity-agency/partial", "cybersecurity agency: partly resolved"),
    entry("cybersecurity-agency/refused", "cybersecurity agency: refused"),
    entry("cybersecurity-agency/failed", "cybersecurity agency: failed"),
    entry("cybersecurity-agency/no-answer", "cybersecurity agency: no answer"),
    entry("cybersecurity-agency/lost-contact", "cybersecurity agency: lost contact"),
    entry("platform/pending", "platform: pending"),
    entry("platform/resolved", "platform: resolved"),
    entry("platform/partial", "platform: partly resolved"),
    entry("platform/refused", "platform: refused"),
    entry("platform/failed", "platform: failed"),
    entry("platform/no-answer", "platform: no answer"),
    entry("platform/lost-contact", "platform: lost contact"),
    entry("lawyer/pending", "lawyer: pending"),
    entry("lawyer/resolved", "lawyer: resolved"),
    entry("lawyer/partial", "lawyer: partly resolved"),
    entry("lawyer/refused", "lawyer: refused"),
    entry("lawyer/failed", "lawyer: failed"),
    entry("lawyer/no-answer", "lawyer: no answer"),
    entry("lawyer/lost-contact", "lawyer: lost contact"),
    entry("psychosocial/pending", "psychosocial help: pending"),
    entry("psychosocial/resolved", "psychosocial help: resolved"),
    entry("psychosocial/partial", "psychosocial help: partly resolved"),
    entry("psychosocial/refused", "psychosocial help: refused"),
    entry("psychosocial/failed", "psychosocial help: failed"),
    entry("psychosocial/no-answer", "psychosocial help: no answer"),
    entry("psychosocial/lost-contact", "psychosocial help: lost contact"),
];
