// SPDX-License-Identifier: Apache-2.0
#include "magnet/ring_set.h"

#include <string>

namespace fieldline::magnet {

Result<RingSet> RingSet::open(Devices& devices) {
  auto cpus = devices.cpus();
  if (!cpus) return cpus.error();
  if (cpus->empty()) return fail(Code::not_found, "no rings: load the module (modprobe magnet)");
  RingSet set;
  for (unsigned cpu : *cpus) {
    auto device = devices.open(cpu);
    if (!device) return device.error();
    auto ring = Ring::open(std::move(*device), cpu);
    if (!ring) return ring.error();
    if (!set.rings_.empty() &&
        (ring->record_size() != set.record_size() || ring->cycles_khz() != set.cycles_khz())) {
      return fail(Code::unsupported, "/dev/magnet" + std::to_string(cpu) +
                                         " has another record size or clock than the others; "
                                         "reload the module (rmmod magnet; modprobe magnet)");
    }
    set.rings_.push_back(std::move(*ring));
  }
  return set;
}

Result<RingSet::Totals> RingSet::totals() {
  Totals totals;
  for (auto& ring : rings_) {
    auto info = ring.info();
    if (!info) return info.error();
    totals.recorded += info->recorded;
    totals.lost += info->lost;
  }
  return totals;
}

}  // namespace fieldline::magnet
