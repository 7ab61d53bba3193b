// SPDX-License-Identifier: Apache-2.0
#include "magnet/accounting.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "base/file.h"
#include "magnet/names.h"

namespace fieldline::magnet {

namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& line, char between) {
  Words words;
  std::istringstream in(line);
  for (std::string word; std::getline(in, word, between);) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

// The number behind a word; 0 where there is none.
std::uint64_t number_behind(const Words& words, std::string_view key) {
  auto found = std::find(words.begin(), words.end(), key);
  std::uint64_t value = 0;
  if (found == words.end() || ++found == words.end()) return 0;
  auto [end, error] = std::from_chars(found->data(), found->data() + found->size(), value);
  return error == std::errc() && end == found->data() + found->size() ? value : 0;
}

bool gives(const HookState& hook) {
  return hook.state == "armed" || hook.state == "idle";
}

}  // namespace

std::uint64_t ModuleState::missed() const {
  std::uint64_t sum = 0;
  for (const auto& hook : hooks) sum += hook.missed;
  return sum;
}

std::vector<std::string> ModuleState::absent() const {
  std::set<std::string> given;
  for (const auto& hook : hooks) {
    if (gives(hook)) given.insert(hook.events.begin(), hook.events.end());
  }
  std::vector<std::string> absent;
  for (const auto& event : event_names()) {
    const bool listed = std::any_of(hooks.begin(), hooks.end(), [&](const HookState& hook) {
      return std::find(hook.events.begin(), hook.events.end(), event.name) != hook.events.end();
    });
    if (listed && !given.contains(event.name)) absent.emplace_back(event.name);
  }
  return absent;
}

Result<ModuleState> parse_module_state(std::string_view text) {
  ModuleState state;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    const Words words = words_of(line, ' ');
    if (words.size() < 2) continue;
    if (words[0] == "version") state.version = words[1];
    if (words[0] == "clock")
      state.unstable = std::find(words.begin(), words.end(), "unstable") != words.end();
    if (words[0] == "cpu") {
      state.rings.push_back({static_cast<unsigned>(number_behind(words, "cpu")),
                             number_behind(words, "recorded"), number_behind(words, "lost"),
                             number_behind(words, "high_water")});
    }
    if (words[0] == "hook" && words.size() >= 5) {  // EVENTS KIND SYMBOL STATE missed N
      HookState hook;
      for (const auto& name : words_of(words[1], ',')) {
        const auto code = event_code(name);
        hook.events.push_back(code ? event_name(*code) : name);
      }
      hook.state = words[4];
      hook.missed = number_behind(words, "missed");
      state.hooks.push_back(std::move(hook));
    }
  }
  if (state.version.empty())
    return fail(Code::invalid, "/proc/net/magnet has no version: not the module magnet?");
  return state;
}

Result<ModuleState> read_module_state(const std::string& path) {
  auto text = read_file(path);
  if (!text && text.error().code == Code::not_found)
    return fail(Code::not_found, path + " is not there: load the module (modprobe magnet)");
  if (!text) return text.error();
  return parse_module_state(*text);
}

}  // namespace fieldline::magnet
