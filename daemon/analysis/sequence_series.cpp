// SPDX-License-Identifier: Apache-2.0
#include "analysis/sequence_series.h"

#include <algorithm>

#include "analysis/retransmissions.h"
#include "analysis/sighting.h"

namespace fieldline::analysis {
namespace {

std::int64_t away(std::uint32_t sequence, std::uint32_t from) {
  return static_cast<std::int32_t>(sequence - from);
}

}  // namespace

void SequenceBin::merge(const SequenceBin& other) {
  if (other.sent) {
    low = sent ? std::min(low, other.low) : other.low;
    if (!sent || other.high > high) {
      high = other.high;
      high_sequence = other.high_sequence;
    }
    sent = true;
  }
  if (other.acknowledged) {
    ack = acknowledged ? std::max(ack, other.ack) : other.ack;
    acknowledged = true;
  }
}

std::int64_t SequenceLine::byte_at(std::uint64_t time_ns, std::uint32_t sequence) const {
  const SequenceBin* near = nullptr;
  for (const SequenceBin& bin : bins) {
    if (near && bin.from_ns > time_ns) break;
    if (bin.sent) near = &bin;
  }
  return near ? near->high + away(sequence, near->high_sequence) : 0;
}

SequenceSeries::Line* SequenceSeries::line_of(std::uint32_t flow) {
  if (!flows_->is_tcp(flow) || flow >= kFlowsMax) return nullptr;
  if (flow >= lines_.size()) lines_.resize(flow + std::size_t{1});
  return &lines_[flow];
}

// A new connection on the same ports, or a jump, goes on where the last one ended.
void SequenceSeries::see(const Observation& packet, const Sending& sending) {
  if (sending.kind != Sending::Kind::fresh) return;
  Line* line = line_of(packet.flow);
  if (!line) return;
  const std::uint32_t end = packet.sequence + packet.length();
  const bool jumps = (packet.flags & kSyn) || away(end, line->high_sequence) <= 0;
  const std::int64_t low =
      line->high + (line->started && !jumps ? away(packet.sequence, line->high_sequence) : 0);
  line->started = true;
  line->high = low + packet.length();
  line->high_sequence = end;
  SequenceBin now;
  now.sent = true;
  now.low = low;
  now.high = line->high;
  now.high_sequence = end;
  line->bins.at(packet.time).merge(now);
}

void SequenceSeries::see_ack(const Observation& ack) {
  if (!(ack.flags & kAck)) return;
  Line* line = line_of(ack.flow);
  if (!line || !line->started) return;
  SequenceBin now;
  now.acknowledged = true;
  now.ack = line->high + away(ack.ack, line->high_sequence);
  line->bins.at(ack.time).merge(now);
}

std::vector<SequenceLine> SequenceSeries::lines() const {
  std::vector<SequenceLine> lines;
  for (std::uint32_t flow = 0; flow < lines_.size(); ++flow) {
    if (lines_[flow].started)
      lines.push_back({flow, lines_[flow].bins.width_ns(), lines_[flow].bins.bins()});
  }
  return lines;
}

}  // namespace fieldline::analysis
