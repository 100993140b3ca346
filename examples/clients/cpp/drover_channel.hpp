// The channel between a C++ program and drover, in one header; C++17, POSIX, Boost.JSON (link boost_json, or include <boost/json/src.hpp> once).
//
//   drover::Channel channel;                          // of this process; make it early, and one. Without drover it does nothing
//
//   channel.ready();                                  // for pools with ready.notify
//   channel.report({{"memory", bytes}, {"cpu", percent_of_one_core}});
//   channel.metrics({{"orders", 17}});                // drover_worker_reported{pool,worker,name="orders"}
//
//   channel.send("news", {{"text", "hi"}}, 3);        // to worker 3 of this pool; "shop.3", "shop" (all of it)
//   channel.broadcast("news", {{"text", "hi"}});      // to all of this pool, this one too
//   channel.on("price", [&](const boost::json::object& message) -> boost::json::value { return price_of(message.at("data")); });
//   drover::Answer answer = channel.request("price", {{"item", "tea"}}, "shop.2", std::chrono::seconds(2));
//   if (answer.ok) use(answer.data); else log(answer.error);
//
//   channel.set("rate", 1.25, std::chrono::minutes(1));
//   channel.get("rate", 1.0);                         // the second one: if there is none, or no answer
//   channel.incr("visits");                           // the sum, exact over all workers of the pool
//   channel.subscribe([](std::string_view key, const boost::json::value* value, const boost::json::value* old) { … }, "cart:");
//
// Nothing here throws because drover is not there, goes away or does not answer: what can't be sent is false, a request gives an Answer that
// says why, state calls give their default, false or nothing.
//
// Threads. Any thread may call anything. Two threads of the channel's own, not a poll() that the server would have to call: servers written
// for threads have no loop to put it in, and a request() can wait wherever it is made. One thread reads and writes, so that no call waits for
// drover but those that want an answer; a second runs the handlers, one after another, so that a handler, too, may ask and wait. What a
// handler throws answers the request. The destructor ends both threads, waiting for a handler that runs: destroy what handlers use after it.
//
// Processes. The descriptor is closed on exec and DROVER_CHANNEL_FD is taken out of the environment (so: before threads that read it), so that
// programs that are started know nothing of it. In a child made by fork() a Channel does nothing: the channel is one stream, and two
// readers would tear its lines apart. A server that forks its own workers makes it in one of these processes only.
#pragma once

#include <boost/json.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace drover {

struct Answer {
  bool ok = false;
  boost::json::value data;
  std::string error;  ///< in words, or as the other worker sent it
};

class Channel {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{1} << 20;    ///< bytes; drover throws longer ones away
  static constexpr std::size_t kMaxRead = std::size_t{2} << 20;    ///< what drover passes on is a little longer than what was sent
  static constexpr std::size_t kMaxOutbox = std::size_t{4} << 20;  ///< bytes that wait while drover does not read; more is not taken
  static constexpr std::size_t kMaxWaiting = 1000;                 ///< requests without an answer, and messages that wait for a handler

  using Value = boost::json::value;
  using Object = boost::json::object;
  using Millis = std::chrono::milliseconds;
  /// A worker: 3, "shop.3"; "shop": all of that pool. null: nobody in particular, an event for whoever follows `drover events`.
  using Target = boost::json::value;
  using Handler = std::function<Value(const Object& message)>;
  /// nullptr: there is, or was, no value.
  using Subscriber = std::function<void(std::string_view key, const Value* value, const Value* old)>;

  Channel() {
    adopt();
    if (socket_ < 0) return;
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    io_ = std::thread([this] { run(); });
    server_ = std::thread([this] { serve(); });
  }

  ~Channel() {
    if (pid_ != ::getpid()) {  // a fork's copy: the threads are the parent's, and its waiting thread's task_ can't be destroyed here
      if (io_.joinable()) io_.detach();
      if (server_.joinable()) server_.detach();
      return;
    }
    close();
    if (io_.joinable()) io_.join();
    if (server_.joinable()) server_.join();
    delete task_;
    if (socket_ >= 0) ::close(socket_);
    if (wake_ >= 0) ::close(wake_);
  }

  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  bool connected() const {
    if (pid_ != ::getpid()) return false;  // first: the lock may be held by a thread that does not exist here
    const std::lock_guard lock(mutex_);
    return open_;
  }
  const std::string& worker() const { return worker_; }  ///< "shop.3"
  std::uint64_t late() const {                           ///< answers that came after their time
    const std::lock_guard lock(mutex_);
    return late_;
  }

  bool send(std::string_view type, Value data, Target to = nullptr) { return write(message(type, std::move(data), std::move(to))); }

  bool broadcast(std::string_view type, Value data) {
    Object it = message(type, std::move(data), nullptr);
    it["broadcast"] = true;
    return write(it);
  }

  Answer request(std::string_view type, Value data, Target to, Millis timeout = Millis(5000)) {
    Object it = message(type, std::move(data), std::move(to));
    it["timeout"] = timeout.count();
    return ask(std::move(it), timeout);
  }

  /// For messages of that type; "*": of all others; "disconnect": drover has gone; "state:sync": a key of the shared state was changed by
  /// another worker. What it returns answers a request; what it throws, too.
  void on(std::string type, Handler handler) {
    const std::lock_guard lock(mutex_);
    handlers_[std::move(type)] = std::make_shared<Handler>(std::move(handler));
  }

  /// memory in bytes, cpu in percent of one core, anything else. Whoever has begun to report should go on: silence counts as illness.
  bool report(Object figures) { return write({{"type", "health"}, {"data", std::move(figures)}}); }
  bool metrics(Object figures) { return write({{"type", "metrics"}, {"data", std::move(figures)}}); }
  bool ready() { return write({{"type", "ready"}}); }
  bool error(std::string_view text) { return write({{"type", "error"}, {"error", text}}); }  ///< counted as an error of this worker

  // Shared state: keys and JSON values of all workers of the pool; drover holds them, also while workers die and are replaced.

  Value get(std::string_view key, Value otherwise = nullptr) {
    const Answer answer = state("get", {{"key", key}});
    const Value* value = answer.ok ? member(answer.data, "value") : nullptr;
    return value == nullptr || value->is_null() ? otherwise : *value;
  }

  bool set(std::string_view key, Value value, std::optional<Millis> expires = {}) {
    return state("set", {{"key", key}, {"value", std::move(value)}}, expires).ok;
  }

  bool remove(std::string_view key) { return state("delete", {{"key", key}}).ok; }

  /// Asked for in as many pieces as it takes; nothing if a piece could not be had.
  std::optional<Object> all(std::string_view prefix = "") {
    Object found;
    std::string after;
    while (true) {
      const Answer answer = state("all", {{"prefix", prefix}, {"after", after}});
      const Value* values = answer.ok ? member(answer.data, "values") : nullptr;
      if (values == nullptr || !values->is_object()) return std::nullopt;
      for (const auto& [key, value] : values->get_object()) found[key] = value;
      const Value* more = member(answer.data, "more");
      const Value* last = member(answer.data, "after");
      if (more == nullptr || *more != true || last == nullptr || !last->is_string()) return found;
      after = last->get_string().c_str();
    }
  }

  /// The sum; nothing if it could not be had: then it may or may not have been added.
  std::optional<Value> incr(std::string_view key, Value by = 1, std::optional<Millis> expires = {}) {
    const Answer answer = state("incr", {{"key", key}, {"by", std::move(by)}}, expires);
    const Value* value = answer.ok ? member(answer.data, "value") : nullptr;
    return value == nullptr ? std::nullopt : std::optional(*value);
  }

  /// Sets `value` (none: removes it) if the present one equals `expected` (none: there is none). Nothing if nobody answered.
  std::optional<bool> compare_and_set(std::string_view key, const std::optional<Value>& expected, const std::optional<Value>& value,
                                      std::optional<Millis> expires = {}) {
    Object members{{"key", key}};
    if (expected) members["expected"] = *expected;
    if (value) members["value"] = *value;
    const Answer answer = state("cas", std::move(members), expires);
    const Value* success = answer.ok ? member(answer.data, "success") : nullptr;
    return success == nullptr ? std::nullopt : std::optional(*success == true);
  }

  /// Hears of each change, by anybody, of a key that begins with `prefix`.
  bool subscribe(Subscriber subscriber, std::string prefix = "") {
    std::string common = prefix;
    {
      const std::lock_guard lock(mutex_);
      subscribers_.emplace_back(std::move(prefix), std::make_shared<Subscriber>(std::move(subscriber)));
      for (const auto& [other, unused] : subscribers_)  // drover keeps one prefix for each worker: what all have in common
        while (other.compare(0, common.size(), common) != 0) common.pop_back();
    }
    return state("subscribe", {{"prefix", common}}).ok;
  }

  /// Says good-bye; drover sees the end of the channel, and nothing else happens to this worker.
  void close() {
    if (socket_ >= 0 && pid_ == ::getpid()) ::shutdown(socket_, SHUT_RDWR);
  }

 private:
  struct Waiter {
    std::condition_variable done;
    std::optional<Answer> answer;
  };

  /// The inherited descriptor, if it is one of ours: the number may be left over from a process long ago.
  void adopt() {
    const char* number = std::getenv("DROVER_CHANNEL_FD");
    if (number == nullptr) return;
    const int fd = std::atoi(number);
    ::unsetenv("DROVER_CHANNEL_FD");
    int type = 0;
    socklen_t size = sizeof type;
    sockaddr_un address{};
    socklen_t length = sizeof address;
    if (fd <= 2 || ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sun_family != AF_UNIX) return;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    const char* pool = std::getenv("DROVER_POOL");
    const char* slot = std::getenv("DROVER_WORKER");
    worker_ = std::string(pool == nullptr ? "" : pool) + "." + (slot == nullptr ? "" : slot);
    socket_ = fd;
    open_ = true;
  }

  static Object message(std::string_view type, Value data, Target to) {
    Object it{{"type", type}, {"data", std::move(data)}};
    if (!to.is_null()) it["target"] = std::move(to);
    return it;
  }

  static const Value* member(const Value& value, std::string_view name) {
    const Object* object = value.if_object();
    return object == nullptr ? nullptr : object->if_contains(name);
  }

  // Out: one line, whole or not at all. Never waits: what the socket does not take goes out when it does.

  bool write(const Object& message) {
    if (!connected()) return false;
    std::string line = boost::json::serialize(message);
    if (line.size() > kMaxLine) return false;
    line += '\n';
    const std::lock_guard lock(mutex_);
    if (!open_ || (!outbox_.empty() && outbox_bytes_ + line.size() > kMaxOutbox)) return false;
    const bool idle = outbox_.empty();
    outbox_bytes_ += line.size();
    outbox_.push_back(std::move(line));
    if (idle && flush()) wake();
    return true;
  }

  /// With the lock held. True: something is left.
  bool flush() {
    while (!outbox_.empty()) {
      const std::string& line = outbox_.front();
      // The flag, not O_NONBLOCK: that would be shared with every process that has the descriptor.
      const ssize_t sent = ::send(socket_, line.data() + written_, line.size() - written_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return true;
      if (sent < 0) {  // drover is gone; the reading thread finds out and tidies up
        outbox_.clear();
        outbox_bytes_ = written_ = 0;
        return false;
      }
      written_ += static_cast<std::size_t>(sent);
      outbox_bytes_ -= static_cast<std::size_t>(sent);
      if (written_ < line.size()) continue;
      outbox_.pop_front();
      written_ = 0;
    }
    return false;
  }

  Answer ask(Object message, Millis timeout = Millis(5000)) {
    Waiter waiter;
    std::uint64_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() >= kMaxWaiting) return {false, nullptr, std::to_string(kMaxWaiting) + " requests wait already"};
      number = ++last_;
      waiting_[number] = &waiter;
    }
    message["id"] = number;
    const bool sent = write(message);
    std::unique_lock lock(mutex_);
    if (sent) waiter.done.wait_for(lock, timeout, [&] { return waiter.answer.has_value(); });
    waiting_.erase(number);
    if (waiter.answer) return std::move(*waiter.answer);
    if (!sent) return {false, nullptr, "not sent: drover is not there, or does not read, or it is too long"};
    return {false, nullptr, "no answer within " + std::to_string(timeout.count()) + " ms"};
  }

  Answer state(const char* what, Object members, std::optional<Millis> expires = {}) {
    if (expires) members["expires"] = expires->count();
    return ask({{"type", std::string("state:") + what}, {"data", std::move(members)}});
  }

  // The thread that reads and writes.

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);  // fails only when it is to wake anyhow
  }

  void run() {
    std::vector<char> buffer(256 * 1024);
    while (true) {
      bool left = false;
      {
        const std::lock_guard lock(mutex_);
        left = !outbox_.empty();
      }
      pollfd both[2] = {{socket_, static_cast<short>(left ? POLLIN | POLLOUT : POLLIN), 0}, {wake_, POLLIN, 0}};
      if (::poll(both, 2, -1) < 0) continue;  // a signal
      std::uint64_t times = 0;
      if (both[1].revents != 0 && ::read(wake_, &times, sizeof times) < 0) continue;
      if ((both[0].revents & ~POLLOUT) != 0) {
        const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) break;
        if (count > 0) cut({buffer.data(), static_cast<std::size_t>(count)});
      }
      const std::lock_guard lock(mutex_);
      flush();
    }
    end();
  }

  /// Lines come in pieces, and many at once.
  void cut(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t at = bytes.find('\n');
      if (!skipping_) line_.append(bytes.substr(0, at));
      if (line_.size() > kMaxRead) {  // thrown away up to its end
        skipping_ = true;
        line_.clear();
      }
      if (at == std::string_view::npos) return;
      if (!skipping_) heard(line_);
      skipping_ = false;
      line_.clear();
      bytes.remove_prefix(at + 1);
    }
  }

  void heard(std::string_view line) {
    boost::json::error_code error;
    Value value = boost::json::parse(line, error);
    if (error || !value.is_object()) return;
    Object& message = value.get_object();
    const Value* type = message.if_contains("type");
    const Value* command = message.if_contains("cmd");
    if (command != nullptr && command->is_string() && command->get_string().starts_with("NODE_")) return;
    const std::unique_lock lock(mutex_);
    if (type != nullptr && *type == "response") {
      answered(message);
    } else if (tasks_.size() < kMaxWaiting) {
      tasks_.push_back(std::move(message));
      task_->notify_one();
    }  // else: the handlers are too slow, the message is lost
  }

  /// With the lock held.
  void answered(Object& message) {
    const Value* id = message.if_contains("originalId");
    boost::json::error_code no_number;
    const auto number = id == nullptr ? 0 : id->to_number<std::uint64_t>(no_number);
    const auto found = no_number ? waiting_.end() : waiting_.find(number);
    if (found == waiting_.end() || found->second->answer) {
      ++late_;
      return;
    }
    const Value* error = message.if_contains("error");
    const Value* data = message.if_contains("data");
    Answer answer;
    answer.ok = error == nullptr || error->is_null();
    if (answer.ok && data != nullptr) answer.data = *data;
    if (!answer.ok) {
      const Value* words = member(*error, "message");
      if (words == nullptr) words = error;
      answer.error = words->is_string() ? std::string(words->get_string()) : boost::json::serialize(*words);
    }
    found->second->answer = std::move(answer);
    found->second->done.notify_one();
  }

  /// Drover has closed the channel, or close() was called.
  void end() {
    const std::lock_guard lock(mutex_);
    open_ = false;
    outbox_.clear();
    for (auto& [number, waiter] : waiting_) {
      if (!waiter->answer) waiter->answer = Answer{false, nullptr, "drover has gone"};
      waiter->done.notify_one();
    }
    tasks_.push_back({{"type", "disconnect"}});
    task_->notify_one();
  }

  // The thread of the handlers.

  void serve() {
    while (true) {
      Object message;
      {
        std::unique_lock lock(mutex_);
        task_->wait(lock, [this] { return !tasks_.empty(); });
        message = std::move(tasks_.front());
        tasks_.pop_front();
      }
      const Value* type = message.if_contains("type");
      const std::string name = type != nullptr && type->is_string() ? std::string(type->get_string()) : std::string();
      Object response = {{"type", "response"}, {"data", nullptr}, {"error", nullptr}};
      try {
        if (name == "state:change") {
          changed(message);
        } else if (const auto handler = handler_for(name)) {
          response["data"] = (*handler)(message);
        } else {
          response["error"] = {{"message", worker_ + " has no handler for messages of type '" + name + "'"}};
        }
      } catch (const std::exception& error) {  // a handler's fault must not end the others
        response["error"] = {{"message", error.what()}};
      }
      if (name == "disconnect" && !connected()) return;
      if (const Value* id = message.if_contains("id")) {
        response["originalId"] = *id;
        write(response);
      }
    }
  }

  std::shared_ptr<Handler> handler_for(const std::string& type) const {
    const std::lock_guard lock(mutex_);
    auto found = handlers_.find(type);
    if (found == handlers_.end() && type != "state:sync") found = handlers_.find("*");
    return found == handlers_.end() ? nullptr : found->second;
  }

  void changed(const Object& message) {
    const Value* data = message.if_contains("data");
    const Value* key = data == nullptr ? nullptr : member(*data, "key");
    if (key == nullptr || !key->is_string()) return;
    const std::string_view name = key->get_string();
    std::vector<std::shared_ptr<Subscriber>> told;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [prefix, subscriber] : subscribers_)
        if (name.substr(0, prefix.size()) == prefix) told.push_back(subscriber);
    }
    for (const auto& subscriber : told) (*subscriber)(name, member(*data, "value"), member(*data, "oldValue"));
  }

  const pid_t pid_ = ::getpid();
  std::string worker_;
  int socket_ = -1;
  int wake_ = -1;

  mutable std::mutex mutex_;  ///< guards what follows, up to task_
  bool open_ = false;
  std::deque<std::string> outbox_;
  std::size_t outbox_bytes_ = 0;
  std::size_t written_ = 0;  ///< of the outbox's first line
  std::map<std::uint64_t, Waiter*> waiting_;
  std::uint64_t last_ = 0;
  std::uint64_t late_ = 0;
  std::map<std::string, std::shared_ptr<Handler>> handlers_;
  std::vector<std::pair<std::string, std::shared_ptr<Subscriber>>> subscribers_;
  std::deque<Object> tasks_;
  std::condition_variable* task_ = new std::condition_variable;

  std::string line_;       ///< the I/O thread's: what came of a line that has not ended
  bool skipping_ = false;  ///< it was too long

  std::thread io_;
  std::thread server_;
};

}  // namespace drover
