// SPDX-License-Identifier: Apache-2.0
// The host's event records from the module's rings, timestamps in UTC.
#pragma once

#include <string>
#include <vector>

#include "magnet/device.h"
#include "magnet/events.h"
#include "magnet/ring_set.h"
#include "magnet/timeline.h"

namespace fieldline::magnet {

class ModuleEvents final : public EventSource {
 public:
  static Result<ModuleEvents> open(Devices& devices, std::string state_path = "/proc/net/magnet");

  Result<std::size_t> drain(const OnBatch& on_batch) override;
  const char* kind() const override { return "module"; }
  std::vector<std::string> absent() const override;
  Result<Accounting> accounting() const override;

  // Readable while their rings have records: to be waited for.
  std::vector<int> descriptors() const;

 private:
  ModuleEvents(RingSet rings, std::string state_path);
  Result<std::size_t> drain_ring(Ring& ring, const OnBatch& on_batch);
  std::size_t convert(const Ring& ring, std::size_t count);

  RingSet rings_;
  std::string state_path_;
  Timeline timeline_;
  unsigned empty_drains_ = 0;
  std::vector<std::uint8_t> copied_;
  std::vector<magnet_record_ext> converted_;
};

}  // namespace fieldline::magnet
