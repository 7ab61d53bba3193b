// SPDX-License-Identifier: Apache-2.0
#include "source/classifier.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "classifier.skel.h"
#include "classifier_tc.skel.h"
#include "source/libbpf_log.h"

namespace fieldline::source {
namespace {

// The maps of the first program stand in for those of a later one; its .rodata stays its own.
int share_maps(bpf_object* from, bpf_object* to) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, to) {
    if (bpf_map__is_internal(map)) continue;
    const int fd = bpf_object__find_map_fd_by_name(from, bpf_map__name(map));
    if (fd < 0) return fd;
    if (int error = bpf_map__reuse_fd(map, fd)) return error;
  }
  return 0;
}

void size_maps(bpf_object* object, const MapSizes& sizes) {
  for (const char* name : {"flows", "values", "flow_counters"})
    bpf_map__set_max_entries(bpf_object__find_map_by_name(object, name), sizes.slots);
  bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "header_ring"),
                           sizes.header_ring_bytes);
  bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "trigger_ring"),
                           sizes.trigger_ring_bytes);
}

}  // namespace

template <class Skeleton>
Result<Classifier::Loaded> Classifier::load(std::uint16_t port, const PortTraits& traits) const {
  LibbpfLog log;
  auto* skeleton = Skeleton::open();
  if (!skeleton) return log.load_error("the classifier");
  Loaded loaded;
  loaded.skeleton = {skeleton, [](Skeleton* open) { Skeleton::destroy(open); }};
  loaded.object = skeleton->obj;
  skeleton->rodata->fl_port = port;
  skeleton->rodata->fl_action = traits.action;
  skeleton->rodata->fl_time_per_poll = traits.time_per_poll;
  if (!maps_) {
    size_maps(loaded.object, sizes_);
  } else if (share_maps(maps_, loaded.object)) {
    return log.load_error("the classifier");
  }
  if (int error = Skeleton::load(skeleton)) {
    errno = -error;
    return log.load_error("the classifier");
  }
  loaded.program = bpf_program__fd(bpf_object__next_program(loaded.object, nullptr));
  return loaded;
}

Result<int> Classifier::program(std::uint16_t port, Hook hook, const PortTraits& traits) {
  const std::pair key{port, hook};
  if (auto found = programs_.find(key); found != programs_.end()) return found->second.program;
  auto loaded =
      hook == Hook::xdp ? load<classifier>(port, traits) : load<classifier_tc>(port, traits);
  if (!loaded) return loaded.error();
  if (!maps_) maps_ = loaded->object;
  return programs_.emplace(key, std::move(*loaded)).first->second.program;
}

int Classifier::map_fd(const char* name) const {
  return bpf_object__find_map_fd_by_name(maps_, name);
}

Result<void> quiesce() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return {};
  if (errno == EINVAL) {
    return fail(Code::unsupported,
                "waiting for running programs: this kernel runs with nohz_full, under which "
                "membarrier has no global form; boot without nohz_full");
  }
  return fail_errno("waiting for running programs by membarrier");
}

}  // namespace fieldline::source
