// SPDX-License-Identifier: Apache-2.0
// A host's own interfaces, watched for triggers in both directions; every packet goes on untouched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "source/source.h"

namespace fieldline::source {

struct HostWatchOptions {
  std::vector<std::string> interfaces;          // Ethernet or loopback; the index is the number
  std::uint32_t trigger_ring_bytes = 1u << 18;  // power of two
  bool only_clsact = false;                     // as on a kernel without tcx
};

// By tc hooks (source/tc_hook.h): what a killed process may leave goes on passing every packet.
class HostWatch {
 public:
  static Result<std::unique_ptr<HostWatch>> open(const HostWatchOptions& options);
  virtual ~HostWatch() = default;

  virtual const char* attachment() const = 0;  // "tcx" or "clsact"
  virtual std::vector<int> ifindexes() const = 0;
  virtual int trigger_fd() const = 0;
  virtual Result<std::size_t> drain_triggers(const Source::OnTrigger& on_trigger) = 0;
  // Of its members only those of triggers are counted here.
  virtual Result<fl_port_counters> port_counters(std::uint16_t port) const = 0;
};

}  // namespace fieldline::source
