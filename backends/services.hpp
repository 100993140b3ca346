// Role: what all pools of one supervisor use.
// Thread: supervisor's deciding thread. Ownership: the Supervisor owns the one instance and everything it refers to.
#pragma once

#include "backends/board_writer.hpp"
#include "backends/events.hpp"
#include "backends/limits.hpp"
#include "backends/obituary.hpp"
#include "backends/ports.hpp"
#include "backends/process_host.hpp"
#include "backends/pss.hpp"
#include "backends/switchboard.hpp"
#include "backends/worker_launch.hpp"
#include "ipc/control.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

namespace drover::backends {

inline double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

struct Services {
  boost::asio::io_context& io;
  ProcessHost& host;
  BoardWriter& boards;
  Ports& ports;
  RuntimeDir& runtime_dir;
  Cgroups& cgroups;
  PssReader& pss;
  Switchboard& switchboard;
  EventJournal& events;
  Obituaries& obituaries;
  std::function<void(std::uint32_t row, base::Incarnation, ipc::Cut)> cut;  ///< connections to a worker
  std::function<void()> changed;                                            ///< something may have to be done at another time than planned
  std::function<void()> blocked_changed;                                    ///< a pool's list of killers is another one
  std::uint64_t created = 0;
  std::uint64_t died = 0;
  std::uint64_t health_checks = 0;
  board::HistogramTotals exit_to_close{};
  board::HistogramTotals turns{};  ///< of the loop: control, the second's work, channels
  bool stopping = false;           ///< the cluster stops
  bool killed = false;             ///< something had to be killed while stopping

  void emit(ClusterEvent event) {
    event.time = unix_now();
    events.add(std::move(event));
  }
};

}  // namespace drover::backends
