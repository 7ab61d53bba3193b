# SPDX-License-Identifier: Apache-2.0
"""Pictures of bench/magnet's figures with the paper's beside them, by matplotlib (package python3-matplotlib)."""
import importlib.util
import os
import sys

COLOURS = ["#1f5a99", "#d1701f", "#3b8f5a", "#8a4a9e", "#777777"]
PAPER = "#9a9a9a"
SMALL = 8


def check(path):
    """Refuses before minutes of measuring what could not be drawn after them."""
    if os.path.splitext(path)[1] not in (".svg", ".png", ".pdf"):
        print("bench/magnet: --plot takes a name that ends in .svg, .png or .pdf", file=sys.stderr)
        sys.exit(2)
    if importlib.util.find_spec("matplotlib") is None:
        sys.exit("bench/magnet: --plot needs matplotlib; install it: apt-get install python3-matplotlib")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        sys.exit(f"bench/magnet: --plot {path}: there is no such folder")


def figure(rows, columns, width, height):
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams.update({
        "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6", "axes.axisbelow": True,
        "legend.frameon": False, "legend.fontsize": SMALL, "svg.fonttype": "none",
        "font.family": "sans-serif",
    })
    from matplotlib import pyplot
    return pyplot.subplots(rows, columns, figsize=(width, height), constrained_layout=True)


def save(fig, path, title):
    from matplotlib import pyplot
    fig.suptitle(title, fontsize=10.5, x=0.01, ha="left", fontweight="bold")
    fig.savefig(path, dpi=110, metadata={"Date": None} if path.endswith(".svg") else None)
    pyplot.close(fig)


# Table I: Mb/s, send CPU %, receive CPU %, at 100 and at 1000 Mb/s.
TABLE_1 = {
    "Linux 2.4.3": ((94.1, 15.2, 33.5), (459.5, 61.0, 82.4)), "MAGNeT": ((94.1, 16.9, 33.5), (452.5, 63.0, 82.6)),
    "magnet-read/rcv": ((90.8, 20.7, 34.4), (444.3, 62.4, 82.0)),
    "magnet-read/snd": ((90.7, 23.7, 32.4), (440.2, 63.1, 81.1)),
    "tcpdump/rcv": ((89.4, 18.0, 59.8), (290.7, 36.1, 91.5)), "tcpdump/snd": ((89.4, 45.0, 31.9), (343.2, 93.2, 64.1)),
}


def paper_bars(axes, value, title, unit):
    names = [name for name in TABLE_1 if name != "Linux 2.4.3"]
    for offset, speed, label, colour in ((-0.2, 0, "100 Mb/s", "#c4c4c4"), (0.2, 1, "1000 Mb/s", "#7d7d7d")):
        figures = [value(TABLE_1[name][speed], TABLE_1["Linux 2.4.3"][speed]) for name in names]
        bars = axes.barh([i + offset for i in range(len(names))], figures, 0.38, color=colour, label=label)
        axes.bar_label(bars, [f"{figure:.1f}" for figure in figures], padding=2, fontsize=SMALL - 1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.legend(loc="best")


def overhead(path, kernel, results):
    """Table I, Figs. 4-5. The units are not the paper's, so each has its own axes."""
    shown = [r for r in results if "ns" in r]
    bare = next(r["ns"] for r in shown if r["configuration"] == "nothing")
    shown = [r for r in shown if r["configuration"] != "nothing"]
    fig, axes = figure(1, 3, 13, 4.4)
    costs = [100 * (r["ns"] / bare - 1) for r in shown]
    ours = [COLOURS[0] if r["configuration"].startswith("module") else COLOURS[1] for r in shown]
    bars = axes[0].barh(range(len(shown)), costs, 0.7, color=ours)
    axes[0].bar_label(bars, [f"{cost:+.1f}" for cost in costs], padding=2, fontsize=SMALL)
    axes[0].set_yticks(range(len(shown)), [wrapped(r["configuration"]) for r in shown], fontsize=SMALL)
    axes[0].invert_yaxis()
    axes[0].margins(x=0.14)
    axes[0].grid(axis="y", visible=False)
    axes[0].set_title(f"A TCP round trip on Linux {kernel}")
    axes[0].set_xlabel(f"guest instructions more than the bare {bare:,.0f}, %")
    from matplotlib.patches import Patch
    axes[0].legend(handles=[Patch(color=COLOURS[0], label="MAGNeT"), Patch(color=COLOURS[1], label="peers")],
                   loc="lower right" if costs[-1] < max(costs) / 2 else "upper right")
    paper_bars(axes[1], lambda now, plain: 100 * (1 - now[0] / plain[0]), "Paper, Fig. 4 (from its Table I)",
               "throughput lost, %")
    paper_bars(axes[2], lambda now, plain: (now[1] - plain[1] + now[2] - plain[2]) / 2,
               "Paper, Fig. 5 (from its Table I)", "CPU more, points, mean of both ends")
    axes[2].tick_params(labelleft=False)
    save(fig, path, "What monitoring costs the monitored")


def wrapped(name):
    return name.replace(", the same hooks", "").replace(", layers", ",\nlayers").replace(", nobody", ",\nnobody")


def loss(path, kernel, rings, pressed):
    """Figs. 6-7: over the delay, a line per ring; over the ring and over the load, a line per recorder."""
    fig, axes = figure(3, 2, 11, 11)
    for line, key, title, unit in ((axes[0][0], "lost_percent", "Fig. 6: loss", "events lost, %"),
                                   (axes[0][1], "overhead_percent", "Fig. 7: cost",
                                    "guest instructions more\nper round trip, %")):
        over_delay(line, rings, key)
        line.set_title(f"{title}, Linux {kernel}")
        line.set_ylabel(unit)
    axes[0][0].plot([35, 100], [0.5, 3.2], "x", color="black", ms=7, mew=1.6, label="paper, 256 KB, 100 Mb/s")
    axes[0][0].legend(title="ring", title_fontsize=SMALL, alignment="left")
    axes[0][1].legend(title="ring", title_fontsize=SMALL, alignment="left", ncol=2)
    sizes = [r for r in pressed if r.get("kind") == "ring"]
    over_rings(axes[1][0], sizes, "lost_percent", "Continuous traffic: loss", "events lost, %")
    over_rings(axes[1][1], sizes, "overhead_percent", "Continuous traffic: cost",
               "guest instructions more\nper round trip, %")
    bursts(axes[2][0], [r for r in pressed if r.get("kind") == "burst"])
    beside(axes[2][1], [r for r in pressed if r.get("kind") == "busy"])
    save(fig, path, "Events lost: ring size, delay, and who loses when with equal bytes")


def over_delay(axes, rings, key):
    for colour, ring_kb in zip(COLOURS, dict.fromkeys(r["ring_kb"] for r in rings)):
        own = [r for r in rings if r["ring_kb"] == ring_kb]
        fixed = [r for r in own if r["delay_percent"] != "auto"]
        axes.plot([r["delay_percent"] for r in fixed], [r[key] for r in fixed], "o-", ms=3.5, color=colour,
                  label=f"{ring_kb} KiB")
        auto = [r[key] for r in own if r["delay_percent"] == "auto"]
        axes.plot([225] * len(auto), auto, "D", ms=5, mfc="none", color=colour)
    axes.set_xticks([10, 35, 50, 100, 150, 200, 225], ["10", "35", "50", "100", "150", "200", "\nauto"])
    axes.set_xlabel("reader's delay, % of the time that fills the ring")
    axes.set_ylim(bottom=0)


def over_rings(axes, results, key, title, unit):
    for i, name in enumerate(dict.fromkeys(r["pressure"] for r in results)):
        own = [r for r in results if r["pressure"] == name]
        axes.plot([r["ring_kb"] for r in own], [r[key] for r in own], "o-", ms=3.5, color=COLOURS[i], label=name)
    rings = list(dict.fromkeys(r["ring_kb"] for r in results))
    axes.set_xscale("log", base=2)
    axes.set_xticks(rings, [f"{ring_kb} KiB" for ring_kb in rings])
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_xlabel("ring of each recorder")
    axes.set_ylabel(unit)
    axes.legend(loc="best")


def bursts(axes, results):
    for i, name in enumerate(dict.fromkeys(r["pressure"] for r in results)):
        own = [r for r in results if r["pressure"] == name]
        axes.plot([r["load"] for r in own], [r["lost_percent"] for r in own], "o-", ms=3.5, color=COLOURS[i],
                  label=f"{name}, {own[-1]['bytes_per_event']:.0f} B an event")
    axes.axhline(5, color="black", lw=0.8, ls=":")
    axes.set_ylim(0, 100)
    axes.set_title("Readers kept from the CPU for a burst, 256 KiB each")
    axes.set_xlabel("events of the burst")
    axes.set_ylabel("events lost, %   (dotted: 5 %)")
    axes.legend(loc="upper left")


def beside(axes, results):
    loads = list(dict.fromkeys(r["load"] for r in results))
    names = list(dict.fromkeys(r["pressure"] for r in results))
    width = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        own = {r["load"]: r["lost_percent"] for r in results if r["pressure"] == name}
        at = [(x + (i - (len(names) - 1) / 2) * width, own[load]) for x, load in enumerate(loads) if load in own]
        bars = axes.bar([x for x, _ in at], [lost for _, lost in at], width * 0.92, color=COLOURS[i], label=name)
        axes.bar_label(bars, [f"{lost:.0f}" for _, lost in at], padding=2, fontsize=SMALL)
    axes.set_xticks(range(len(loads)), [str(load) for load in loads])
    axes.set_ylim(0, 100)
    axes.grid(axis="x", visible=False)
    axes.set_title("Continuous traffic beside busy processes, 256 KiB each")
    axes.set_xlabel("busy processes of the same priority on the one CPU")
    axes.set_ylabel("events lost, %")
    axes.legend(loc="upper right")


def modulation(path, kernel, results, paper):
    """Fig. 8: a stretch of what was written and what was sent; Table II: means over the stacks."""
    import itertools
    fig, axes = figure(1, 3, 13, 4)
    for r, colour, mark, name in ((results[1], COLOURS[1], ".", "device sent"),
                                  (results[0], COLOURS[0], "o", "application wrote")):
        times = list(itertools.accumulate(gap for gap, _ in r["sequence"]))
        seen = [(t, size) for t, (_, size) in zip(times, r["sequence"]) if t <= 5]
        axes[0].plot([t for t, _ in seen], [size for _, size in seen], mark, ms=4.5, color=colour, label=name,
                     mfc="none" if mark == "o" else colour)
    axes[0].set_yscale("log")
    axes[0].set_title(f"Fig. 8: data units, Linux {kernel}")
    axes[0].set_xlabel("time, s")
    axes[0].set_ylabel("size of the data unit, bytes")
    axes[0].legend(loc="upper left")
    short = ["application", *[f"stack {i}" for i in range(1, 5)]]
    for line, key, column, title, unit in ((axes[1], "bytes", 1, "Table II: mean size", "bytes"),
                                           (axes[2], "spacing_s", 2, "Table II: mean spacing", "seconds")):
        line.plot(short, [r[key] for r in results], "o-", color=COLOURS[0], label="here: 40 ms, 10 Mb/s")
        line.plot(short, [trial[column] for trial in paper], "s--", color=PAPER, label="paper: FTP over 30 hops")
        line.set_ylim(bottom=0)
        line.set_title(title)
        line.set_ylabel(unit)
        line.tick_params(axis="x", labelsize=SMALL)
        line.legend()
    save(fig, path, "What the protocol stack makes of an application's writes")
