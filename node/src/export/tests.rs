use hedgerow_protocol::{
    document::NodeSecret,
    id::Digest,
    indicator::{Observable, StixObject, Tlp},
};
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn publisher() -> Publisher {
    Publisher { name: "A federation".into(), charter: None }
}

fn published(object: StixObject) -> Entry {
    let owner = NodeSecret::from_seed(&[1; 32]).node_id();
    Entry { owner: Some(owner), batch: Some(Digest::of(b"b")), at: now(), object }
}

fn entry(value: &str, tlp: Tlp) -> Entry {
    published(StixObject::indicator(&Observable::guess(value).unwrap(), None, None, now()).marked(tlp))
}

fn with_pattern(pattern: &str) -> Entry {
    let mut value = entry("x.example", Tlp::Clear).object.to_value();
    value["pattern"] = json!(pattern);
    value["id"] = json!(format!("indicator--{}", uuid("test", pattern)));
    published(StixObject::parse(value).unwrap())
}

fn anyone(all: &[Entry], format: Format) -> Exported {
    export(all, format, Audience::Anyone, &publisher(), &[], now())
}

fn objects(exported: &Exported) -> Vec<Value> {
    let bundle: Value = serde_json::from_str(&exported.text).unwrap();
    bundle["objects"].as_array().cloned().unwrap_or_default()
}

#[test]
fn labels_decide_who_reads_what_and_drafts_stay() {
    let mut draft = entry("draft.example", Tlp::Clear);
    draft.batch = None;
    let all = [
        entry("clear.example", Tlp::Clear),
        entry("green.example", Tlp::Green),
        entry("amber.example", Tlp::Amber),
        entry("strict.example", Tlp::AmberStrict),
        draft,
    ];
    let open = anyone(&all, Format::List);
    assert_eq!((open.text.as_str(), open.held_back), ("clear.example\ngreen.example\n", 2));
    let members = export(&all, Format::List, Audience::Members, &publisher(), &[], now());
    assert_eq!((members.written, members.held_back), (3, 1));
    for (name, format) in FORMATS {
        let done = anyone(&all, format);
        let whole = done.text + &done.files.values().map(String::as_str).collect::<String>();
        assert!(whole.contains("green.example"), "{name}");
        assert!(!["amber.", "strict.", "draft."].iter().any(|w| whole.contains(w)), "{name}");
    }
}

#[test]
fn what_was_taken_back_is_told_to_those_who_heard_of_it_and_is_in_no_list() {
    let mut gone = entry("gone.example", Tlp::Clear);
    gone.object = gone.object.revoked_at(now());
    let all = [gone];
    for format in [Format::Csv, Format::List, Format::Hosts, Format::Rpz, Format::Mvt] {
        let done = anyone(&all, format);
        assert!(!done.text.contains("gone.example") && done.written == 0, "{format:?}");
    }
    let bundle = anyone(&all, Format::Stix);
    let list = objects(&bundle);
    assert_eq!((&list[1]["revoked"], &list[0]["id"]), (&json!(true), &json!(Tlp::Clear.marking_id())));
    assert_eq!(bundle, anyone(&all, Format::Stix), "same library, same bytes");
    let misp: Value = serde_json::from_str(&anyone(&all, Format::Misp).text).unwrap();
    let attribute = &misp["Event"]["Attribute"][0];
    assert_eq!((&attribute["deleted"], &attribute["to_ids"]), (&json!(true), &json!(false)));
}

#[test]
fn what_mvt_would_stop_at_or_misread_is_left_out_by_name() {
    let all = [
        entry("https://evil.example/a?b=c", Tlp::Clear),
        with_pattern(r"[process:name = 'it\'s']"),
        with_pattern("[ipv6-addr:value = '2001:db8::1']"),
        with_pattern("[file:name = 'a' AND file:path = '/b']"),
        with_pattern("[process:name = 'plain']"),
    ];
    let done = anyone(&all, Format::Mvt);
    assert_eq!((done.written, done.left_out.len()), (1, 4), "{:?}", done.left_out);
    assert_eq!(done.left_out[0].objects, [all[0].object.id()]);
    // One value a pattern, and never a file without a domain.
    let patterns: Vec<Value> = objects(&done).iter().map(|o| o["pattern"].clone()).collect();
    assert_eq!(patterns[0], "[process:name = 'plain']");
    assert!(patterns[1].as_str().unwrap().ends_with(".invalid']"));
    let several = [with_pattern("[domain-name:value = 'a.example' OR domain-name:value = 'b.example']")];
    assert_eq!(objects(&anyone(&several, Format::Mvt)).len(), 2);
}

#[test]
fn mvt_hears_the_name_of_the_family() {
    let (id, family) = ("2f0f0d5c-7b0a-4d0e-8d5e-2a5b0c9d3e10", "2f0f0d5c-7b0a-4d0e-8d5e-2a5b0c9d3e11");
    let times = json!({ "spec_version": "2.1", "created": "2025-01-02T03:04:05.000Z", "modified": "2025-01-02T03:04:05.000Z" });
    let mark = json!([Tlp::Clear.marking_id()]);
    let one = entry("evil.example", Tlp::Clear);
    let make = |more: Value| {
        let mut object = times.clone();
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object["object_marking_refs"] = mark.clone();
        published(StixObject::parse(object).unwrap())
    };
    let malware = make(
        json!({ "type": "malware", "id": format!("malware--{family}"), "name": "X", "is_family": true }),
    );
    let link = make(json!({
        "type": "relationship", "id": format!("relationship--{id}"), "relationship_type": "indicates",
        "source_ref": one.object.id(), "target_ref": malware.object.id(),
    }));
    let kinds: Vec<Value> =
        objects(&anyone(&[link, malware, one], Format::Mvt)).iter().map(|o| o["type"].clone()).collect();
    assert_eq!(kinds, ["malware", "relationship", "indicator"]);
}

#[test]
fn what_the_validator_would_refuse_is_left_out_of_strict_and_is_in_stix() {
    let mut expired = entry("old.example", Tlp::Clear).object.to_value();
    expired["valid_until"] = expired["valid_from"].clone();
    let all = [
        entry("evil.example", Tlp::Clear),
        with_pattern("[app:id = 'org.example.app']"),
        with_pattern("[domain-name:value MATCHES 'x']"),
        published(StixObject::parse(expired).unwrap()),
    ];
    let strict = anyone(&all, Format::Strict);
    assert_eq!((strict.written, strict.left_out.len()), (1, 3), "{:?}", strict.left_out);
    assert_eq!(anyone(&all, Format::Stix).written, 4);
}

#[test]
fn a_zone_and_a_hosts_file_block_names_and_not_the_hosts_of_pages() {
    let all = [
        entry("evil.example", Tlp::Clear),
        entry("192.0.2.7", Tlp::Clear),
        entry("https://shared.example/bad", Tlp::Clear),
    ];
    let hosts = anyone(&all, Format::Hosts);
    assert_eq!((hosts.text.lines().last(), hosts.written), (Some("0.0.0.0 evil.example"), 1));
    let zone = anyone(&all, Format::Rpz);
    assert!(
        zone.text.ends_with("32.7.2.0.192.rpz-ip CNAME .\nevil.example CNAME .\n*.evil.example CNAME .\n")
    );
    assert!(!zone.text.contains("shared") && zone.left_out[0].count == 1);
}

#[test]
fn a_feed_has_an_event_a_label_and_month_and_a_manifest_of_them() {
    let mut old = entry("old.example", Tlp::Clear).object.to_value();
    for key in ["created", "modified"] {
        old[key] = json!("2025-11-05T00:00:00.000Z");
    }
    let all = [
        published(StixObject::parse(old).unwrap()),
        entry("clear.example", Tlp::Clear),
        entry("green.example", Tlp::Green),
    ];
    let feed = anyone(&all, Format::MispFeed);
    assert_eq!((feed.files.len(), feed.written), (5, 3));
    let manifest: Value = serde_json::from_str(&feed.files["manifest.json"]).unwrap();
    for (uuid, head) in manifest.as_object().unwrap() {
        let event: Value = serde_json::from_str(&feed.files[&format!("{uuid}.json")]).unwrap();
        for key in ["info", "date", "timestamp", "Orgc"] {
            assert_eq!(event["Event"][key], head[key], "{key}");
        }
    }
    assert_eq!(feed.files["hashes.csv"].lines().count(), 3);
}

#[test]
fn an_event_is_later_when_something_in_it_has_expired() {
    let mut value = entry("x.example", Tlp::Clear).object.to_value();
    value["valid_until"] = json!("2026-03-01T00:00:00.000Z");
    let all = [published(StixObject::parse(value).unwrap())];
    let at = |now: &str| -> Value {
        let done = export(&all, Format::Misp, Audience::Anyone, &publisher(), &[], now.parse().unwrap());
        serde_json::from_str::<Value>(&done.text).unwrap()["Event"].clone()
    };
    let seconds = |value: &Value| value["timestamp"].as_str().unwrap().parse::<i64>().unwrap();
    let (before, after) = (at("2026-02-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
    for (before, after) in [(&before, &after), (&before["Attribute"][0], &after["Attribute"][0])] {
        assert!(seconds(before) < seconds(after), "{before} {after}");
    }
    assert_eq!(
        (&before["Attribute"][0]["to_ids"], &after["Attribute"][0]["to_ids"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(at("2026-05-01T00:00:00Z"), after, "once");
}

#[test]
fn a_feed_written_over_another_is_later_wherever_it_differs_and_takes_back_what_it_says_no_more() {
    type Files = BTreeMap<String, String>;
    let at = |day: u8| -> Timestamp { format!("2026-03-{day:02}T00:00:00Z").parse().unwrap() };
    let feed = |all: &[Entry], day, before: &Files| -> Files {
        let mut done = export(all, Format::MispFeed, Audience::Anyone, &publisher(), &[], at(day));
        misp::follow(&mut done, |name| before.get(name).cloned(), at(day));
        done.files
    };
    let seconds = |value: &Value| value["timestamp"].as_str().unwrap().parse::<i64>().unwrap();
    // The time of the one event, and its attributes: value, time, whether deleted.
    let event = |files: &Files| -> (i64, Vec<(String, i64, bool)>) {
        let manifest: Value = serde_json::from_str(&files[misp::MANIFEST]).unwrap();
        let (uuid, head) =
            manifest.as_object().unwrap().iter().find(|(_, h)| h["info"] != "another's").unwrap();
        let event: Value = serde_json::from_str(&files[&format!("{uuid}.json")]).unwrap();
        assert_eq!(event["Event"]["timestamp"], head["timestamp"]);
        let attributes = event["Event"]["Attribute"].as_array().unwrap().iter();
        let mut said: Vec<_> = attributes
            .map(|a| (a["value"].as_str().unwrap().to_owned(), seconds(a), a["deleted"].as_bool().unwrap()))
            .collect();
        said.sort();
        (seconds(head), said)
    };
    let deleted =
        |files: &Files| event(files).1.into_iter().map(|(_, _, deleted)| deleted).collect::<Vec<_>>();
    let (a, b) = (entry("a.example", Tlp::Clear), entry("b.example", Tlp::Clear));
    let only_a = std::slice::from_ref(&a);
    let nothing = Files::new();
    let first = feed(only_a, 1, &nothing);
    // The same again is the same; what came here later makes it later, though it was made at the same time.
    assert_eq!(feed(only_a, 2, &first), first);
    let late = Entry { at: at(3), ..b };
    let only_late = std::slice::from_ref(&late);
    let second = feed(&[a.clone(), late.clone()], 4, &first);
    assert!(event(&second).0 > event(&first).0 && deleted(&second) == [false, false]);
    // One is on the allow-list now: there is no new version of anything, and it is told all the same, once.
    let third = feed(only_late, 5, &second);
    assert!(event(&third).0 > event(&second).0 && deleted(&third) == [true, false]);
    assert_eq!(feed(only_late, 6, &third), third);
    // And back: later than its deletion, or whoever heard of that would not take it again.
    let fourth = feed(&[a.clone(), late.clone()], 7, &third);
    assert!(event(&fourth).0 > event(&third).0 && deleted(&fourth) == [false, false]);
    assert!(event(&fourth).1[0].1 > event(&third).1[0].1);
    assert_eq!(feed(&[a, late], 8, &fourth), fourth);
    // An event of which nothing is left says so; one of somebody else in the folder stays.
    let mut shared = fourth;
    let mut manifest: Value = serde_json::from_str(&shared[misp::MANIFEST]).unwrap();
    let others = "44444444-4444-4444-8444-444444444444";
    manifest[others] = json!({ "Orgc": { "uuid": "another" }, "info": "another's", "timestamp": "1" });
    shared.insert(misp::MANIFEST.into(), manifest.to_string());
    let last = feed(&[], 9, &shared);
    assert!(deleted(&last) == [true, true] && last[misp::MANIFEST].contains("another's"));
    assert!(!last.contains_key(&format!("{others}.json")), "and is not touched");
    assert_eq!(feed(&[], 10, &last)[misp::MANIFEST], last[misp::MANIFEST]);
}

#[test]
fn what_is_allowed_beneath_a_blocked_domain_passes_and_is_blocked_itself_nowhere() {
    let all = [
        entry("dyn.example", Tlp::Clear),
        entry("bad.our.dyn.example", Tlp::Clear),
        with_pattern(
            "[domain-name:value IN ('both.example', 'ours.example') OR ipv4-addr:value = '192.0.2.7']",
        ),
    ];
    let allow = |text: &str| {
        let o = Observable::guess(text).unwrap();
        Allowed {
            kind: o.kind().name().to_owned(),
            value: o.value().to_owned(),
            note: String::new(),
            at: now(),
        }
    };
    let allowed =
        ["our.dyn.example", "www.deep.dyn.example", "ours.example", "192.0.2.7", "elsewhere.example"]
            .map(allow);
    let out = |format| export(&all, format, Audience::Anyone, &publisher(), &allowed, now());
    let zone = out(Format::Rpz);
    let rules: Vec<&str> = zone.text.lines().skip(3).collect();
    assert_eq!(
        rules,
        [
            "bad.our.dyn.example CNAME .",
            "*.bad.our.dyn.example CNAME .",
            "both.example CNAME .",
            "*.both.example CNAME .",
            "dyn.example CNAME .",
            "*.dyn.example CNAME .",
            "our.dyn.example CNAME rpz-passthru.",
            "*.our.dyn.example CNAME rpz-passthru.",
            "www.deep.dyn.example CNAME rpz-passthru.",
            "*.www.deep.dyn.example CNAME rpz-passthru.",
            // It comes to be by the rule beneath it, which would let all else beneath it pass.
            "deep.dyn.example CNAME .",
            "*.deep.dyn.example CNAME .",
        ]
    );
    assert_eq!((zone.written, zone.left_out[0].count), (3, 2));
    let hosts = out(Format::Hosts);
    assert!(hosts.text.contains("0.0.0.0 both.example") && !hosts.text.contains("ours.example"));
}

#[test]
fn any_of_a_set_is_exported_value_by_value_and_signed_as_it_was() {
    let pattern = "[domain-name:value IN ('b.example', 'a.example')]";
    let all = [with_pattern(pattern)];
    assert_eq!(anyone(&all, Format::List).text, "a.example\nb.example\n");
    let misp: Value = serde_json::from_str(&anyone(&all, Format::Misp).text).unwrap();
    let attributes = misp["Event"]["Attribute"].as_array().unwrap();
    let mut values: Vec<&str> = attributes.iter().map(|a| a["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["a.example", "b.example"]);
    assert_eq!(objects(&anyone(&all, Format::Strict))[1]["pattern"], pattern);
    assert_eq!(objects(&anyone(&all, Format::Mvt)).len(), 2);
}
