// SPDX-License-Identifier: Apache-2.0
#include "source/source.h"

#include <net/if.h>
#include <unistd.h>

#include <bit>
#include <map>
#include <optional>
#include <set>

#include "source/classifier.h"
#include "source/flow_table.h"
#include "source/link_watch.h"
#include "source/poll_clock.h"
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
  if (options.max_flows == 0 || options.max_flows > (1u << 22)) {
    return fail(Code::invalid, "max_flows must lie between 1 and " + std::to_string(1u << 22));
  }
  if (auto checked = check_ring("header", options.header_ring_bytes); !checked)
    return checked.error();
  return check_ring("trigger", options.trigger_ring_bytes);
}

class KernelSource final : public Source {
 public:
  static Result<std::unique_ptr<KernelSource>> open(const Options& options) {
    if (auto checked = check_options(options); !checked) return checked.error();
    auto plans = plan_ports(options);
    if (!plans) return plans.error();
    std::unique_ptr<KernelSource> source(new KernelSource(options));
    if (auto prepared = source->prepare(plans->front()); !prepared) return prepared.error();
    source->plans_ = std::move(*plans);
    source->ports_.resize(source->plans_.size());
    source->states_.resize(source->plans_.size());
    for (std::uint16_t i = 0; i < source->plans_.size(); ++i) {
      if (auto attached = source->attach(i); !attached) return attached.error();
      const std::string& bundle = source->plans_[i].bundle;
      if (!bundle.empty()) source->bundles_.try_emplace(bundle);
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
  const std::vector<PortState>& ports() const override { return states_; }

  Result<fl_flow_counters> flow_counters(std::uint32_t slot) const override {
    return flows_->counters(slot);
  }
  Result<fl_port_counters> port_counters(std::uint16_t port) const override {
    if (port >= ports_.size())
      return fail(Code::not_found, "there is no port " + std::to_string(port));
    return sum_counters<fl_port_counters>(classifier_.map_fd("port_counters"), port);
  }

  std::uint64_t stamps_early_by_ns() const override { return polls_ ? polls_->longest_ns() : 0; }

  NicQuestion nic_question() const override {
    std::vector<std::optional<Interface>> asked;
    std::vector<bool> in_path;
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      const bool has_own = ports_[i] && plans_[i].place != Place::out;
      asked.push_back(has_own ? std::optional(ports_[i]->interface()) : std::nullopt);
      in_path.push_back(plans_[i].place != Place::tap);
    }
    return [asked = std::move(asked), in_path = std::move(in_path)] {
      std::vector<NicDrops> drops;
      for (std::size_t i = 0; i < asked.size(); ++i)
        drops.push_back(asked[i] ? read_nic_drops(*asked[i], in_path[i]) : NicDrops{});
      return drops;
    };
  }

  int links_fd() const override { return links_->fd(); }
  std::vector<std::string> follow_links() override {
    links_->clear();
    std::vector<std::string> lines;
    for (std::uint16_t i = 0; i < ports_.size(); ++i) {
      const std::string &name = plans_[i].interface, port = "port " + plans_[i].name() + ": ";
      const auto index = static_cast<int>(if_nametoindex(name.c_str()));
      if (ports_[i] && ports_[i]->interface().index != index) {
        detach(i, "there is no interface " + name);
        lines.push_back(port + "interface " + name +
                        " is gone; the other ports go on, and this one does when an interface of "
                        "that name is back");
      }
      if (ports_[i]) {
        auto still = check_still(plans_[i]);
        if (still) continue;
        if (still.error().code != Code::invalid) {  // the kernel did not say: asked again next time
          lines.push_back(port + "is it still a tap? " + still.error().text());
          continue;
        }
        std::string why = std::move(still.error()).in("port " + plans_[i].name()).text();
        lines.push_back("let go: " + why);
        detach(i, std::move(why));
      }
      if (index == 0) continue;
      if (auto attached = attach(i)) {
        lines.push_back(port + "is back: " + states_[i].attachment);
      } else if (std::string why = attached.error().text(); why != states_[i].remark) {
        lines.push_back("not attached again: " + why);
        states_[i].remark = std::move(why);
      }
    }
    for (auto& [bundle, unseen] : bundles_) follow_bundle(bundle, unseen, lines);
    return lines;
  }

  int trigger_fd() const override { return rings_->trigger_fd(); }
  Result<std::size_t> drain_headers(const OnHeader& on_header) override {
    return rings_->drain_headers(on_header);
  }
  Result<std::size_t> drain_triggers(const OnTrigger& on_trigger) override {
    return rings_->drain_triggers(on_trigger);
  }

 private:
  explicit KernelSource(const Options& options)
      : sizes_{2 * options.max_flows, options.header_ring_bytes, options.trigger_ring_bytes},
        time_per_poll_(options.time_per_poll),
        classifier_(sizes_) {}

  // What goes out was not polled for.
  PortTraits traits(const PortPlan& plan, Hook hook) const {
    return {Port::action(plan.place, hook), time_per_poll_ && plan.place == Place::tap};
  }

  // The first port's program brings the maps.
  Result<void> prepare(const PortPlan& first) {
    // Asked for now, not at the first trigger: whether this kernel can wait for running programs.
    if (auto waited = source::quiesce(); !waited) return waited.error();
    auto program = classifier_.program(0, first.hook(), traits(first, first.hook()));
    if (!program) return std::move(program.error()).in("port " + first.name());
    auto flows = FlowTable::open([this](const char* name) { return classifier_.map_fd(name); },
                                 sizes_.slots);
    if (!flows) return flows.error();
    flows_ = std::move(*flows);
    auto rings = Rings::open(classifier_, sizes_);
    if (!rings) return rings.error();
    rings_ = std::move(*rings);
    if (time_per_poll_) {
      auto polls = PollClock::open(classifier_.map_fd("polls"));
      if (!polls) return polls.error();
      polls_.emplace(std::move(*polls));
    }
    // Before the first port is attached: what happens to one from then on is told.
    auto links = LinkWatch::open();
    if (!links) return links.error();
    links_.emplace(std::move(*links));
    return {};
  }

  Result<void> attach(std::uint16_t number) {
    const PortPlan& plan = plans_[number];
    auto port = Port::open(
        plan, [&](Hook hook) { return classifier_.program(number, hook, traits(plan, hook)); });
    if (!port) return std::move(port.error()).in("port " + plan.name());
    states_[number] = {plan.name(),
                       plan.interface,
                       plan.place,
                       port->interface().kind,
                       port->interface().driver,
                       port->attachment(),
                       port->remark()};
    ports_[number].emplace(std::move(*port));
    return {};
  }

  // A member that joins later is no port: ports are numbered at the start, for the whole session.
  void follow_bundle(const std::string& bundle, std::set<std::string>& unseen,
                     std::vector<std::string>& lines) {
    std::set<std::string> now;
    if (auto interface = read_interface(bundle)) {
      auto members = members_of(*interface);
      if (!members) return;
      now.insert(members->begin(), members->end());
    }
    for (const PortPlan& plan : plans_) now.erase(plan.interface);
    if (now == unseen) return;
    unseen = std::move(now);
    std::string remark;
    for (const std::string& member : unseen) {
      remark = bundle + " has a new member, " + member +
               ", of which no packet is seen: restart fieldlined";
      lines.push_back(remark);
    }
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      if (plans_[i].bundle == bundle && ports_[i])
        states_[i].remark = remark.empty() ? ports_[i]->remark() : remark;
    }
  }

  void detach(std::uint16_t number, std::string why) {
    ports_[number].reset();
    states_[number].attachment.clear();
    states_[number].remark = std::move(why);
  }

  // Destroyed from the last to the first: ports are detached before the maps go.
  MapSizes sizes_;
  bool time_per_poll_;
  Classifier classifier_;
  std::optional<PollClock> polls_;
  std::unique_ptr<FlowTable> flows_;
  std::unique_ptr<Rings> rings_;
  std::optional<LinkWatch> links_;
  std::vector<PortPlan> plans_;
  std::vector<PortState> states_;
  // By the name of each bond, team or bridge: members that joined since the start.
  std::map<std::string, std::set<std::string>> bundles_;
  std::vector<std::optional<Port>> ports_;
};

}  // namespace

Result<std::unique_ptr<Source>> Source::open(const Options& options) {
  auto source = KernelSource::open(options);
  if (!source) return source.error();
  return std::unique_ptr<Source>(std::move(*source));
}

}  // namespace fieldline::source
