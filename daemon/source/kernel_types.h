// SPDX-License-Identifier: Apache-2.0
// What the running kernel's type information (BTF) says of the places where programs attach.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"

struct btf;

namespace fieldline::source {

class KernelTypes {
 public:
  // unsupported: this kernel has none.
  static Result<KernelTypes> load();
  explicit KernelTypes(btf* types) : types_(types) {}  // owns it

  bool has_function(const char* name) const;
  // Of a tracepoint's typedef, btf_trace_NAME: how many arguments a program gets; none: there is no
  // such tracepoint.
  std::optional<unsigned> arguments(const char* tracepoint) const;

 private:
  struct Free {
    void operator()(btf* types) const;
  };
  std::unique_ptr<btf, Free> types_;
};

}  // namespace fieldline::source
