#include "proxy/task.hpp"

#include <array>
#include <new>
#include <vector>

namespace drover::proxy {

namespace {

constexpr std::size_t kStep = 256;
constexpr std::size_t kClasses = 72;  // frames up to 18 KiB are kept: one with two heads in it
constexpr std::size_t kKeptPerClass = 128;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCache = false;  // so that a use after the end of a frame is seen
#else
constexpr bool kCache = true;
#endif

struct FrameCache {
  std::array<std::vector<void*>, kClasses> classes;
  ~FrameCache() {
    for (auto& kept : classes) {
      for (void* frame : kept) ::operator delete(frame);
    }
  }
};

FrameCache& cache() {
  thread_local FrameCache instance;
  return instance;
}

constexpr std::size_t class_of(std::size_t size) { return (size + kStep - 1) / kStep - 1; }

}  // namespace

void* allocate_frame(std::size_t size) {
  const std::size_t index = class_of(size);
  if (!kCache || index >= kClasses) return ::operator new(size);
  auto& kept = cache().classes[index];
  if (kept.empty()) return ::operator new((index + 1) * kStep);
  void* frame = kept.back();
  kept.pop_back();
  return frame;
}

void free_frame(void* frame, std::size_t size) noexcept {
  const std::size_t index = class_of(size);
  if (!kCache || index >= kClasses || cache().classes[index].size() >= kKeptPerClass) {
    ::operator delete(frame);
    return;
  }
  cache().classes[index].push_back(frame);
}

}  // namespace drover::proxy
