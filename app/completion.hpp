// Role: completion scripts for shells, made from the command line's own description, so that none of it is forgotten.
// Thread: the command's one; pure. Ownership: values.
#pragma once

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace drover::app {

/// What may follow on the command line.
enum class Follows {
  nothing,
  file,
  target,      ///< any number of them
  one_target,  ///< then what nobody can know
  shell,
  action,  ///< one of VerbShape::actions, then one target
};

struct OptionShape {
  std::vector<std::string> names;  ///< "--socket", "-f"
  bool value = false;              ///< takes one
  bool file = false;               ///< which is a path
  std::string help;
};

struct VerbShape {
  std::string name;
  std::string help;
  std::vector<OptionShape> options;
  Follows follows = Follows::nothing;
  std::vector<std::string> actions = {};
};

/// Every verb that is not hidden.
std::vector<VerbShape> shape_of(const CLI::App& app);

std::string bash_completion(const std::vector<VerbShape>& verbs);
std::string zsh_completion(const std::vector<VerbShape>& verbs);
std::string fish_completion(const std::vector<VerbShape>& verbs);

}  // namespace drover::app
