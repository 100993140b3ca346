// The beginning and the end of one life: endpoint, row, limits, NOTIFY_SOCKET, process; and giving all of it back.
#include "backends/endpoint.hpp"
#include "backends/pool_runner.hpp"
#include "base/log.hpp"

#include <unistd.h>

#include <algorithm>

namespace drover::backends {

void PoolRunner::spawn(std::uint32_t slot, base::Incarnation incarnation) {
  Holding& it = seat(slot).lives[incarnation];
  it.incarnation = incarnation;
  it.started = base::Clock::now();
  it.start_time = unix_now();
  it.recycling.emplace(pool_, seed_ ^ (static_cast<std::uint64_t>(slot) << 32U) ^ incarnation, it.started);
  if (auto done = launch(slot, it); !done) {
    seat(slot).note = done.error().message;
    base::log::error(name_of(slot), "not started: {}", done.error().message);
    failed_start(slot, incarnation, "not started: " + done.error().message);
    emit("error", slot, incarnation, {{"reason", "not started: " + done.error().message}});
    pending_.emplace_back(slot, Event{EventType::spawn_failed, incarnation, Cause::spawn_failed});
    return;
  }
  ++services_.created;
}

base::Result<WorkerEndpoint> PoolRunner::make_endpoint(std::uint32_t slot, base::Incarnation incarnation) {
  WorkerEndpoint out;
  if (pool_.dispatch != config::Dispatch::proxy) {
    tell_listeners(out);
    return out;
  }
  if (pool_.endpoint == config::Endpoint::unix_path) {
    out.socket_path = services_.runtime_dir.socket_path(pool_, slot, incarnation);
    auto address = unix_endpoint(out.socket_path);
    if (!address) return address.error();
    out.address = *address;
    out.text = "unix:" + out.socket_path;
    return out;
  }
  auto port = services_.ports.take(base::Clock::now());
  if (!port) return port.error();
  out.port = *port;
  out.address = tcp_endpoint(*port);
  out.text = "127.0.0.1:" + std::to_string(*port);
  return out;
}

base::Result<void> PoolRunner::launch(std::uint32_t slot, Holding& it) {
  auto endpoint = make_endpoint(slot, it.incarnation);
  if (!endpoint) return endpoint.error();
  it.endpoint = std::move(*endpoint);
  it.row = services_.boards.take_row({index_, slot}, it.incarnation, it.endpoint.address);
  if (!it.row) return base::Error{"no row of the board is free: earlier incarnations are still draining", 0};
  open_notify(slot, it);
  auto spec = launch_.spec(key_of(slot, it.incarnation), it.endpoint);
  if (!spec) return spec.error();
  pass_listeners(*spec);
  const base::UniqueFd worker_end = open_channel(slot, it, *spec);
  const auto pid = services_.host.start(*spec);
  if (!pid) return pid.error();
  services_.boards.write_pid(*it.row, *pid);
  services_.switchboard.set_pid(peer_of(slot, it.incarnation), *pid);
  base::log::info(name_of(slot), "started (pid {}, {}, incarnation {})", *pid, it.endpoint.text, it.incarnation);
  emit("workerOnline", slot, it.incarnation, {{"pid", *pid}, {"endpoint", it.endpoint.text}});
  return {};
}

/// Without it the worker is as good as one that never reports.
void PoolRunner::open_notify(std::uint32_t slot, Holding& it) {
  const auto& user = launch_.user();
  auto opened = NotifySocket::open(
      services_.io, services_.runtime_dir.notify_path(pool_, slot, it.incarnation), user ? std::optional(user->uid) : std::nullopt,
      [this, slot, incarnation = it.incarnation](const Report& report) { heard(slot, incarnation, ReportSource::notify, report); });
  if (opened) {
    it.notify = std::move(*opened);
    it.endpoint.notify_path = it.notify->path();
    return;
  }
  base::log::warn(name_of(slot), "without NOTIFY_SOCKET: {}", opened.error().message);
  emit("error", slot, it.incarnation, {{"reason", "without NOTIFY_SOCKET: " + opened.error().message}});
}

void PoolRunner::release(std::uint32_t slot, base::Incarnation incarnation) {
  Seat& own = seat(slot);
  const auto found = own.lives.find(incarnation);
  if (found == own.lives.end()) return;
  Holding& it = found->second;
  if (it.line.channel) close_channel(slot, it, ipc::ChannelEnd::peer);  // it was never started
  if (it.row) services_.boards.release(*it.row);
  if (it.endpoint.port != 0) services_.ports.give_back(it.endpoint.port, base::Clock::now());
  if (!it.endpoint.socket_path.empty()) ::unlink(it.endpoint.socket_path.c_str());
  if (it.usage) own.cpu_before += it.usage->cpu_seconds;
  own.requests_before += it.line.requests;
  own.errors_before += it.line.errors;
  services_.host.forget(key_of(slot, incarnation));
  services_.cgroups.forget(pool_.name, slot, incarnation);
  own.lives.erase(found);
}

}  // namespace drover::backends
