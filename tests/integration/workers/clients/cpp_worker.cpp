// A worker that does as it is told over HTTP, with the C++ client library; the orders: worker.py beside it.
#include "drover_channel.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <sys/wait.h>

#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;

namespace {

class Worker {
 public:
  Worker() {
    channel_.on("*", [this](const json::object& message) { return received(message); });
    channel_.on("echo", [](const json::object& message) -> json::value { return {{"data", message.at("data")}, {"by", "cpp"}}; });
    channel_.on("fail", [](const json::object&) -> json::value { throw std::runtime_error("not today"); });
    channel_.on("slow", [](const json::object& message) -> json::value {
      std::this_thread::sleep_for(std::chrono::milliseconds(message.at("data").to_number<int>()));
      return "at last";
    });
    channel_.on("ask-back", [this](const json::object& message) -> json::value {
      const drover::Answer answer = channel_.request("echo", "from a handler", message.at("worker"));
      return {{"ok", answer.ok}, {"data", answer.data}};
    });
    channel_.on("disconnect", [](const json::object&) -> json::value { return nullptr; });
  }

  json::value execute(const json::object& order) {
    const std::string op(order.at("op").as_string());
    const auto given = [&](const char* name) -> json::value { return order.contains(name) ? order.at(name) : nullptr; };
    const auto text = [&](const char* name) { return order.contains(name) ? std::string(order.at(name).as_string()) : std::string(); };
    if (op == "send") return channel_.send(text("type"), given("data"), given("to"));
    if (op == "broadcast") return channel_.broadcast(text("type"), given("data"));
    if (op == "request") {
      const int timeout = order.contains("timeout") ? order.at("timeout").to_number<int>() : 5000;
      const drover::Answer answer = channel_.request(text("type"), given("data"), given("to"), std::chrono::milliseconds(timeout));
      return {{"ok", answer.ok}, {"data", answer.data}, {"error", answer.ok ? json::value(nullptr) : json::value(answer.error)}};
    }
    if (op == "received") return list(received_);
    if (op == "changes") return list(changes_);
    if (op == "late") return channel_.late();
    if (op == "report") return channel_.report({{"memory", given("memory")}, {"cpu", given("cpu")}});
    if (op == "metrics") return channel_.metrics(order.at("data").as_object());
    if (op == "subscribe") return subscribe(text("key"));
    if (op == "fork") return fork_and_send();
    return state(op, text("key"), given);
  }

 private:
  template <typename Given>
  json::value state(const std::string& op, const std::string& key, const Given& given) {
    const auto optional = [&](const char* name) { return given(name).is_null() ? std::nullopt : std::optional<json::value>(given(name)); };
    if (op == "get") return channel_.get(key, given("value"));
    if (op == "set") return channel_.set(key, given("value"));
    if (op == "delete") return channel_.remove(key);
    if (op == "all") return channel_.all(key).value_or(json::object());
    if (op == "cas") return channel_.compare_and_set(key, optional("expected"), optional("value")).value_or(false);
    if (op == "incr") {
      json::value last;
      for (int i = 0; i < given("times").template to_number<int>(); ++i) last = channel_.incr(key).value_or(nullptr);
      return last;
    }
    throw std::runtime_error("unknown operation " + op);
  }

  json::value subscribe(const std::string& prefix) {
    return channel_.subscribe(
        [this](std::string_view key, const json::value* value, const json::value* old) {
          const std::lock_guard lock(mutex_);
          changes_.push_back(
              {json::value(json::string(key.data(), key.size())), value == nullptr ? json::value() : *value, old == nullptr ? json::value() : *old});
        },
        prefix);
  }

  /// What a child made by fork() could send: it must be nothing.
  json::value fork_and_send() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(channel_.send("from-a-fork", nullptr) ? 1 : 0);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status) == 0;
  }

  json::value received(const json::object& message) {
    const std::lock_guard lock(mutex_);
    received_.push_back(message);
    return nullptr;
  }

  json::value list(const json::array& from) {
    const std::lock_guard lock(mutex_);
    return from;
  }

  std::mutex mutex_;
  json::array received_;
  json::array changes_;
  drover::Channel channel_;  ///< last: its threads use what stands above
};

void serve(Worker& worker, asio::ip::tcp::socket socket) {
  boost::beast::flat_buffer buffer;
  boost::system::error_code error;
  while (!error) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{4} << 20);
    http::read(socket, buffer, parser, error);
    if (error) return;
    const auto& request = parser.get();
    http::response<http::string_body> response(http::status::ok, request.version());
    try {
      response.body() = request.body().empty() ? "\"fine\"" : json::serialize(worker.execute(json::parse(request.body()).as_object()));
    } catch (const std::exception& fault) {
      response.result(http::status::internal_server_error);
      response.body() = fault.what();
    }
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    http::write(socket, response, error);
    if (!response.keep_alive()) return;
  }
}

}  // namespace

int main() {
  Worker worker;
  asio::io_context io;
  const char* port = std::getenv("PORT");
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(std::atoi(port == nullptr ? "8080" : port))});
  while (true) std::thread(serve, std::ref(worker), acceptor.accept()).detach();
}
