// Role: docs/cluster.toml.md, made from the key table: what `drover check --keys` prints.
// Thread: any; pure. Ownership: a value.
#pragma once

#include <string>
#include <string_view>

namespace drover::config {

/// The whole page as Markdown.
std::string reference();

/// The example that opens the page: a file that works as it stands.
std::string_view reference_example();

}  // namespace drover::config
