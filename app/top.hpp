// Role: `drover top`: the status, drawn anew every second in place, or one table after the other where that can't be.
// Thread: the command's one. Ownership: the terminal's mode is put back when the call ends, also by INT, TERM or HUP.
#pragma once

#include "app/verbs.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace drover::app {

struct TopAsked {
  std::chrono::milliseconds interval{1000};
  bool once = false;
};

int show_top(const Common& common, const TopAsked& asked);

/// `text` drawn over what is on a screen of that many rows: each line erases the rest of its row, and what is below goes.
std::string frame(std::string_view text, std::size_t rows);

}  // namespace drover::app
