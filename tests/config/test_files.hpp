// Role: the files under tests/config, for the tests of the room.
// Thread: the test's. Ownership: values.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace drover::config {

inline std::string test_dir() { return CONFIG_TEST_DIR; }

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// Names without their ending, sorted.
inline std::vector<std::string> names_in_folder(const std::string& folder, const std::string& ending) {
  std::vector<std::string> names;
  for (const auto& each : std::filesystem::directory_iterator(test_dir() + "/" + folder)) {
    if (each.path().extension() == ending) names.push_back(each.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace drover::config
