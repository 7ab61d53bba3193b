// SPDX-License-Identifier: Apache-2.0
// port_cost [PACKETS]: what a packet of nobody's flow costs on a port, beside an XDP program that
// drops all at once. A veth pair in a network namespace of its own; generator, driver and program
// run on one core, so that the time of all packets is the time of the run. Prints one line for each
// case: "NAME FLOWS NANOSECONDS_PER_PACKET", and what the generator alone needs as "generator 0
// NS".
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "base/address.h"
#include "bench/live_frames.h"
#include "source/source.h"

namespace {

using namespace fieldline;
using Clock = std::chrono::steady_clock;

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "port_cost: %s\n", result.error().text().c_str());
  std::exit(1);
}
void must(Result<void> result) {
  if (result) return;
  std::fprintf(stderr, "port_cost: %s\n", result.error().text().c_str());
  std::exit(1);
}

void shell(const char* command) {
  if (std::system(command) == 0) return;
  std::fprintf(stderr, "port_cost: failed: %s\n", command);
  std::exit(1);
}

// One core, and a namespace that goes with the process.
void settle_down() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  if (sched_setaffinity(0, sizeof one, &one) || unshare(CLONE_NEWNET)) {
    std::perror("port_cost: needs root");
    std::exit(1);
  }
  shell(
      "ip link set lo up && ip link add wire type veth peer name tap && "
      "ip link set dev tap addrgenmode none && ip link set dev wire addrgenmode none && "
      "ip link set tap up && ip link set wire up");
}

// A program of two instructions on the tap while `measure` runs.
double with_bare_program(int action, const std::function<double()>& measure) {
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = action},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  Fd loaded(bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", program, std::size(program), nullptr));
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  Fd link(
      bpf_link_create(loaded.get(), static_cast<int>(if_nametoindex("tap")), BPF_XDP, &options));
  if (!loaded || !link) {
    std::perror("port_cost: attaching a bare XDP program");
    std::exit(1);
  }
  return measure();
}

source::FlowEntry entry_of(std::uint32_t slot) {
  source::FlowEntry entry;
  std::memcpy(entry.key.src, Address::parse("203.0.113.1")->bytes.data(), 16);
  std::memcpy(entry.key.dst, Address::parse("203.0.113.2")->bytes.data(), 16);
  entry.key.sport = big_endian(static_cast<std::uint16_t>(slot));
  entry.key.dport = big_endian(static_cast<std::uint16_t>(slot >> 16));
  entry.key.protocol = IPPROTO_UDP;
  std::memset(&entry.mask, 0xff, sizeof entry.mask);
  entry.mask.where = FL_KEY_INSIDE;  // not inside tunnels: as most are
  entry.mask.vlan = 0;
  entry.value.deadline_ns = UINT64_MAX;
  entry.value.slot = slot;
  return entry;
}

class Measure {
 public:
  Measure(const bench::LiveFrames& frames, std::uint32_t packets)
      : frames_(frames),
        packets_(packets),
        frame_(bench::frame_of(*Address::parse("198.18.0.1"), *Address::parse("198.18.0.2"), 0,
                               512)) {}

  // The best of five, because whatever else runs here only adds.
  double operator()() const {
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      const auto begin = Clock::now();
      must(frames_.send(frame_, packets_));
      const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
      best = std::min(best, took.count() / packets_);
    }
    return best;
  }

 private:
  const bench::LiveFrames& frames_;
  std::uint32_t packets_;
  Bytes frame_;
};

void tell(const char* name, std::size_t flows, double ns) {
  std::printf("%s %zu %.1f\n", name, flows, ns);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto packets =
      static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000);
  settle_down();
  const auto frames = must(bench::LiveFrames::open("wire"));
  const Measure measure(frames, packets);

  tell("bare", 0, with_bare_program(XDP_DROP, measure));
  source::Options options;
  options.interfaces = {"tap"};
  auto source = must(source::Source::open(options));
  for (std::size_t flows : {0, 1, 100, 1000, 10'000, 65'536}) {
    std::vector<source::FlowEntry> desired;
    for (std::uint32_t slot = 0; slot < 2 * flows; ++slot) desired.push_back(entry_of(slot));
    must(source->apply(desired));
    tell("classifier", flows, measure());
  }
  const auto counters = must(source->port_counters(0));
  if (counters.packets == 0 || counters.unmatched != counters.packets) {
    std::fprintf(stderr, "port_cost: the classifier saw %llu packets, of which %llu are nobody's\n",
                 static_cast<unsigned long long>(counters.packets),
                 static_cast<unsigned long long>(counters.unmatched));
    return 1;
  }
  return 0;
}
