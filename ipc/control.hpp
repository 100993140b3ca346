// Role: the control pipe: rare messages between the supervisor and one proxy, over SOCK_SEQPACKET (unix(7)): one send is one message.
// Thread: supervisor's loop on one side, a proxy's main thread on the other. Ownership: each side owns its end.
//
// Down: Start (layout facts and descriptors), Drain, Cut. Up: Ready, Drained.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace drover::ipc {

enum class ControlType : std::uint32_t {
  start = 1,   ///< down: a = threads, b = listeners, c = CPUs that "auto" stands for; descriptors: config memfd, supervisor board, proxy board,
               ///< doorbell (an eventfd that any proxy thread writes when it needs a worker of a pool that is asleep), eventfd per thread,
               ///< listener each
  ready,       ///< up: every thread accepts
  drain,       ///< down: a = milliseconds: stop accepting, close idle clients, finish the rest
  drained,     ///< up: no client connection is left
  cut,         ///< down: a = row, b = incarnation, c = Cut: close its worker connections now
  access_log,  ///< down, with an access log after start and after each USR1: one descriptor: from now on lines go there
};

/// What becomes of the exchanges of a worker whose connections are cut.
enum class Cut : std::uint32_t {
  gone,     ///< it is dead: as if it had closed them
  hung,     ///< it is about to be killed for hanging: 504, none is tried again
  stopped,  ///< it is stopped by a signal: only those are cut that may be tried again elsewhere
};

struct ControlMessage {
  ControlType type = ControlType::ready;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::uint32_t c = 0;
  std::vector<base::UniqueFd> descriptors;  ///< received ones are close-on-exec
};

inline constexpr std::size_t kMaxDescriptors = 250;  ///< the kernel's SCM_MAX_FD is 253

/// A connected pair, close-on-exec, non-blocking: supervisor's end, proxy's end.
base::Result<std::pair<base::UniqueFd, base::UniqueFd>> control_pair();

/// `lent` stay the caller's. Error: EAGAIN when the peer does not read, EPIPE when it is gone.
base::Result<void> send(int fd, ControlType type, std::uint32_t a = 0, std::uint32_t b = 0, const std::vector<int>& lent = {}, std::uint32_t c = 0);

/// One message; none: nothing to read now. Error: the peer is gone (code 0) or broke the form.
base::Result<std::optional<ControlMessage>> receive(int fd);

}  // namespace drover::ipc
