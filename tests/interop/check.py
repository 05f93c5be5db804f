"""The other side of the conformance tests: other people's programs read what this node wrote.

    check.py validate FILE...     stix2-validator's verdict on bundles
    check.py misp FILE            pymisp reads an event
    check.py feed DIR             pymisp reads a feed
    check.py walk URL TOKEN PAGE [ADDED_AFTER]
                                  taxii2-client reads a collection to its end
    check.py post URL TOKEN FILE  taxii2-client writes a bundle's objects, twice

Each prints one JSON document. Nothing here reaches further than loopback.
"""

import json
import sys
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


def collection(url, token):
    from taxii2client.common import TokenAuth
    from taxii2client.v21 import Collection

    return Collection(url, auth=TokenAuth(token))


def walk(url, token, page, added_after=None):
    from taxii2client.v21 import as_pages

    more = {"added_after": added_after} if added_after else {}
    ids, pages = [], 0
    for envelope in as_pages(collection(url, token).get_objects, per_request=int(page), **more):
        ids += [o["id"] for o in envelope.get("objects", [])]
        pages += 1
    return {"pages": pages, "objects": len(ids), "ids": ids}


def post(url, token, file):
    inbox = collection(url, token)
    objects = json.loads(Path(file).read_text())["objects"]
    done = []
    for _ in range(2):
        status = inbox.add_objects({"objects": objects}, wait_for_completion=True)
        done.append({"status": status.status, "success": status.success_count, "failure": status.failure_count})
    return done


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
