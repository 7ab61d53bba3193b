// SPDX-License-Identifier: Apache-2.0
#include "source/kernel_types.h"

#include <bpf/btf.h>

namespace fieldline::source {

void KernelTypes::Free::operator()(btf* types) const {
  btf__free(types);
}

Result<KernelTypes> KernelTypes::load() {
  KernelTypes types(btf__load_vmlinux_btf());
  if (types.types_) return types;
  return fail(
      Code::unsupported,
      "this kernel has no type information (CONFIG_DEBUG_INFO_BTF): host events need it, or "
      "the module");
}

bool KernelTypes::has_function(const char* name) const {
  return btf__find_by_name_kind(types_.get(), name, BTF_KIND_FUNC) > 0;
}

// typedef void (*btf_trace_NAME)(void *data, arguments...)
std::optional<unsigned> KernelTypes::arguments(const char* tracepoint) const {
  const int id = btf__find_by_name_kind(types_.get(), tracepoint, BTF_KIND_TYPEDEF);
  if (id <= 0) return std::nullopt;
  const btf_type* type = btf__type_by_id(types_.get(), static_cast<__u32>(id));
  for (int depth = 0; type != nullptr && depth < 8; ++depth) {
    if (btf_is_func_proto(type)) {
      const unsigned all = btf_vlen(type);
      return all == 0 ? 0 : all - 1;
    }
    if (!btf_is_typedef(type) && !btf_is_ptr(type)) return 0;
    type = btf__type_by_id(types_.get(), type->type);
  }
  return 0;
}

}  // namespace fieldline::source
