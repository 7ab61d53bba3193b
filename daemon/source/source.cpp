// SPDX-License-Identifier: Apache-2.0
#include "source/source.h"

#include <linux/bpf.h>
#include <unistd.h>

#include <bit>
#include <set>

#include "source/classifier.h"
#include "source/flow_table.h"
#include "source/port.h"
#include "source/rings.h"

namespace fieldline::source {
namespace {

Result<void> check_ring(const char* name, std::uint32_t bytes) {
  const auto page = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
  if (std::has_single_bit(bytes) && bytes >= page) return {};
  return fail(Code::invalid, std::string(name) + " ring of " + std::to_string(bytes) +
                                 " bytes: must be a power of two of at least " +
                                 std::to_string(page));
}

Result<void> check_options(const Options& options) {
  if (options.interfaces.empty())
    return fail(Code::invalid, "no port is named; list at least one interface");
  if (options.interfaces.size() > FL_PORTS_MAX) {
    return fail(Code::exhausted, std::to_string(options.interfaces.size()) +
                                     " ports: a sensor has at most " +
                                     std::to_string(FL_PORTS_MAX));
  }
  std::set<std::string> names;
  for (const auto& name : options.interfaces) {
    if (!names.insert(name).second)
      return fail(Code::invalid, "interface " + name + " is listed twice");
  }
  if (options.max_flows == 0 || options.max_flows > (1u << 22)) {
    return fail(Code::invalid, "max_flows must lie between 1 and " + std::to_string(1u << 22));
  }
  if (auto checked = check_ring("header", options.header_ring_bytes); !checked)
    return checked.error();
  return check_ring("trigger", options.trigger_ring_bytes);
}

class XdpSource final : public Source {
 public:
  static Result<std::unique_ptr<XdpSource>> open(const Options& options) {
    if (auto checked = check_options(options); !checked) return checked.error();
    for (const auto& name : options.interfaces) {
      if (auto checked = Port::check(name); !checked) return checked.error();
    }
    std::unique_ptr<XdpSource> source(new XdpSource);
    if (auto prepared = source->prepare(options); !prepared) return prepared.error();
    for (std::uint16_t i = 0; i < source->classifier_->ports(); ++i) {
      auto port = Port::open(options.interfaces[i], source->classifier_->program_fd(i));
      if (!port) return std::move(port.error()).in("port " + std::to_string(i));
      source->ports_.push_back(std::move(*port));
    }
    return source;
  }

  Result<Applied> apply(const std::vector<FlowEntry>& desired) override {
    auto applied = flows_->apply(desired);
    if (!applied) return std::move(applied.error()).in("flow table");
    return applied;
  }
  Result<void> look_inside(bool triggers) override { return flows_->look_inside(triggers); }
  Result<void> quiesce() override { return source::quiesce(); }

  Result<fl_flow_counters> flow_counters(std::uint32_t slot) const override {
    return flows_->counters(slot);
  }
  Result<fl_port_counters> port_counters(std::uint16_t port) const override {
    if (port >= ports_.size())
      return fail(Code::not_found, "there is no port " + std::to_string(port));
    return sum_counters<fl_port_counters>(classifier_->map_fd("port_counters"), port);
  }

  int trigger_fd() const override { return rings_->trigger_fd(); }
  Result<std::size_t> drain_headers(const OnHeader& on_header) override {
    return rings_->drain_headers(on_header);
  }
  Result<std::size_t> drain_triggers(const OnTrigger& on_trigger) override {
    return rings_->drain_triggers(on_trigger);
  }

 private:
  Result<void> prepare(const Options& options) {
    // Asked for now, not at the first trigger: whether this kernel can wait for running programs.
    if (auto waited = source::quiesce(); !waited) return waited.error();
    const MapSizes sizes{2 * options.max_flows, options.header_ring_bytes,
                         options.trigger_ring_bytes};
    auto classifier =
        Classifier::load(sizes, static_cast<std::uint16_t>(options.interfaces.size()), XDP_DROP);
    if (!classifier) return classifier.error();
    classifier_ = std::move(*classifier);
    auto flows = FlowTable::open([this](const char* name) { return classifier_->map_fd(name); },
                                 sizes.slots);
    if (!flows) return flows.error();
    flows_ = std::move(*flows);
    auto rings = Rings::open(*classifier_, sizes);
    if (!rings) return rings.error();
    rings_ = std::move(*rings);
    return {};
  }

  // Destroyed from the last to the first: ports are detached before the maps go.
  std::unique_ptr<Classifier> classifier_;
  std::unique_ptr<FlowTable> flows_;
  std::unique_ptr<Rings> rings_;
  std::vector<Port> ports_;
};

}  // namespace

Result<std::unique_ptr<Source>> Source::open(const Options& options) {
  auto source = XdpSource::open(options);
  if (!source) return source.error();
  return std::unique_ptr<Source>(std::move(*source));
}

}  // namespace fieldline::source
