// SPDX-License-Identifier: Apache-2.0
#include "cli/magnet/field_text.h"

#include <iterator>
#include <string_view>

namespace fieldline::cli {

std::string tcp_flags_text(std::uint8_t flags) {
  struct Flag {
    std::uint8_t bit;
    char letter;
  };
  constexpr Flag kFlags[] = {{1, 'F'},  {2, 'S'},  {4, 'R'},  {8, 'P'},
                             {16, '.'}, {32, 'U'}, {64, 'E'}, {128, 'W'}};
  std::string text;
  for (const Flag& flag : kFlags) {
    if ((flags & flag.bit) != 0) text += flag.letter;
  }
  return text.empty() ? "none" : text;
}

std::string ca_state_text(std::uint64_t state) {
  constexpr const char* kStates[] = {"Open", "Disorder", "CWR", "Recovery", "Loss"};
  return state < std::size(kStates) ? kStates[state] : std::to_string(state);
}

std::string field_text(const magnet_ext& ext, const magnet::Field& field) {
  const std::string_view name = field.name;
  if (name == "flags") return tcp_flags_text(static_cast<std::uint8_t>(number_at(ext, field)));
  if (name == "ca_state") return ca_state_text(number_at(ext, field));
  return magnet::text_at(ext, field);
}

}  // namespace fieldline::cli
