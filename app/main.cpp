// drover's command line; everything is in command_line.cpp.
#include "app/command_line.hpp"

#include <fcntl.h>

#include <array>

namespace {

/// A standard descriptor that the caller has closed would go to the next socket or board, and what is printed would be written there.
void fill_standard_descriptors() {
  constexpr std::array kFlags{O_RDONLY, O_WRONLY, O_WRONLY};
  for (int fd = 0; fd < static_cast<int>(kFlags.size()); ++fd) {
    if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", kFlags[static_cast<std::size_t>(fd)]) != fd) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_descriptors();
  return drover::app::CommandLine().run(argc, argv);
}
