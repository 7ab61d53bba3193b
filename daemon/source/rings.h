// SPDX-License-Identifier: Apache-2.0
// The reading side of the header ring and the trigger ring.
#pragma once

#include <memory>

#include "base/result.h"
#include "source/classifier.h"
#include "source/source.h"

struct ring_buffer;

namespace fieldline::source {

class Ring {
 public:
  // A record as it stands in the ring; an error ends the reading after it.
  using OnRecord = std::function<Result<void>(ByteView record)>;

  static Result<std::unique_ptr<Ring>> open(int map_fd, std::uint32_t ring_bytes,
                                            std::size_t smallest_record);
  ~Ring();

  int fd() const;  // readable while records wait, if the writer wakes
  // What stands in the ring at the call, whatever a writer adds meanwhile: at most a ring full.
  Result<std::size_t> drain(const OnRecord& on_record);

 private:
  struct Destroy {
    void operator()(ring_buffer* ring) const;
  };
  Ring() = default;
  static int on_sample(void* self, void* data, std::size_t size);

  std::unique_ptr<ring_buffer, Destroy> ring_;
  std::size_t most_ = 0;  // records that fit
  // During drain() only:
  const OnRecord* on_record_ = nullptr;
  std::size_t given_ = 0;
  Result<void> outcome_;
  std::exception_ptr thrown_;  // exceptions must not cross libbpf's frames
};

class Rings {
 public:
  static Result<std::unique_ptr<Rings>> open(const Classifier& classifier, const MapSizes& sizes);

  int trigger_fd() const { return triggers_->fd(); }
  Result<std::size_t> drain_headers(const Source::OnHeader& on_header);
  Result<std::size_t> drain_triggers(const Source::OnTrigger& on_trigger);

 private:
  std::unique_ptr<Ring> headers_, triggers_;
};

// Checked views of one record; also what hostile-input tests call.
Result<std::pair<fl_lift, ByteView>> parse_lift(ByteView record);
Result<std::pair<fl_trigger_lift, ByteView>> parse_trigger_lift(ByteView record);

}  // namespace fieldline::source
