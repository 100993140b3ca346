// Role: a configuration as it holds, written out as a cluster.toml: what `drover config --effective` shows.
// Thread: any; pure. Ownership: a value.
#pragma once

#include "config/model.hpp"

#include <string>
#include <string_view>

namespace drover::config {

enum class Secrets : bool { hidden, shown };

/// Every section and every key with its value, defaults and "auto" resolved, in the order of the key table; a key without a value is
/// named in a comment. It parses to an equal Config; with hidden secrets but for them: values of `env` that may be secret are
/// "(hidden)".
std::string effective(const Config& config, Secrets secrets = Secrets::hidden);

/// By its name (PASS, SECRET, TOKEN, KEY, CREDENTIAL in it, upper or lower case), or because it is a URL with a password.
bool may_be_secret(std::string_view name, std::string_view value);

}  // namespace drover::config
