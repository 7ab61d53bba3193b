# SPDX-License-Identifier: Apache-2.0
"""What tcptrace, tshark and `fieldline top` say of each flow and direction of a capture, under the same names.

A flow and direction is (source, source port, target, target port), addresses as ipaddress objects."""
import csv
import io
import ipaddress
import json
import subprocess


def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    assert done.returncode == 0, (argv, done.returncode, done.stderr[-2000:])
    return done.stdout


def key(source, sport, target, dport):
    return ipaddress.ip_address(source), int(sport), ipaddress.ip_address(target), int(dport)


def opposite(direction):
    return direction[2], direction[3], direction[0], direction[1]


def is_set(flag):
    return flag in ("1", "True")


def tcptrace(file):
    """{direction: {name: number}} by `tcptrace -l -r -n --csv`; its round trips are printed in tenths of a
    millisecond."""
    text = run("tcptrace", "-l", "-r", "-n", "--csv", file)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = csv.reader(io.StringIO("\n".join(lines)), skipinitialspace=True)
    names = [name.strip() for name in next(rows)]
    flows = {}
    for row in rows:
        one = dict(zip(names, (value.strip() for value in row)))
        ends = key(one["host_a"], one["port_a"], one["host_b"], one["port_b"])
        for suffix, direction in (("_a2b", ends), ("_b2a", opposite(ends))):
            assert direction not in flows, f"{direction} twice: tcptrace took one connection for two"
            number = lambda name, s=suffix, o=one: float(o[name + s]) if o[name + s] not in ("", "NA") else None
            flows[direction] = {
                "packets": number("total_packets"), "bytes": number("actual_data_bytes"),
                "unique_bytes": number("unique_bytes_sent"), "again": number("rexmt_data_pkts"),
                "again_bytes": number("rexmt_data_bytes"), "late": number("outoforder_pkts"),
                "pure_acks": number("pure_acks_sent"), "sacks": number("sacks_sent"),
                "resets": number("resets_sent"), "zero_windows": number("zero_win_adv"),
                "window_probes": number("zwnd_probe_pkts"), "duplicate_acks_got": number("duplicate_acks"),
                "rtt_samples": number("RTT_samples"), "rtt_min": number("RTT_min"), "rtt_max": number("RTT_max"),
                "rtt_avg": number("RTT_avg"), "rtt_stdev": number("RTT_stdev")}
    return flows


TSHARK_FLAGS = {"retransmission": "retransmission", "fast_retransmission": "fast",
                "spurious_retransmission": "spurious", "out_of_order": "late", "keep_alive": "keep_alives",
                "zero_window": "zero_windows", "zero_window_probe": "window_probes", "duplicate_ack": "duplicate_acks"}


def tshark(file):
    """{direction: {name: number}}. Fast and spurious ones are marked as retransmissions as well; "again" is the
    number of packets with any of the three marks. idle_duplicates: of the duplicate acknowledgements, those that came
    when nothing was under way the other way. closed, closed_bytes: what is marked as sent again or late and came after a
    packet of the other way that closed the window; a FIN counts as a byte."""
    fields = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "tcp.len", "tcp.flags.reset",
              "tcp.options.sack.count", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags.syn", "tcp.flags.fin",
              "tcp.window_size_value",
              *(f"tcp.analysis.{flag}" for flag in TSHARK_FLAGS)]
    argv = ["tshark", "-n", "-r", file, "-Y", "tcp", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"]
    for field in fields:
        argv += ["-e", field]
    flows, ends, windows = {}, {}, {}
    for line in run(*argv).splitlines():
        one = dict(zip(fields, line.split("|")))
        direction = key(one["ip.src"] or one["ipv6.src"], one["tcp.srcport"], one["ip.dst"] or one["ipv6.dst"],
                        one["tcp.dstport"])
        flow = flows.setdefault(direction, dict.fromkeys(
            ("packets", "bytes", "resets", "sacks", "again", "idle_duplicates", "closed", "closed_bytes",
             *TSHARK_FLAGS.values()), 0))
        flow["packets"] += 1
        flow["bytes"] += int(one["tcp.len"] or 0)
        flow["resets"] += is_set(one["tcp.flags.reset"])
        flow["sacks"] += bool(one["tcp.options.sack.count"])
        marks = {name for flag, name in TSHARK_FLAGS.items() if one[f"tcp.analysis.{flag}"]}
        for name in marks:
            flow[name] += 1
        flow["again"] += bool(marks & {"retransmission", "fast", "spurious"})
        length = int(one["tcp.len"] or 0) + is_set(one["tcp.flags.syn"]) + is_set(one["tcp.flags.fin"])
        again_or_late = marks & {"retransmission", "fast", "spurious", "late"} and not is_set(one["tcp.flags.syn"])
        if again_or_late and windows.get(opposite(direction)) == 0:
            flow["closed"] += 1
            flow["closed_bytes"] += length
        if not is_set(one["tcp.flags.reset"]):
            windows[direction] = int(one["tcp.window_size_value"])
        end = int(one["tcp.seq_raw"]) + length
        if direction not in ends or 0 < (end - ends[direction]) % 2**32 < 2**31:
            ends[direction] = end % 2**32
        if "duplicate_acks" in marks:
            flow["idle_duplicates"] += int(one["tcp.ack_raw"]) == ends.get(opposite(direction))
    return flows


def fieldline(program, *arguments):
    """{direction: {name: number}} and the document of `fieldline top --json`."""
    document = json.loads(run(program, "top", *arguments, "--json"))
    assert document["schema"] == "fieldline.top/1" and document["ended"]
    flows = {}
    for flow in document["flows"]:
        ends = key(flow["a"], flow["port_a"], flow["b"], flow["port_b"])
        for name, direction in (("forward", ends), ("reverse", opposite(ends))):
            counts, rtt = flow[name], flow[name]["rtt"] or {}
            flows[direction] = {
                "packets": counts["packets"], "bytes": counts["payload_bytes"], "unique_bytes": counts["unique_bytes"],
                "again": counts["retransmitted_packets"], "again_bytes": counts["retransmitted_bytes"],
                "late": counts["late_packets"], "copies": counts["copies"], "pure_acks": counts["acks"],
                "sacks": counts["sacks"], "resets": counts["resets"], "zero_windows": counts["zero_windows"],
                "window_probes": counts["window_probes"], "keep_alives": counts["keep_alives"],
                "duplicate_acks": counts["duplicate_acks"], "syns": counts["syns"], "fins": counts["fins"],
                "rtt_samples": rtt.get("samples", 0), "rtt_min": rtt.get("min_ns", 0) / 1e6,
                "rtt_max": rtt.get("max_ns", 0) / 1e6, "rtt_avg": rtt.get("avg_ns", 0) / 1e6,
                "rtt_stdev": rtt.get("stdev_ns", 0) / 1e6}
    return flows, document
