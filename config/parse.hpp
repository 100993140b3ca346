// Role: cluster.toml → Config, or every mistake in it at once. `drover check`, `drover run` and each proxy use this one door.
// Thread: any, at start-up. Ownership: returns values; toml++ stays inside the room.
#pragma once

#include "base/result.hpp"
#include "config/model.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

/// One mistake. Lines and columns count from 1; 0: the file as a whole.
struct Mistake {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string what;  ///< names the key or value and the reason
  std::string hint;  ///< the fix: "did you mean …", the values allowed; may be empty
};

struct Mistakes {
  std::string file;
  std::string text;  ///< to show the lines
  std::vector<Mistake> list;
};

/// Parses and validates. Reads nothing but `text`; asks the system only for the number of CPUs.
base::Result<Config, Mistakes> parse(std::string_view text, std::string file);
/// The same with a given number of CPUs, for tests.
base::Result<Config, Mistakes> parse(std::string_view text, std::string file, unsigned cpus);

/// Reads the file, then parse(). A file that can't be read: a Mistake at line 0.
base::Result<Config, Mistakes> load(const std::string& file);

/// What needs the machine and is asked only by `check` and `run`: each command[0] is found and executable, each user exists, each dir is a
/// folder, each ${ENV_NAME} is set, each file that drover reads or writes can be read or written, and secrets are their owner's alone. Same form of
/// mistakes, with the places of the keys.
std::vector<Mistake> check_machine(const Config& config);

/// What the machine says that matters to a warning; given, so that warnings can be tested.
struct Machine {
  PortRange ephemeral{32768, 60999};  ///< ports that the kernel hands out by itself
  bool root = false;
  std::uint64_t files = UINT64_MAX;  ///< that a process of drover may open: the hard limit
};
Machine this_machine();
/// Not fatal, asked by `check` and `run` together with check_machine: same form as Config::warnings.
std::vector<std::string> warnings_for_machine(const Config& config, const Machine& machine);

/// "file:line:column: error: what", the line, a caret, the hint; one block per mistake, then a count.
std::string render(const Mistakes& mistakes);

}  // namespace drover::config
