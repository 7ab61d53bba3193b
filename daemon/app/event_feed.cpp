// SPDX-License-Identifier: Apache-2.0
#include "app/event_feed.h"

#include <utility>

#include "magnet/module_events.h"

namespace fieldline::app {

Result<void> EventFeed::open_module() {
  magnet::SystemDevices devices;
  auto events = magnet::ModuleEvents::open(devices);
  if (!events) return std::move(events.error()).in("the module's devices");
  if (!events->has_extension()) {
    return fail(Code::unsupported,
                "the module has records of 24 bytes, which say nothing of addresses and ports: "
                "rmmod magnet && modprobe magnet ext=1");
  }
  module_ = std::make_unique<magnet::ModuleEvents>(std::move(*events));
  why_ = "its devices can be opened";
  absent_ = module_->absent();
  return {};
}

Result<void> EventFeed::open_ebpf(const std::string& why) {
  source::HostEventOptions options;
  options.interfaces = config_.interfaces;
  options.ring_bytes = config_.event_ring_bytes;
  options.max_flows = config_.max_flows;
  auto ebpf = source::HostEvents::open(options);
  if (!ebpf) return ebpf.error();
  ebpf_ = std::move(*ebpf);
  why_ = why;
  absent_ = ebpf_->absent();
  last_ = {};
  return {};
}

Result<EventFeed> EventFeed::choose(const HostConfig& config) {
  EventFeed feed;
  feed.config_ = config;
  std::string no_module = "source = \"ebpf\"";
  if (config.source != "ebpf") {
    auto opened = feed.open_module();
    if (opened) {
      feed.prefers_module_ = true;
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
  auto opened = feed.open_ebpf(no_module);
  if (!opened) return opened.error();
  return feed;
}

Result<void> EventFeed::watch(const std::vector<source::FlowEntry>& entries) {
  const bool begins = !std::exchange(active_, !entries.empty());
  if (entries.empty()) {
    last_ = accounting();
    module_.reset();
    auto idle = ebpf_ ? ebpf_->watch(entries) : Result<void>();
    if (prefers_module_) ebpf_.reset();
    return idle;
  }
  // Whoever held the devices when the daemon began may be gone, or the module was loaded since.
  if (begins && ebpf_ && config_.source == "auto" && open_module()) {
    ebpf_.reset();
    prefers_module_ = true;
  }
  if (!ebpf_ && !module_) {
    auto opened = open_module();
    if (!opened && config_.source == "module") return opened.error();
    if (!opened) opened = open_ebpf(opened.error().text());
    if (!opened) return opened.error();
  }
  return ebpf_ ? ebpf_->watch(entries) : Result<void>();
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
