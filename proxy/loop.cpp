#include "proxy/loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace drover::proxy {

namespace {

constexpr int kEventsPerTurn = 256;

// Callbacks and watches share epoll's one word: the lowest bit tells them apart.
constexpr std::uintptr_t kCallbackBit = 1;

thread_local std::array<epoll_event, kEventsPerTurn> events;

}  // namespace

base::Result<std::unique_ptr<Loop>> Loop::create() {
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return base::system_error("epoll_create1", errno);
  base::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return base::system_error("eventfd", errno);
  return std::unique_ptr<Loop>(new Loop(std::move(epoll), std::move(wakeup)));
}

Loop::Loop(base::UniqueFd epoll, base::UniqueFd wakeup) : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {
  wakeup_callback_.fd = wakeup_.get();
  wakeup_callback_.on_readable = [this] {
    std::uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wakeup_.get(), &drained, sizeof drained);
    run_posted();
  };
  arm(wakeup_callback_, false);
}

Loop::~Loop() = default;

void Loop::remove(Fiber& fiber) {
  deadlines_.take_out(fiber);
  if (fiber.scheduled) {
    std::replace(ready_.begin(), ready_.end(), &fiber, static_cast<Fiber*>(nullptr));
    std::replace(resuming_.begin(), resuming_.end(), &fiber, static_cast<Fiber*>(nullptr));
  }
}

void Loop::wake(Fiber& fiber) {
  fiber.woken = true;
  if (!fiber.waiting || fiber.scheduled) return;
  fiber.scheduled = true;
  ready_.push_back(&fiber);
}

void Loop::wake_later(Fiber& fiber) {
  fiber.woken = true;
  if (fiber.scheduled) return;
  fiber.scheduled = true;
  ready_.push_back(&fiber);
}

void Loop::enlist(Watch& watch) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watch;
  watch.registered = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watch.fd, &event) == 0;
}

void Loop::unwatch(Watch& watch) {
  if (watch.registered) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch.fd, nullptr);
  watch.registered = false;
}

void Loop::arm(Callback& callback, bool exclusive) {
  if (callback.armed) return;
  epoll_event event{};
  event.events = EPOLLIN | (exclusive ? static_cast<std::uint32_t>(EPOLLEXCLUSIVE) : 0U);
  event.data.u64 = reinterpret_cast<std::uintptr_t>(&callback) | kCallbackBit;
  callback.armed = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, callback.fd, &event) == 0;
}

void Loop::disarm(Callback& callback) {
  if (!callback.armed) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, callback.fd, nullptr);
  callback.armed = false;
  std::erase(callbacks_, &callback);
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wakeup_.get(), &one, sizeof one);
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& each : work) each();
}

void Loop::every(base::Millis period, std::function<void()> tick) {
  tick_period_ = period;
  tick_ = std::move(tick);
}

int Loop::timeout_ms() const {
  if (!ready_.empty()) return 0;
  const auto next = deadlines_.next();
  const auto until = tick_ ? std::min(next, next_tick_) : next;
  if (until <= now_) return 0;
  const auto ms = std::chrono::ceil<base::Millis>(until - now_).count();
  return static_cast<int>(std::min<std::int64_t>(ms, 1000));
}

/// First all flags are set, then fibers run: what one of them closes can't be met again in this batch.
void Loop::take_events(int count) {
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if ((event.data.u64 & kCallbackBit) != 0) {
      callbacks_.push_back(reinterpret_cast<Callback*>(event.data.u64 & ~static_cast<std::uint64_t>(kCallbackBit)));
      continue;
    }
    auto& watch = *static_cast<Watch*>(event.data.ptr);
    if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) watch.readable = true;
    if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) watch.writable = true;
    if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) watch.hangup = true;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) watch.broken = true;
    if (watch.fiber == nullptr) continue;
    const bool wanted = ((watch.want & kWantRead) != 0 && watch.readable) || ((watch.want & kWantWrite) != 0 && watch.writable) ||
                        ((watch.want & kWantHangup) != 0 && watch.hangup) || watch.broken;
    if (wanted) wake(*watch.fiber);
  }
}

void Loop::resume_ready() {
  resuming_.swap(ready_);
  for (std::size_t i = 0; i < resuming_.size(); ++i) {
    Fiber* fiber = resuming_[i];
    if (fiber == nullptr) continue;
    fiber->scheduled = false;
    std::exchange(fiber->waiting, {}).resume();
  }
  resuming_.clear();
}

void Loop::wake_overdue() {
  deadlines_.expire(now_, [this](TimerEntry& entry) {
    auto& fiber = static_cast<Fiber&>(entry);
    fiber.timed_out = true;
    wake(fiber);
  });
}

void Loop::run(const std::function<void(base::Clock::duration)>& after_turn) {
  while (!stopping_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms());
    now_ = base::Clock::now();
    take_events(std::max(count, 0));
    while (!callbacks_.empty()) {
      Callback* callback = callbacks_.back();
      callbacks_.pop_back();
      callback->on_readable();
    }
    wake_overdue();
    resume_ready();
    if (tick_ && now_ >= next_tick_) {
      next_tick_ = now_ + tick_period_;
      tick_();
    }
    after_turn(base::Clock::now() - now_);
  }
}

}  // namespace drover::proxy
