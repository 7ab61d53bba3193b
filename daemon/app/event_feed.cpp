// SPDX-License-Identifier: Apache-2.0
#include "app/event_feed.h"

#include "magnet/module_events.h"

namespace fieldline::app {

Result<void> EventFeed::open_module() {
  magnet::SystemDevices devices;
  auto events = magnet::ModuleEvents::open(devices);
  if (!events) return std::move(events.error()).in("the module's devices");
  module_ = std::make_unique<magnet::ModuleEvents>(std::move(*events));
  absent_ = module_->absent();
  return {};
}

Result<EventFeed> EventFeed::choose(const HostConfig& config) {
  EventFeed feed;
  std::string no_module = "source = \"ebpf\"";
  if (config.source != "ebpf") {
    auto opened = feed.open_module();
    if (opened) {
      feed.kind_ = "module";
      feed.why_ = "its devices can be opened";
      feed.last_ = feed.accounting();
      feed.module_.reset();  // and armed with the first run
      return feed;
    }
    if (config.source == "module") {
      return std::move(opened.error())
          .in("source = \"module\" (\"auto\" takes eBPF where there is none)");
    }
    no_module = opened.error().text();
  }
  source::HostEventOptions options;
  options.interfaces = config.interfaces;
  options.ring_bytes = config.event_ring_bytes;
  options.max_flows = config.max_flows;
  auto ebpf = source::HostEvents::open(options);
  if (!ebpf) return ebpf.error();
  feed.ebpf_ = std::move(*ebpf);
  feed.kind_ = "ebpf";
  feed.why_ = no_module;
  feed.absent_ = feed.ebpf_->absent();
  return feed;
}

Result<void> EventFeed::watch(const std::vector<source::FlowEntry>& entries) {
  if (ebpf_) return ebpf_->watch(entries);
  if (entries.empty()) {
    last_ = accounting();
    module_.reset();
  } else if (!module_) {
    return open_module();
  }
  return {};
}

Result<void> EventFeed::quiesce() {
  return ebpf_ ? ebpf_->quiesce() : Result<void>();
}

Result<std::size_t> EventFeed::drain(const magnet::EventSource::OnBatch& on_batch) {
  if (ebpf_) return ebpf_->drain(on_batch);
  return module_ ? module_->drain(on_batch) : std::size_t{0};
}

magnet::Accounting EventFeed::accounting() {
  magnet::EventSource* source = ebpf_ ? ebpf_.get() : module_.get();
  if (source != nullptr) {
    if (auto counted = source->accounting()) last_ = *counted;
  }
  return last_;
}

}  // namespace fieldline::app
