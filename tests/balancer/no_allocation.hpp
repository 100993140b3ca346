// Role: counts this thread's allocations, for the promise that a claim makes none.
// Thread: counts per thread. Ownership: none; no_allocation.cpp replaces operator new of the whole test program.
#pragma once

#include <cstdint>

namespace drover::test {

/// Allocations of the calling thread so far.
std::uint64_t allocations();

}  // namespace drover::test
