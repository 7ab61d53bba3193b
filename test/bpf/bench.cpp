// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "bench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/address.h"

namespace fieldline {
namespace {

// 77 is SKIP to CTest; the reason stands on the last line.
struct SkipWithoutBpf : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    if (geteuid() != 0) skip("needs root for BPF");
    const int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 4, 1, nullptr);
    if (fd < 0) skip("BPF is not allowed here: creating a map failed");
    close(fd);
  }
  [[noreturn]] static void skip(const char* reason) {
    std::printf("SKIP: %s\n", reason);
    std::fflush(stdout);
    std::_Exit(77);
  }
};
CATCH_REGISTER_LISTENER(SkipWithoutBpf)

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().text());
  return std::move(*result);
}

}  // namespace

struct Bench::Loaded {
  Setup setup;
  std::unique_ptr<source::Classifier> classifier;
  std::unique_ptr<source::FlowTable> table;
  std::unique_ptr<source::Rings> rings;

  bool fits(const Setup& wanted) const {
    return std::memcmp(&setup.sizes, &wanted.sizes, sizeof wanted.sizes) == 0 &&
           setup.ports == wanted.ports && setup.traits == wanted.traits &&
           setup.hook == wanted.hook;
  }
};

std::vector<std::unique_ptr<Bench::Loaded>>& Bench::idle() {
  static std::vector<std::unique_ptr<Loaded>> loaded;
  return loaded;
}

Bench::Bench(const Setup& setup) {
  auto found =
      std::find_if(idle().begin(), idle().end(), [&](const auto& one) { return one->fits(setup); });
  if (found != idle().end()) {
    loaded_ = std::move(*found);
    idle().erase(found);
    return;
  }
  loaded_ = std::make_unique<Loaded>();
  loaded_->setup = setup;
  loaded_->classifier = std::make_unique<source::Classifier>(setup.sizes);
  for (std::uint16_t port = 0; port < setup.ports; ++port)
    must(loaded_->classifier->program(port, setup.hook, setup.traits));
  loaded_->table = must(source::FlowTable::open(
      [this](const char* name) { return loaded_->classifier->map_fd(name); }, setup.sizes.slots));
  loaded_->rings = must(source::Rings::open(*loaded_->classifier, setup.sizes));
}

// A bench that cannot be emptied is not used again.
Bench::~Bench() {
  if (!loaded_ || loaded_->table->apply({}).has_error()) return;
  if (loaded_->table->look_inside(false).has_error()) return;
  forget_fragments();
  auto ignore = [](const auto&, ByteView) {};
  if (loaded_->rings->drain_headers(ignore).has_error()) return;
  if (loaded_->rings->drain_triggers(ignore).has_error()) return;
  const std::vector<fl_port_counters> zero(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  for (std::uint32_t port = 0; port < loaded_->setup.ports; ++port) {
    if (bpf_map_update_elem(map_fd("port_counters"), &port, zero.data(), BPF_ANY)) return;
  }
  idle().push_back(std::move(loaded_));
}

source::FlowTable& Bench::table() {
  return *loaded_->table;
}
int Bench::program_fd(std::uint16_t port) {
  const Setup& setup = loaded_->setup;
  return must(loaded_->classifier->program(port, setup.hook, setup.traits));
}
int Bench::map_fd(const char* name) const {
  return loaded_->classifier->map_fd(name);
}

std::uint32_t Bench::run(ByteView frame, std::uint16_t port) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()), .repeat = 1);
  if (bpf_prog_test_run_opts(program_fd(port), &options)) {
    FAIL("BPF_PROG_TEST_RUN of " << frame.size() << " bytes: " << std::strerror(errno));
  }
  return options.retval;
}

std::uint32_t Bench::run_super(ByteView frame, std::uint32_t gso_size, std::uint32_t gso_segs) {
  __sk_buff context{};
  context.gso_size = gso_size;
  context.gso_segs = gso_segs;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  if (bpf_prog_test_run_opts(program_fd(), &options)) {
    FAIL("BPF_PROG_TEST_RUN of a super-packet: " << std::strerror(errno));
  }
  return options.retval;
}

bool Bench::run_split(ByteView frame, std::uint32_t linear) {
  xdp_md context{};
  context.data_end = linear;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  return bpf_prog_test_run_opts(program_fd(), &options) == 0;
}

source::Applied Bench::apply(const std::vector<source::FlowEntry>& entries) {
  return must(loaded_->table->apply(entries));
}

fl_port_counters Bench::port(std::uint16_t index) const {
  return must(source::sum_counters<fl_port_counters>(map_fd("port_counters"), index));
}

fl_flow_counters Bench::flow(std::uint32_t slot) const {
  return must(loaded_->table->counters(slot));
}

std::vector<Lifted> Bench::lifted() {
  std::vector<Lifted> all;
  must(loaded_->rings->drain_headers([&](const fl_lift& lift, ByteView frame) {
    all.push_back({lift, {frame.begin(), frame.end()}});
  }));
  return all;
}

std::vector<LiftedTrigger> Bench::triggers() {
  std::vector<LiftedTrigger> all;
  must(loaded_->rings->drain_triggers([&](const fl_trigger_lift& lift, ByteView trigger) {
    all.push_back({lift, {trigger.begin(), trigger.end()}});
  }));
  return all;
}

void Bench::forget_fragments() {
  Bytes key(40);
  while (bpf_map_get_next_key(map_fd("datagrams"), nullptr, key.data()) == 0) {
    REQUIRE(bpf_map_delete_elem(map_fd("datagrams"), key.data()) == 0);
  }
}

Lifted Bench::lift_of(ByteView frame) {
  run(frame);
  auto all = lifted();
  REQUIRE(all.size() == 1);
  return std::move(all.front());
}

fl_flow_key key_of(std::string_view src, std::string_view dst, std::uint8_t protocol,
                   std::uint16_t sport, std::uint16_t dport) {
  fl_flow_key key{};
  std::memcpy(key.src, Address::parse(src)->bytes.data(), 16);
  std::memcpy(key.dst, Address::parse(dst)->bytes.data(), 16);
  key.sport = big_endian(sport);
  key.dport = big_endian(dport);
  key.protocol = protocol;
  return key;
}

fl_flow_key exact_mask() {
  fl_flow_key mask;
  std::memset(&mask, 0xff, sizeof mask);
  mask.where = FL_KEY_INSIDE;
  mask.vlan = 0;
  return mask;
}

fl_flow_key any_port_mask(bool any_sport, bool any_dport) {
  fl_flow_key mask = exact_mask();
  if (any_sport) mask.sport = 0;
  if (any_dport) mask.dport = 0;
  return mask;
}

source::FlowEntry entry(const fl_flow_key& key, const fl_flow_key& mask, std::uint32_t slot,
                        std::uint64_t deadline_ns, std::uint16_t snaplen, std::uint8_t direction) {
  return {key, mask, {deadline_ns, slot, snaplen, direction, 0}};
}

source::FlowEntry default_entry(std::uint32_t slot, std::uint16_t snaplen) {
  return entry(key_of("192.0.2.1", "198.51.100.2", 6, 40000, 443), exact_mask(), slot, kForever,
               snaplen);
}

void require_port_sums(const fl_port_counters& port, std::uint64_t triggers_lifted) {
  std::uint64_t unparsed = 0;
#define ADD(constant, counter) unparsed += port.counter;
  FL_UNPARSED(ADD)
#undef ADD
  REQUIRE(port.packets + port.taken_again ==
          port.unmatched + port.matched + port.triggers + unparsed);
  REQUIRE(port.matched == port.lifted + port.sampled_out + port.dropped_ring + port.dropped_read);
  REQUIRE(port.triggers == triggers_lifted + port.triggers_dropped_ring + port.triggers_bad_length +
                               port.triggers_fragmented);
}

void require_flow_sums(const fl_flow_counters& flow) {
  REQUIRE(flow.packets == flow.lifted + flow.sampled_out + flow.dropped_ring + flow.dropped_read);
}

}  // namespace fieldline
