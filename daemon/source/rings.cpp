// SPDX-License-Identifier: Apache-2.0
#include "source/rings.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "proto/trigger.h"

namespace fieldline::source {
namespace {

constexpr std::size_t kRecordHeader = 8;  // the kernel's, in front of each record
constexpr int kStop = -ECANCELED;

Error not_a_record(const char* ring) {
  return fail(Code::invalid, std::string("a record of the ") + ring +
                                 " ring is not of this version's form; classifier and daemon must "
                                 "come from one build");
}

}  // namespace

void Ring::Destroy::operator()(ring_buffer* ring) const {
  ring_buffer__free(ring);
}

Ring::~Ring() = default;

Result<std::unique_ptr<Ring>> Ring::open(int map_fd, std::uint32_t ring_bytes,
                                         std::size_t smallest_record) {
  std::unique_ptr<Ring> ring(new Ring);
  ring->ring_.reset(ring_buffer__new(map_fd, &Ring::on_sample, ring.get(), nullptr));
  if (!ring->ring_) return fail_errno("mapping a ring");
  ring->most_ = ring_bytes / (kRecordHeader + smallest_record) + 1;
  return ring;
}

int Ring::fd() const {
  return ring_buffer__epoll_fd(ring_.get());
}

int Ring::on_sample(void* self, void* data, std::size_t size) {
  auto& ring = *static_cast<Ring*>(self);
  try {
    ring.outcome_ = (*ring.on_record_)({static_cast<const std::uint8_t*>(data), size});
  } catch (...) {
    ring.thrown_ = std::current_exception();
    return kStop;
  }
  if (!ring.outcome_) return kStop;
  return ++ring.given_ == ring.most_ ? kStop : 0;
}

Result<std::size_t> Ring::drain(const OnRecord& on_record) {
  on_record_ = &on_record;
  given_ = 0;
  outcome_ = {};
  const int consumed = ring_buffer__consume(ring_.get());
  on_record_ = nullptr;
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  if (!outcome_) return outcome_.error();
  if (consumed < 0 && consumed != kStop) {
    errno = -consumed;
    return fail_errno("reading a ring");
  }
  return given_;
}

Result<std::unique_ptr<Rings>> Rings::open(const Classifier& classifier, const MapSizes& sizes) {
  auto headers =
      Ring::open(classifier.map_fd("header_ring"), sizes.header_ring_bytes, sizeof(fl_lift));
  if (!headers) return std::move(headers.error()).in("header ring");
  auto triggers = Ring::open(classifier.map_fd("trigger_ring"), sizes.trigger_ring_bytes,
                             sizeof(fl_trigger_lift));
  if (!triggers) return std::move(triggers.error()).in("trigger ring");
  auto rings = std::make_unique<Rings>();
  rings->headers_ = std::move(*headers);
  rings->triggers_ = std::move(*triggers);
  return rings;
}

Result<std::size_t> Rings::drain_headers(const Source::OnHeader& on_header) {
  return headers_->drain([&](ByteView record) -> Result<void> {
    auto lift = parse_lift(record);
    if (!lift) return lift.error();
    on_header(lift->first, lift->second);
    return {};
  });
}

Result<std::size_t> Rings::drain_triggers(const Source::OnTrigger& on_trigger) {
  return triggers_->drain([&](ByteView record) -> Result<void> {
    auto lift = parse_trigger_lift(record);
    if (!lift) return lift.error();
    on_trigger(lift->first, lift->second);
    return {};
  });
}

Result<std::pair<fl_lift, ByteView>> parse_lift(ByteView record) {
  ByteReader reader(record);
  auto lift = reader.take_struct<fl_lift>();
  if (!lift) return not_a_record("header");
  auto frame = reader.take(lift->cap_len);
  if (!frame || lift->hits < 1 || lift->hits > FL_MASKS_MAX || reader.left() > 7) {
    return not_a_record("header");
  }
  return std::pair{*lift, *frame};
}

Result<std::pair<fl_trigger_lift, ByteView>> parse_trigger_lift(ByteView record) {
  ByteReader reader(record);
  auto lift = reader.take_struct<fl_trigger_lift>();
  if (!lift || lift->len > FL_TRIGGER_MAX) return not_a_record("trigger");
  auto trigger = reader.take(lift->len);
  if (!trigger || reader.left() > 0) return not_a_record("trigger");
  return std::pair{*lift, *trigger};
}

}  // namespace fieldline::source
