// SPDX-License-Identifier: Apache-2.0
#include "source/poll_clock.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "poll.skel.h"
#include "proto/flow.h"
#include "source/libbpf_log.h"

namespace fieldline::source {

Result<PollClock> PollClock::open(int polls_fd) {
  LibbpfLog log;
  auto* skeleton = poll__open();
  if (!skeleton) return log.load_error("the end of NAPI polls");
  PollClock clock;
  clock.polls_fd_ = polls_fd;
  clock.skeleton_ = {skeleton, [](poll* open) { poll__destroy(open); }};
  int error = bpf_map__reuse_fd(skeleton->maps.polls, polls_fd);
  if (error == 0) error = poll__load(skeleton);
  if (error == 0) error = poll__attach(skeleton);
  if (error == 0) return clock;
  errno = -error;
  return log.load_error("the end of NAPI polls");
}

std::uint64_t PollClock::longest_ns() const {
  const int cpus = libbpf_num_possible_cpus();
  std::vector<fl_poll> of_cpus(static_cast<std::size_t>(std::max(cpus, 1)));
  const __u32 zero = 0;
  if (cpus <= 0 || bpf_map_lookup_elem(polls_fd_, &zero, of_cpus.data())) return 0;
  std::uint64_t longest = 0;
  for (const fl_poll& poll : of_cpus) longest = std::max<std::uint64_t>(longest, poll.longest_ns);
  return longest;
}

}  // namespace fieldline::source
