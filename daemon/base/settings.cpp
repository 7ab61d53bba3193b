// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

#include <set>

#include <toml++/toml.h>

#include "base/clock.h"

namespace fieldline {

struct Settings::Document {
  toml::table root;
  std::string name;
  std::set<const toml::node*> visited;
  std::vector<std::string> problems;

  void complain(const toml::source_position& at, const std::string& text) {
    problems.push_back(name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) +
                       ": " + text);
  }

  void find_unvisited(const toml::table& table) {
    for (auto&& [key, node] : table) {
      if (!visited.contains(&node)) {
        complain(key.source().begin,
                 "unknown key '" + std::string(key.str()) +
                     "'; docs/cli.md and packaging/fieldlined.toml have the keys there are");
      } else if (const auto* sub = node.as_table()) {
        find_unvisited(*sub);
      } else if (const auto* array = node.as_array()) {
        for (auto&& element : *array) {
          if (const auto* inner = element.as_table()) find_unvisited(*inner);
        }
      }
    }
  }
};

namespace {

const toml::table& as_table(const void* table) {
  return *static_cast<const toml::table*>(table);
}
const toml::node& as_node(const void* node) {
  return *static_cast<const toml::node*>(node);
}

std::string quoted(std::string_view key) {
  return "'" + std::string(key) + "'";
}

}  // namespace

Settings::Settings(std::shared_ptr<Document> document, const void* table)
    : document_(std::move(document)), table_(table) {}

Result<Settings> Settings::parse(std::string_view text, const std::string& name) {
  auto document = std::make_shared<Document>();
  document->name = name;
  try {
    document->root = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    document->complain(error.source().begin, std::string(error.description()));
    return fail(Code::invalid, document->problems.front());
  }
  const void* root = &document->root;
  return Settings(std::move(document), root);
}

// The key's node, marked as asked for; nullptr if it is not there.
const void* Settings::visit(std::string_view key) {
  const toml::node* node = as_table(table_).get(key);
  if (node != nullptr) document_->visited.insert(node);
  return node;
}

bool Settings::has(std::string_view key) const {
  return as_table(table_).contains(key);
}

void Settings::complain(std::string_view key, const std::string& text) {
  const toml::node* node = as_table(table_).get(key);
  document_->complain(node != nullptr ? node->source().begin : as_table(table_).source().begin,
                      text);
}

std::string Settings::string(std::string_view key, std::string fallback) {
  const void* node = visit(key);
  if (node == nullptr) return fallback;
  if (auto value = as_node(node).value_exact<std::string>()) return *value;
  complain(key, quoted(key) + " must be a string in quotes");
  return fallback;
}

std::string Settings::required_string(std::string_view key) {
  if (!has(key)) complain(key, quoted(key) + " is missing here");
  return string(key);
}

std::uint64_t Settings::integer(std::string_view key, std::uint64_t fallback, std::uint64_t least,
                                std::uint64_t most) {
  const void* node = visit(key);
  if (node == nullptr) return fallback;
  auto value = as_node(node).value_exact<std::int64_t>();
  if (value && *value >= 0 && static_cast<std::uint64_t>(*value) >= least &&
      static_cast<std::uint64_t>(*value) <= most) {
    return static_cast<std::uint64_t>(*value);
  }
  complain(key, quoted(key) + " must be a whole number from " + std::to_string(least) + " to " +
                    std::to_string(most));
  return fallback;
}

bool Settings::boolean(std::string_view key, bool fallback) {
  const void* node = visit(key);
  if (node == nullptr) return fallback;
  if (auto value = as_node(node).value_exact<bool>()) return *value;
  complain(key, quoted(key) + " must be true or false");
  return fallback;
}

std::uint64_t Settings::duration_ns(std::string_view key, std::uint64_t fallback_ns) {
  if (!has(key)) return fallback_ns;
  std::uint64_t span = parse_duration_ns(string(key));
  if (span == 0)
    complain(key, quoted(key) + " must be a duration such as \"90s\", \"10m\" or \"1h30m\"");
  return span;
}

std::vector<std::string> Settings::strings(std::string_view key) {
  const void* node = visit(key);
  if (node == nullptr) return {};
  if (auto one = as_node(node).value_exact<std::string>()) return {*one};
  std::vector<std::string> all;
  if (const auto* array = as_node(node).as_array()) {
    for (auto&& element : *array) {
      auto value = element.value_exact<std::string>();
      if (!value) {
        document_->complain(element.source().begin, quoted(key) + " holds strings only");
      } else {
        all.push_back(*value);
      }
    }
    return all;
  }
  complain(key, quoted(key) + " must be a string or a list of strings");
  return all;
}

std::optional<Settings> Settings::table(std::string_view key) {
  const void* node = visit(key);
  if (node == nullptr) return {};
  if (const auto* table = as_node(node).as_table()) return Settings(document_, table);
  complain(key, quoted(key) + " must be a table: write [" + std::string(key) + "]");
  return {};
}

std::vector<Settings> Settings::tables(std::string_view key) {
  const void* node = visit(key);
  std::vector<Settings> all;
  if (node == nullptr) return all;
  const auto* array = as_node(node).as_array();
  if (array == nullptr || !array->is_array_of_tables()) {
    complain(key, quoted(key) + " must be a list of tables: write [[" + std::string(key) + "]]");
    return all;
  }
  for (auto&& element : *array) all.push_back(Settings(document_, element.as_table()));
  return all;
}

Result<void> Settings::finish() {
  document_->find_unvisited(document_->root);
  if (document_->problems.empty()) return {};
  std::string all;
  for (const auto& problem : document_->problems) all += (all.empty() ? "" : "\n") + problem;
  return fail(Code::invalid, all);
}

}  // namespace fieldline
