// The test program, or one of its children.
#include "supervisor_fakes.hpp"

#include <gtest/gtest.h>

#include <string_view>

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "proxy") return drover::backends::fakes::run_proxy();
  if (verb == "worker") return drover::backends::fakes::run_worker(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
