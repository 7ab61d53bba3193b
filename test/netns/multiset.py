# SPDX-License-Identifier: Apache-2.0
"""What stood on the taps = what the archive has."""
import collections

from packets import read_pcapng


def compare(site, runs, captures, wanted):
    """wanted(packet): is it of an activated flow? Multisets of the headers, per sensor and direction."""
    archived = collections.defaultdict(collections.Counter)
    for run in runs:
        file = site.folder / f"{run}.pcapng"
        site.fieldline("query", run, "-o", file)
        for origin, packet in read_pcapng(file):
            assert packet.data == packet.headers(), "more than headers was kept"
            archived[origin["sensor"], origin["interface"]][(packet.headers(), packet.wire_len)] += 1
    total = 0
    for sensor, capture in captures.items():
        for way in ("fwd", "rev"):
            seen = collections.Counter((p.headers(), p.wire_len) for p in capture[way] if wanted(p))
            got = archived[sensor, way]
            missing, extra = sum((seen - got).values()), sum((got - seen).values())
            print(f"  {sensor} {way}: tcpdump {sum(seen.values())}, archive {sum(got.values())}", flush=True)
            assert not missing and not extra, f"{sensor} {way}: {missing} missing in the archive, {extra} too many"
            total += sum(seen.values())
    assert total, "no packet was compared"
    for run in runs:
        report = site.path(run)
        assert report["complete"], report["incomplete"]
