// SPDX-License-Identifier: Apache-2.0
// One end of a wire: a packet socket on an interface, with the virtio header so that offloaded
// frames pass whole.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace fieldline::impair {

// sizeof(struct virtio_net_hdr); <linux/virtio_net.h> does not compile as C++.
constexpr std::size_t kVirtioHeader = 10;

struct Frame {
  Bytes raw;                 // virtio header, then the Ethernet frame
  std::uint64_t due_ns = 0;  // CLOCK_MONOTONIC

  ByteView bytes() const { return ByteView(raw).subspan(kVirtioHeader); }
  std::size_t wire_len() const { return raw.size() - kVirtioHeader; }
};

class Port {
 public:
  // Sees every frame that comes in on the interface, none that goes out.
  static Result<std::unique_ptr<Port>> open(const std::string& interface);

  int fd() const { return socket_.get(); }
  // Everything that waits, up to a bounded number of frames.
  void receive(std::uint64_t due_ns, const std::function<void(Frame)>& on_frame);
  // Sends and removes the first `count`; the number that the kernel took.
  std::size_t send(std::deque<Frame>& frames, std::size_t count);
  // Asks the kernel what the socket lost since the last call.
  void count_losses();

  std::uint64_t lost_receive() const { return lost_receive_; }
  std::uint64_t lost_send() const { return lost_send_; }

 private:
  Fd socket_;
  std::unique_ptr<Bytes[]> batch_;
  std::uint64_t lost_receive_ = 0, lost_send_ = 0;
};

}  // namespace fieldline::impair
