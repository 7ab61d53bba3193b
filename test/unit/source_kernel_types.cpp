// SPDX-License-Identifier: Apache-2.0
// The type information of kernels as they might be.
#include <bpf/btf.h>

#include <catch2/catch.hpp>
#include <string>

#include "source/kernel_types.h"

namespace fieldline::source {
namespace {

// Adds btf_trace_NAME with so many arguments behind the data that each tracepoint hands on.
void add_tracepoint(btf* types, const std::string& name, unsigned arguments) {
  const int number = btf__add_int(types, "int", 4, BTF_INT_SIGNED);
  const int proto = btf__add_func_proto(types, 0);
  for (unsigned i = 0; i <= arguments; ++i) REQUIRE(btf__add_func_param(types, "", number) == 0);
  const int pointer = btf__add_ptr(types, proto);
  REQUIRE(btf__add_typedef(types, ("btf_trace_" + name).c_str(), pointer) > 0);
}

}  // namespace

TEST_CASE("A tracepoint's arguments are counted without the data that comes first") {
  btf* types = btf__new_empty();
  add_tracepoint(types, "two", 2);
  add_tracepoint(types, "three", 3);
  add_tracepoint(types, "none", 0);
  REQUIRE(btf__add_typedef(types, "btf_trace_odd", btf__add_int(types, "int", 4, 0)) > 0);
  REQUIRE(btf__add_func(types, "inet_sendmsg", BTF_FUNC_GLOBAL, btf__add_func_proto(types, 0)) > 0);
  const KernelTypes kernel(types);
  CHECK(kernel.arguments("btf_trace_two") == 2u);
  CHECK(kernel.arguments("btf_trace_three") == 3u);
  CHECK(kernel.arguments("btf_trace_none") == 0u);
  CHECK(kernel.arguments("btf_trace_odd") == 0u);
  CHECK_FALSE(kernel.arguments("btf_trace_gone").has_value());
  CHECK(kernel.has_function("inet_sendmsg"));
  CHECK_FALSE(kernel.has_function("btf_trace_two"));
}

}  // namespace fieldline::source
