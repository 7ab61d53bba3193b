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

}  // namespace

void Classifier::Destroy::operator()(classifier* skeleton) const {
  classifier__destroy(skeleton);
}

Classifier::~Classifier() = default;

Result<std::unique_ptr<Classifier>> Classifier::load(const MapSizes& sizes, std::uint16_t ports,
                                                     std::uint32_t action) {
  std::unique_ptr<Classifier> loaded(new Classifier);
  for (std::uint16_t port = 0; port < ports; ++port) {
    auto skeleton = loaded->load_port(sizes, port, action);
    if (!skeleton) return skeleton.error();
    loaded->skeletons_.push_back(std::move(*skeleton));
  }
  return loaded;
}

Result<Classifier::Skeleton> Classifier::load_port(const MapSizes& sizes, std::uint16_t port,
                                                   std::uint32_t action) const {
  LibbpfLog log;
  Skeleton skeleton(classifier__open());
  if (!skeleton) return log.load_error("the classifier");
  skeleton->rodata->fl_port = port;
  skeleton->rodata->fl_action = action;
  if (skeletons_.empty()) {
    bpf_map__set_max_entries(skeleton->maps.flows, sizes.slots);
    bpf_map__set_max_entries(skeleton->maps.values, sizes.slots);
    bpf_map__set_max_entries(skeleton->maps.flow_counters, sizes.slots);
    bpf_map__set_max_entries(skeleton->maps.header_ring, sizes.header_ring_bytes);
    bpf_map__set_max_entries(skeleton->maps.trigger_ring, sizes.trigger_ring_bytes);
  } else if (share_maps(skeletons_.front()->obj, skeleton->obj)) {
    return log.load_error("the classifier");
  }
  if (int error = classifier__load(skeleton.get())) {
    errno = -error;
    return log.load_error("the classifier");
  }
  return skeleton;
}

int Classifier::program_fd(std::uint16_t port) const {
  return bpf_program__fd(skeletons_.at(port)->progs.fl_classify);
}

int Classifier::map_fd(const char* name) const {
  return bpf_object__find_map_fd_by_name(skeletons_.front()->obj, name);
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
