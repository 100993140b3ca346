#include "backends/pss.hpp"

#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace drover::backends {

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr auto kPatience = 500ms;  // at the end, for a read that is under way: one that hangs in the kernel is left behind

struct Request {
  std::vector<pid_t> pids;
  std::function<void(std::optional<std::uint64_t>)> answer;
};

std::chrono::nanoseconds cpu_of_this_thread() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

struct Reading {
  bool allowed = true;
  bool there = false;  ///< the process lives and has memory of its own
  std::uint64_t bytes = 0;
};

/// The line "Pss:   1234 kB" of smaps_rollup.
Reading read_pss(pid_t pid) {
  const base::UniqueFd fd(::open(("/proc/" + std::to_string(pid) + "/smaps_rollup").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {errno == ENOENT && ::access(("/proc/" + std::to_string(pid)).c_str(), F_OK) != 0, false, 0};
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  do got = ::read(fd.get(), buffer.data(), buffer.size());
  while (got < 0 && errno == EINTR);
  if (got < 0) return {errno == ESRCH, false, 0};
  const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
  std::size_t at = text.find("\nPss:");
  if (at == std::string_view::npos) return {true, false, 0};
  at = text.find_first_not_of(' ', at + 5);
  if (at == std::string_view::npos) return {true, false, 0};
  std::uint64_t kib = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), kib);
  return {true, error == std::errc(), kib * 1024};
}

/// Processes that have ended meanwhile count for nothing; one that may not be read makes the sum unknown.
std::optional<std::uint64_t> sum_of(const std::vector<pid_t>& pids) {
  std::uint64_t sum = 0;
  bool any = false;
  for (const pid_t pid : pids) {
    const Reading one = read_pss(pid);
    if (!one.allowed) return std::nullopt;
    any = any || one.there;
    sum += one.bytes;
  }
  return any ? std::optional(sum) : std::nullopt;
}

}  // namespace

/// Shared by the loop's side and the thread, since either may be the last to go. Everything but `thread` is under the mutex.
struct PssReader::Impl {
  explicit Impl(asio::io_context& context) : io(context) {}

  asio::io_context& io;  // not touched by the thread once `ended`
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Request> urgent;
  std::deque<Request> others;
  bool ended = false;    // the reader is gone
  bool running = false;  // the thread is
  std::thread thread;

  static void run(const std::shared_ptr<Impl>& self) {
    base::TimePoint rest_until{};
    std::unique_lock lock(self->mutex);
    while (!self->ended) {
      const bool may_read = !self->urgent.empty() || (!self->others.empty() && base::Clock::now() >= rest_until);
      if (!may_read) {
        if (self->others.empty())
          self->changed.wait(lock);
        else
          self->changed.wait_until(lock, rest_until);
        continue;
      }
      std::deque<Request>& queue = self->urgent.empty() ? self->others : self->urgent;
      Request request = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      const auto before = cpu_of_this_thread();
      const auto sum = sum_of(request.pids);
      // Urgent reads are paid for afterwards, by those that can wait.
      const auto spent = std::chrono::duration<double>(cpu_of_this_thread() - before) / kShare;
      rest_until = std::max(rest_until, base::Clock::now()) + std::chrono::duration_cast<base::Clock::duration>(spent);
      lock.lock();
      if (!self->ended) post(self, std::move(request.answer), sum);
    }
    self->running = false;
    self->changed.notify_all();
  }

  static void post(const std::shared_ptr<Impl>& self, std::function<void(std::optional<std::uint64_t>)> answer, std::optional<std::uint64_t> sum) {
    asio::post(self->io, [life = std::weak_ptr(self), answer = std::move(answer), sum] {
      const auto still = life.lock();
      if (!still) return;
      {
        const std::scoped_lock lock(still->mutex);
        if (still->ended) return;
      }
      answer(sum);
    });
  }

  /// No signal of the process is ever delivered to the thread: they are the loop's.
  static void start(const std::shared_ptr<Impl>& self) {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    self->running = true;
    self->thread = std::thread([self] { run(self); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
};

PssReader::PssReader(asio::io_context& io) : impl_(std::make_shared<Impl>(io)) {}

PssReader::~PssReader() {
  std::unique_lock lock(impl_->mutex);
  impl_->ended = true;
  impl_->urgent.clear();
  impl_->others.clear();
  impl_->changed.notify_all();
  if (!impl_->thread.joinable()) return;
  const bool left = impl_->changed.wait_for(lock, kPatience, [this] { return !impl_->running; });
  lock.unlock();
  if (left)
    impl_->thread.join();
  else
    impl_->thread.detach();
}

bool PssReader::ask(std::vector<pid_t> pids, bool urgent, std::function<void(std::optional<std::uint64_t>)> answer) {
  const std::scoped_lock lock(impl_->mutex);
  if (impl_->urgent.size() + impl_->others.size() >= kMaxWaiting) return false;
  (urgent ? impl_->urgent : impl_->others).push_back({std::move(pids), std::move(answer)});
  if (!impl_->thread.joinable()) Impl::start(impl_);
  impl_->changed.notify_all();
  return true;
}

}  // namespace drover::backends
