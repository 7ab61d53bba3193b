// SPDX-License-Identifier: Apache-2.0
#include "app/event_feed.h"

#include <utility>

#include "magnet/module_events.h"

namespace fieldline::app {

namespace {

constexpr const char* kModuleWhy = "its devices can be opened";

Result<EventOpeners::Module> open_module() {
  magnet::SystemDevices devices;
  auto events = magnet::ModuleEvents::open(devices);
  if (!events) return std::move(events.error()).in("the module's devices");
  if (!events->has_extension()) {
    return fail(Code::unsupported,
                "the module has records of 24 bytes, which say nothing of addresses and ports: "
                "rmmod magnet && modprobe magnet ext=1");
  }
  const std::uint64_t skipped = events->skipped();
  return EventOpeners::Module{std::make_shared<magnet::ModuleEvents>(std::move(*events)), skipped};
}

}  // namespace

EventOpeners EventOpeners::of(const HostConfig& config) {
  source::HostEventOptions options;
  options.interfaces = config.interfaces;
  options.ring_bytes = config.event_ring_bytes;
  options.max_flows = config.max_flows;
  auto open_ebpf = [options]() -> Result<std::shared_ptr<source::HostEvents>> {
    auto events = source::HostEvents::open(options);
    if (!events) return events.error();
    return std::shared_ptr<source::HostEvents>(std::move(*events));
  };
  return {config.source, open_module, open_ebpf};
}

const char* EventFeed::state() const {
  switch (state_) {
    case State::arming:
      return "arming";
    case State::armed:
      return "armed";
    case State::disarming:
      return "disarming";
    default:
      return "idle";
  }
}

Result<std::unique_ptr<EventFeed>> EventFeed::choose(Worker& worker, EventOpeners openers) {
  std::unique_ptr<EventFeed> feed(new EventFeed(worker, std::move(openers)));
  feed->why_ = "source = \"ebpf\"";
  if (feed->openers_.wanted != "ebpf") {
    auto opened = feed->openers_.module();
    if (opened) {
      feed->take({std::move(*opened), nullptr, kModuleWhy});
      feed->last_ = feed->accounting();
      feed->module_.reset();  // and armed with the first run
      return feed;
    }
    if (feed->openers_.wanted == "module") {
      return std::move(opened.error())
          .in("source = \"module\" (\"auto\" takes eBPF where there is none)");
    }
    feed->why_ = opened.error().text();
  }
  auto opened = feed->openers_.ebpf();
  if (!opened) return opened.error();
  feed->take({{}, std::move(*opened), feed->why_});
  return feed;
}

Result<void> EventFeed::apply(const std::vector<source::FlowEntry>& entries) {
  entries_ = entries;
  auto applied = ebpf_ ? ebpf_->apply(entries_) : Result<void>();
  if (entries_.empty()) {
    wanted_ = false;
    if (state_ == State::armed) disarm();
  }
  return applied;
}

void EventFeed::arm(Done done) {
  wanted_ = true;
  if (state_ == State::armed) return done({});
  waiting_.push_back(std::move(done));
  if (state_ == State::idle) start_arming();
}

// By the worker. `idle`: eBPF that is loaded already. Whoever held the devices when the daemon
// began may be gone, or the module was loaded since: it is tried each time.
Result<EventFeed::Armed> EventFeed::open_and_arm(const EventOpeners& openers,
                                                 std::shared_ptr<source::HostEvents> idle,
                                                 const std::vector<source::FlowEntry>& entries) {
  Armed armed;
  armed.why = "source = \"ebpf\"";
  if (openers.wanted != "ebpf") {
    auto module = openers.module();
    if (module) return Armed{std::move(*module), nullptr, kModuleWhy};
    if (openers.wanted == "module") return module.error();
    armed.why = module.error().text();
  }
  armed.ebpf = std::move(idle);
  if (!armed.ebpf) {
    auto opened = openers.ebpf();
    if (!opened) return opened.error();
    armed.ebpf = std::move(*opened);
    if (auto applied = armed.ebpf->apply(entries); !applied) return applied.error();
  }
  if (auto attached = armed.ebpf->arm(); !attached) return attached.error();
  return armed;
}

void EventFeed::start_arming() {
  state_ = State::arming;
  worker_.run([openers = openers_, idle = ebpf_,
               entries = entries_] { return open_and_arm(openers, idle, entries); },
              [this](Result<Armed> armed) { on_armed(std::move(armed)); });
}

void EventFeed::on_armed(Result<Armed> armed) {
  Result<void> done;
  if (armed) {
    state_ = State::armed;
    take(std::move(*armed));
    if (ebpf_) done = ebpf_->apply(entries_);  // they may have been renewed meanwhile
  } else {
    state_ = State::idle;
    wanted_ = false;
    done = armed.error();
  }
  if (state_ == State::armed && !wanted_) disarm();
  for (Done& tell : std::exchange(waiting_, {})) tell(done);
}

void EventFeed::take(Armed armed) {
  why_ = std::move(armed.why);
  if (armed.module.events) {
    prefers_module_ = true;
    module_ = std::move(armed.module.events);
    skipped_ += armed.module.skipped;
    absent_ = module_->absent();
    // Not here: giving programs back may take as long as arming them.
    if (ebpf_)
      worker_.run([old = std::move(ebpf_)]() mutable { return old.reset(), true; }, [](bool) {});
    ebpf_.reset();
    return;
  }
  if (armed.ebpf != ebpf_) last_ = {};
  ebpf_ = std::move(armed.ebpf);
  absent_ = ebpf_->absent();
}

// Entries are gone already, so nothing more is recorded by eBPF; devices close with the worker's
// reference, which is the last.
void EventFeed::disarm() {
  state_ = State::disarming;
  last_ = accounting();
  auto job = [module = std::exchange(module_, nullptr),
              ebpf = prefers_module_ ? std::exchange(ebpf_, nullptr) : ebpf_]() mutable {
    if (ebpf) ebpf->disarm();
    module.reset();
    ebpf.reset();
    return true;
  };
  worker_.run(std::move(job), [this](bool) {
    state_ = State::idle;
    if (wanted_) start_arming();
  });
}

void EventFeed::quiesce(Done done) {
  if (!waiting_.empty()) {
    waiting_.push_back([this, done = std::move(done)](const Result<void>&) { quiesce(done); });
    return;
  }
  worker_.run([ebpf = ebpf_] { return ebpf ? ebpf->quiesce() : Result<void>(); }, std::move(done));
}

Result<std::size_t> EventFeed::drain(const magnet::EventSource::OnBatch& on_batch) {
  if (ebpf_) return ebpf_->drain(on_batch);
  return module_ ? module_->drain(on_batch) : std::size_t{0};
}

magnet::Accounting EventFeed::accounting() {
  const magnet::EventSource* source = ebpf_ ? ebpf_.get() : module_.get();
  if (source != nullptr) {
    if (auto counted = source->accounting()) last_ = *counted;
  }
  return last_;
}

}  // namespace fieldline::app
