// Role: Task<T>: an eager coroutine. It runs at once until it must wait; awaiting one that has already finished costs nothing.
// Thread: one proxy thread; a Task never moves to another. Ownership: the Task owns its frame; frames come from a per-thread cache.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>

namespace drover::proxy {

/// Frames of coroutines, cached per thread by size class.
void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;

struct FramePromise {
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) { free_frame(frame, size); }
  std::suspend_never initial_suspend() noexcept { return {}; }
  /// Nothing on the relay's path throws but a failed allocation: then the proxy ends and is replaced.
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
class [[nodiscard]] Task {
 public:
  struct promise_type : FramePromise {
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
        return self.promise().continuation ? self.promise().continuation : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    Final final_suspend() noexcept { return {}; }
    void return_value(T result) { value = std::move(result); }

    std::coroutine_handle<> continuation;
    T value{};
  };

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return frame_.done(); }
  void await_suspend(std::coroutine_handle<> continuation) noexcept { frame_.promise().continuation = continuation; }
  T await_resume() { return std::move(frame_.promise().value); }

 private:
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

/// A coroutine that nobody awaits: its frame frees itself at its end.
struct Detached {
  struct promise_type : FramePromise {
    Detached get_return_object() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
  };
};

}  // namespace drover::proxy
