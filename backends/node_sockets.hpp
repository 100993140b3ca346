// Role: the sockets that drover makes for Node programs: a private listening socket for a worker's main server (dispatch = "proxy"), and
//       shared ones for all further ports, as Node's own primary would make them.
// Thread: supervisor's loop. Ownership: shared sockets belong to the pool's one instance; private ones to the caller.
#pragma once

#include "backends/node_worker.hpp"
#include "backends/worker_launch.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/unique_fd.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace drover::backends {

struct PrivateSocket {
  base::UniqueFd socket;  ///< listens
  board::EndpointAddress address;
  std::string text;  ///< "127.77.4.21:3000", "unix:/path"
};

/// `own`: the endpoint that the worker was told (PORT, SOCKET): if it asks for that port, or for any (0), it gets it; of a Unix endpoint,
/// whatever path it asks for. Any other port: the same port on a loopback address of its own (Node insists on the port), drawn by lot from
/// 127.77.0.0/16 and tried again when it is taken.
/// `wildcards`: our own listeners. One on all addresses holds that port on each: both sockets have SO_REUSEPORT for as long as the bind takes
/// (the kernel takes it on a socket that listens, and off again after), so that nobody can put himself beside either of them later.
base::Result<PrivateSocket> private_socket(const ListenQuery& query, const WorkerEndpoint& own, const std::vector<int>& wildcards, base::Rng& rng);

/// Kept from the first worker that asks until all that asked have closed it; a worker's death closes nothing, so that what waits in a
/// queue is served by the next one.
class SharedSockets {
 public:
  static constexpr std::size_t kMost = 64;

  /// `rights`: drover's own are greater than the workers' (it is root, they run as another user): what needs them, paths and ports
  /// below 1024, is refused with EACCES.
  explicit SharedSockets(bool rights = false) : rights_(rights) {}
  ~SharedSockets();
  SharedSockets(SharedSockets&&) = default;

  /// A descriptor of the caller's own, non-blocking. Error: as the kernel's errno (EADDRINUSE …), EINVAL for a query with a descriptor of
  /// the worker's, EMFILE beyond kMost.
  base::Result<base::UniqueFd> open(const ListenQuery& query);
  void closed(const ListenQuery& query);
  /// Its user has died without closing it: it stays open for the next one.
  void abandoned(const ListenQuery& query);
  std::size_t size() const { return sockets_.size(); }

 private:
  struct Shared {
    base::UniqueFd socket;
    std::size_t users = 0;
    std::string unlink;  ///< path to remove at the end
  };
  using Sockets = std::map<std::string, Shared>;
  void remove(Sockets::iterator which);

  bool rights_;
  Sockets sockets_;  ///< by ListenQuery::key()
};

}  // namespace drover::backends
