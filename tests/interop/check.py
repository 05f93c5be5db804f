"""The other side of the conformance tests: other people's programs read what this node wrote.

    check.py validate FILE...     stix2-validator's verdict on bundles
    check.py misp FILE            pymisp reads an event
    check.py feed DIR             pymisp reads a feed
    check.py walk URL TOKEN PAGE EXPECTED
                                  taxii2-client reads a library while it grows
    check.py post URL TOKEN FILE  taxii2-client writes a bundle's objects, twice

Each prints one JSON document. Nothing here reaches further than loopback.
"""

import json
import sys
import time
from pathlib import Path


def validate(*files):
    from stix2validator import ValidationOptions, validate_file

    results = [validate_file(file, ValidationOptions(silent=True)) for file in files]
    errors = [str(e) for r in results for o in r.object_results for e in o.errors]
    return {"valid": all(r.is_valid for r in results), "errors": errors[:20]}


def misp(file):
    from pymisp import MISPEvent

    event = MISPEvent()
    event.load_file(file)
    return {
        "uuid": event.uuid,
        "info": event.info,
        "tags": [t.name for t in event.tags],
        "attributes": [
            {"type": a.type, "value": a.value, "to_ids": a.to_ids, "deleted": bool(a.get("deleted", False))}
            for a in event.attributes
        ],
    }


def feed(folder):
    from pymisp import MISPEvent

    folder = Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    hashes = sorted(line.split(",")[0] for line in (folder / "hashes.csv").read_text().split())
    made, values = [], []
    for uuid, head in manifest.items():
        event = MISPEvent()
        event.load_file(folder / f"{uuid}.json")
        assert event.uuid == uuid, "the manifest names another event"
        ours, theirs = dict(head), event.manifest[uuid]
        for each in (ours, theirs):
            # pymisp gives numbers where the format has text, and leaves out a colour.
            each["timestamp"] = int(each["timestamp"])
            each["Tag"] = [t["name"] for t in each["Tag"]]
        assert {k: str(ours[k]) for k in theirs} == {k: str(v) for k, v in theirs.items()}, (ours, theirs)
        made += event.attributes_hashes("md5")
        values += [a.value for a in event.attributes]
    return {"events": len(manifest), "values": sorted(values), "hashes": sorted(made) == hashes}


def auth(token):
    from taxii2client.common import TokenAuth

    return TokenAuth(token)


def library(url, token, alias):
    """The collection of that alias, found from the discovery on."""
    from taxii2client.v21 import Server

    root = Server(url, auth=auth(token)).default
    return next(c for c in root.collections if c.custom_properties.get("alias", c._raw.get("alias")) == alias)


def walk(url, token, page, expected):
    """Reads on, page by page and walk by walk, until so many objects came or two minutes are over."""
    from taxii2client.v21 import as_pages

    books, end = library(url, token, "library"), time.monotonic() + 120
    ids, walks, after = [], 0, {}
    while len(ids) < int(expected) and time.monotonic() < end:
        for envelope in as_pages(books.get_objects, per_request=int(page), type="indicator", **after):
            ids += [o["id"] for o in envelope.get("objects", [])]
        if ids:
            last = books.get_manifest(id=ids[-1])["objects"]
            after = {"added_after": last[0]["date_added"]}
        walks += 1
    return {"walks": walks, "objects": len(ids), "different": len(set(ids))}


def post(url, token, file):
    inbox = library(url, token, "inbox")
    objects = json.loads(Path(file).read_text())["objects"]
    done = []
    for _ in range(2):
        status = inbox.add_objects({"objects": objects}, wait_for_completion=True)
        done.append({"status": status.status, "success": status.success_count, "failure": status.failure_count})
    return done


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
