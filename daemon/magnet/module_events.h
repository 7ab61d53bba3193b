// SPDX-License-Identifier: Apache-2.0
// The host's event records from the module's rings since they were opened, timestamps in UTC.
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

  // The module's ext=1: without it no record says whose packet it is.
  bool has_extension() const { return rings_.record_size() == sizeof(magnet_record_ext); }
  // Records that stood unread at open: released, and handed to nobody.
  std::uint64_t skipped() const { return skipped_; }

  // Readable while their rings have records: to be waited for.
  std::vector<int> descriptors() const;

 private:
  ModuleEvents(RingSet rings, std::string state_path);
  struct RingState {
    unsigned empty_drains = 0;
    std::uint64_t told = 0;  // losses since the open that MAGNET_LOST records told of
  };
  void skip_older(Ring& ring);
  Result<std::size_t> drain_ring(Ring& ring, RingState& state, const OnBatch& on_batch);
  std::size_t convert(const Ring& ring, std::size_t count, std::uint64_t lost, RingState& state);
  bool own_losses(const Ring& ring, magnet_record_ext& record, std::uint64_t lost,
                  RingState& state);

  RingSet rings_;
  std::string state_path_;
  Timeline timeline_;
  std::vector<RingState> states_;  // of each ring
  std::uint64_t skipped_ = 0;
  std::vector<std::uint8_t> copied_;
  std::vector<magnet_record_ext> converted_;
};

}  // namespace fieldline::magnet
