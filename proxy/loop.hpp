// Role: one proxy thread's event loop: epoll(7), edge-triggered, with the readiness of each socket remembered, so that no
//       read or write is tried in vain and no descriptor is armed twice. Why not Asio's: docs/adr/0002.
// Thread: its own; post() alone may be called from others. Ownership: owns the epoll descriptor; Fibers and Watches belong to their coroutines.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"
#include "proxy/timer_wheel.hpp"

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace drover::proxy {

/// A coroutine's place to wait: one wake-up for whatever it waits for (its sockets, its deadline, another coroutine).
/// Wake-ups may be spurious: a fiber looks at its conditions again. Stays at its address while registered.
struct Fiber : TimerEntry {
  std::coroutine_handle<> waiting;
  bool woken = false;      ///< a wake-up came while it was running
  bool scheduled = false;  ///< stands in the list of those to be resumed
  bool timed_out = false;  ///< its deadline passed; cleared by whoever reads it
};

inline constexpr unsigned kWantRead = 1;
inline constexpr unsigned kWantWrite = 2;
inline constexpr unsigned kWantHangup = 4;  ///< only the peer's end of sending

/// One socket as the loop sees it.
struct Watch {
  int fd = -1;
  Fiber* fiber = nullptr;  ///< whom to wake; none: flags only
  unsigned want = 0;
  bool readable = true;  ///< a read may succeed: nothing has said otherwise
  bool writable = true;
  bool hangup = false;  ///< the peer has ended its sending: reads go on to the end of stream
  bool broken = false;  ///< reset or error: nothing will ever be sent
  bool registered = false;
};

class Loop {
 public:
  static base::Result<std::unique_ptr<Loop>> create();
  Loop(const Loop&) = delete;
  ~Loop();

  // Waiting.
  /// Before the fiber ends.
  void remove(Fiber& fiber);
  void set_deadline(Fiber& fiber, base::TimePoint deadline) {
    fiber.deadline = deadline;
    deadlines_.set(fiber);
  }
  /// co_await loop.wait(fiber): until wake(fiber).
  auto wait(Fiber& fiber) {
    struct Awaiter {
      Fiber& fiber;
      bool await_ready() const noexcept { return std::exchange(fiber.woken, false); }
      void await_suspend(std::coroutine_handle<> self) const noexcept { fiber.waiting = self; }
      void await_resume() const noexcept { fiber.woken = false; }
    };
    return Awaiter{fiber};
  }
  void wake(Fiber& fiber);
  /// Lets others run: the fiber goes to the end of the line.
  auto yield(Fiber& fiber) {
    wake_later(fiber);
    return wait_suspended(fiber);
  }

  // Sockets.
  /// Before a wait: what to be woken for. The descriptor is registered (edge-triggered, both directions) at its first want: one that
  /// never waits, as a client's with a single request often does, costs no epoll_ctl. epoll reports at once what is already true.
  void want(Watch& watch, unsigned bits) {
    watch.want |= bits;
    if (!watch.registered) enlist(watch);
  }
  /// Before the descriptor is handed away.
  void unwatch(Watch& watch);

  /// A descriptor that calls back at each event, level-triggered (listeners, eventfd).
  struct Callback {
    int fd = -1;
    std::function<void()> on_readable;
    bool armed = false;
  };
  void arm(Callback& callback, bool exclusive);
  void disarm(Callback& callback);

  /// From any thread: run `work` on this loop soon.
  void post(std::function<void()> work);

  void run(const std::function<void(base::Clock::duration)>& after_turn);
  void stop() { stopping_ = true; }

  base::TimePoint now() const { return now_; }
  /// `tick` is called about each `period` from run().
  void every(base::Millis period, std::function<void()> tick);

 private:
  Loop(base::UniqueFd epoll, base::UniqueFd wakeup);
  struct Suspended {
    Fiber& fiber;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) const noexcept { fiber.waiting = self; }
    void await_resume() const noexcept { fiber.woken = false; }
  };
  Suspended wait_suspended(Fiber& fiber) { return Suspended{fiber}; }
  void wake_later(Fiber& fiber);
  void enlist(Watch& watch);
  void take_events(int count);
  void resume_ready();
  void wake_overdue();
  void run_posted();
  int timeout_ms() const;

  base::UniqueFd epoll_;
  base::UniqueFd wakeup_;
  Callback wakeup_callback_;
  std::vector<Fiber*> ready_;
  std::vector<Fiber*> resuming_;
  std::vector<Callback*> callbacks_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::function<void()> tick_;
  base::Millis tick_period_{250};
  base::TimePoint next_tick_{};
  base::TimePoint now_ = base::Clock::now();
  TimerWheel deadlines_{now_};
  bool stopping_ = false;
};

}  // namespace drover::proxy
