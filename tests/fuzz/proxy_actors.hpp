// Role: the clients and workers of proxy_fuzz, each over a socket of its own, and what they hold drover to: no byte of one exchange in
//       another, nothing forwarded that is in doubt, nothing more on a connection that is in doubt, nothing broken that looks whole.
// Thread: the test's own; no call waits. Ownership: own their sockets; borrow the story and the court, which outlive them.
#pragma once

#include "base/unique_fd.hpp"
#include "naive_http.hpp"
#include "proxy_story.hpp"

#include <netinet/in.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::fuzz {

/// What has come to light.
struct Court {
  explicit Court(const Story& told) : story(told) {}
  const Story& story;
  std::map<std::string, std::vector<Reply>, std::less<>> tries;  ///< by token: what workers answered, in order
  std::vector<std::string> blamed;
  void blame(std::string what) { blamed.push_back(std::move(what)); }
};

/// A socket that never waits.
class Wire {
 public:
  enum class End : std::uint8_t { open, ended, reset };
  explicit Wire(base::UniqueFd fd) : fd_(std::move(fd)) {}
  /// What has come, at most so much of it.
  std::string hear(std::size_t most);
  /// How much of it was taken.
  std::size_t say(std::string_view bytes);
  void end_sending();
  void close(bool reset);
  End heard_end() const { return end_; }
  bool closed() const { return !fd_; }
  int fd() const { return fd_.get(); }

 private:
  base::UniqueFd fd_;
  End end_ = End::open;
  bool broken_ = false;
};

/// One connection to a worker.
class WorkerSide {
 public:
  WorkerSide(base::UniqueFd fd, Court& court) : wire_(std::move(fd)), court_(court) {}
  void step(base::Rng& rng);
  bool over() const { return wire_.closed(); }
  /// Must drover still end it by itself?
  /// Also where the answer came before the request's end, unless that end still comes: drover may have sent it already.
  bool owed_an_end() const { return (doubtful_ || (answered_ && !body_done_)) && !over(); }
  const Wire& wire() const { return wire_; }
  std::string state() const;

 private:
  void listen(base::Rng& rng);
  void read_request();
  void read_body();
  void body_is(std::string_view payload, bool whole);
  void answer();
  void read_tunnel();

  Wire wire_;
  Court& court_;
  std::string in_;
  const Request* request_ = nullptr;
  std::optional<NaiveFraming> framing_;
  std::optional<Reply> reply_;
  std::size_t said_ = 0;
  bool body_done_ = false;
  bool answered_ = false;
  bool doubtful_ = false;
};

/// One client.
class ClientSide {
 public:
  ClientSide(base::UniqueFd fd, const ClientPlan& plan, Court& court) : wire_(std::move(fd)), plan_(plan), court_(court) {}
  void step(base::Rng& rng);
  bool over() const { return wire_.closed(); }
  const Wire& wire() const { return wire_; }
  std::string state() const;
  std::size_t served() const { return at_; }

 private:
  void speak(base::Rng& rng);
  void read_responses();
  bool read_head();
  bool read_body();
  void begin_response(NaiveHead head);
  void own_answer(unsigned status);
  void response_over();
  std::size_t said_by(std::size_t requests) const;
  void the_end();
  void leave(bool reset);
  const Request* now() const { return at_ < plan_.requests.size() ? &plan_.requests[at_] : nullptr; }
  void blame(const std::string& what) { court_.blame("client: " + what + ": " + state()); }

  Wire wire_;
  const ClientPlan& plan_;
  Court& court_;
  std::string in_;
  std::size_t said_ = 0;
  std::size_t heard_ = 0;
  bool left_ = false;  ///< of its own will: nothing is owed to it
  bool sent_end_ = false;
  std::size_t at_ = 0;  ///< the request whose answer is next
  std::optional<NaiveHead> head_;
  NaiveFraming framing_;
  const Reply* reply_ = nullptr;  ///< the worker's; null: drover's own answer
  bool last_ = false;             ///< drover has said that nothing follows
  bool tunnel_ = false;
};

}  // namespace drover::fuzz
