// Role: Node's internal protocol for one worker (node = "cluster" or "fork"), in the primary's part: pure, it writes lines and asks its hooks.
//       Nothing of it is documented by Node: unknown members and messages are passed over, every field may be missing.
//       What travels: Node's lib/internal/cluster/{child,primary,round_robin_handle,shared_handle}.js and lib/internal/child_process.js.
// Thread: supervisor's loop. Ownership: descriptors are handed on at once.
#pragma once

#include "base/unique_fd.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>

namespace drover::backends {

/// A worker's listen() (queryServer).
struct ListenQuery {
  enum class What : std::uint8_t { tcp, unix_path, udp };
  What what = What::tcp;
  std::string address;  ///< "" = all addresses; a Unix socket's path
  std::uint16_t port = 0;
  bool ipv6 = false;
  std::uint32_t flags = 0;    ///< of libuv; 1: IPv6 only (TCP)
  int backlog = 0;            ///< 0: not given
  int fd = -1;                ///< listen({fd})
  int index = 0;              ///< counts the servers of one worker on the same address
  bool readable_all = false;  ///< a Unix socket's mode
  bool writable_all = false;

  /// "address:port:type:fd:index": the same for the same server in each worker of a program.
  std::string key() const;
};

/// What it gets: a socket of drover's (listening, or a bound one for udp); or connections, one by one, with the port it is told; or an errno.
struct ListenAnswer {
  base::UniqueFd socket;
  bool connections = false;
  std::uint16_t port = 0;  ///< connections: what server.address() will say
  int error = 0;           ///< positive: EADDRINUSE …
};

/// `data` of the first worker that asked under a key: all get the same (https: keys of its session tickets). One per pool.
class NodeServerData {
 public:
  static constexpr std::size_t kMost = 256;            ///< keys
  static constexpr std::size_t kBytesMost = 4 * 1024;  ///< of one, as JSON text
  /// What a worker that asks under `key` with `own` is told: the first one's; its own when there is no room for more.
  boost::json::value shared(const std::string& key, const boost::json::value& own);

 private:
  std::map<std::string, boost::json::value> data_;
};

class NodeWorker {
 public:
  enum class Mode : std::uint8_t { fork, cluster };
  struct Hooks {
    std::function<void(std::string line)> send;
    std::function<void(std::string line, base::UniqueFd descriptor)> pass;
    std::function<void()> settled;  ///< NODE_HANDLE_ACK or NACK: the next descriptor may follow
    std::function<ListenAnswer(const ListenQuery&)> asked;
    std::function<void(const ListenQuery&, std::uint16_t port)> listening;
    std::function<void(const ListenQuery&)> closed;  ///< a server that it had asked for
    std::function<void()> leaving;                   ///< exitedAfterDisconnect: it goes of its own will; it is told that we know after this
    std::function<void()> passed;                    ///< process.send(message, handle): the handle was refused, the message with it
    std::function<void(std::uint64_t number, bool accepted)> connection;  ///< what became of one that was handed over
  };
  static constexpr std::size_t kMostServers = 64;  ///< a worker's; more are refused with EMFILE

  NodeWorker(Mode mode, NodeServerData& data, Hooks hooks);

  /// A message {"cmd": "NODE_…"}.
  void heard(const boost::json::object& message);
  /// cluster: it closes its servers, finishes what is in flight and disconnects. fork: nothing (the channel is finished instead).
  void disconnect();
  /// A connection for the server of that key; returns its number.
  std::uint64_t hand_over(const std::string& key, base::UniqueFd connection);
  Mode mode() const { return mode_; }
  /// Those that it asked for, got and has not closed, by key.
  const std::map<std::string, ListenQuery>& servers() const { return servers_; }

 private:
  /// A descriptor that was passed and of which NODE_HANDLE_ACK or NACK has not come.
  struct Passed {
    std::uint64_t connection = 0;  ///< its number; 0: the socket of a server
    std::string key;
    boost::json::value ack;  ///< the query's seq
  };

  void settled(bool arrived);
  void act(const boost::json::object& message);
  void answered(const boost::json::object& message);
  void query(const boost::json::object& message);
  void refuse(const std::string& key, const boost::json::value& ack, const boost::json::value& data, int error);
  void listening(const boost::json::object& message);
  void close(const boost::json::object& message);
  void exits(const boost::json::object& message);

  Mode mode_;
  NodeServerData& data_;
  Hooks hooks_;
  std::map<std::string, ListenQuery> servers_;  ///< by key
  std::deque<Passed> passed_;                   ///< oldest first; bounded by what is asked and handed over
  std::set<std::uint64_t> given_;               ///< connections of which `accepted` has not come
  std::uint64_t seq_ = 0;
  bool leaving_ = false;
};

}  // namespace drover::backends
