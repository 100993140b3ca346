// Role: reads the tables of a tree into structs by the key table, and notes each mistake and each place.
// Thread: any; one Reader per parse. Ownership: refers to the caller's lists.
#pragma once

#include "config/keys.hpp"
#include "config/parse.hpp"
#include "config/tree.hpp"
#include "config/values.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

class Reader {
 public:
  Reader(std::vector<Mistake>& mistakes, std::map<std::string, Place>& places, unsigned cpus) : mistakes_(mistakes), places_(places), cpus_(cpus) {}

  /// Reads `table` into `target` (the section's struct); keys that are not given get their defaults. `path`: "pool.shop".
  /// `shown`: "[pool.shop]".
  void read(const Node& table, const Section& section, void* target, const std::string& path, const std::string& shown);

  void mistake(Place place, std::string what, std::string hint);

 private:
  void read_entry(const Entry& entry, const Section& section, void* target, const std::string& path, const std::string& shown);
  void unknown(const Entry& entry, const Section& section, const std::string& shown);
  void assign(const Key& key, const Node& node, void* target, const std::string& path);
  /// none: a mistake was noted.
  std::optional<Value> value_of(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> text_value(const Key& key, const Node& node);
  std::optional<Value> choice_value(const Key& key, const Node& node);
  std::optional<Value> integer_value(const Key& key, const Node& node);
  std::optional<Value> fraction_value(const Key& key, const Node& node);
  std::optional<Value> workers_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> command_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> environment_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> statuses_value(const Key& key, const Node& node);
  std::optional<Value> tokens_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> fields_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> pages_value(const Key& key, const Node& node, const std::string& path);
  std::optional<Value> split_value(const Key& key, const Node& node, const std::string& path);
  bool is_table(const Key& key, const Node& node, std::size_t most);
  bool in_range(const Key& key, const Node& node, double amount);
  bool has_nul(const Key& key, const Node& node);
  void complain(const Key& key, const Node& node, const std::string& what, std::string hint);
  void wrong_kind(const Key& key, const Node& node, const std::string& wanted, std::string hint);

  std::vector<Mistake>& mistakes_;
  std::map<std::string, Place>& places_;
  unsigned cpus_;
};

}  // namespace drover::config
