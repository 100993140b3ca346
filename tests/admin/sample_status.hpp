// Role: a cluster in the middle of its life, for the tests of the room.
// Thread: the test's. Ownership: values.
#pragma once

#include "backends/status.hpp"

namespace drover::admin {

inline backends::WorkerStatus sample_worker(std::uint32_t slot) {
  backends::WorkerStatus worker;
  worker.slot = slot;
  worker.incarnation = slot + 10;
  worker.pid = static_cast<pid_t>(4000 + slot);
  worker.lifecycle = backends::Lifecycle::running;
  worker.health = backends::Health::passing;
  worker.eligible = true;
  worker.endpoint = "127.0.0.1:" + std::to_string(20000 + slot);
  worker.uptime_seconds = 12.5;
  worker.start_time = 1'700'000'000.25;
  worker.requests = 100 * slot;
  worker.errors = slot;
  worker.in_flight = slot;
  worker.restarts = 2;
  worker.exits = {{"0", 1}, {"KILL", 1}};
  worker.memory_bytes = 50'000'000;
  worker.memory_source = "rss";
  worker.cpu_percent = 12.3456;
  worker.cpu_seconds = 3.5;
  worker.open_fds = 17;
  worker.memory_limit = 400'000'000;
  worker.memory_forecast_seconds = 30.25;
  worker.reported_by = "probe";
  worker.report_age_seconds = 2.5;
  worker.share = 50;
  worker.channel = "open";
  worker.messages_in = 9;
  worker.reported_requests = 8;
  worker.last_error = "no \x1b[31m luck";
  worker.metrics = {{"queue", 7}};
  return worker;
}

inline backends::ClusterStatus sample_status() {
  backends::ClusterStatus status;
  status.pid = 100;
  status.supervisor = 101;
  status.uptime_seconds = 60.5;
  status.start_time = 1'700'000'000;
  status.ready = true;
  status.created = 5;
  status.died = 2;
  status.restarted = 2;
  status.health_checks = 40;
  status.events = 321;
  status.exit_to_close.buckets[0] = 2;
  status.supervisor_beat_age_seconds = 0.1;
  status.admin_address = "127.0.0.1:9180";
  status.proxies = {{102, 2, true}};
  status.listeners = {{"web", "127.0.0.1:3000", 7}};
  status.degraded = {"memory of other users' processes can't be read"};
  backends::PoolStatus shop;
  shop.name = "shop";
  shop.strategy = "round-robin";
  shop.position = 3;
  shop.desired = 3;
  shop.in_flight = 3;
  shop.queue_length = 4;
  shop.fewest = 2;
  shop.hold_seconds = 12.5;
  shop.maintenance = true;
  shop.maintenance_message = "back at \x1b[31m noon";
  shop.breaker = balancer::BreakerState::open;
  shop.most = 4;
  shop.capacity = 16;
  shop.roll = {"running", 1, 3, ""};
  shop.blocked = {{"GET", "/die", 3, 290.5}};
  shop.replaced = {{"memory", 2}};
  shop.rolls = {{"done", 4}};
  shop.ejections = 5;
  shop.suspicions = 6;
  shop.killers_found = 1;
  shop.p99_seconds = 0.3;
  shop.messages_in = 18;
  shop.channel_faults = {{"not_json", 3}};
  shop.channel_closed = {{"peer", 1}};
  shop.undeliverable = {{"late_response", 2}};
  shop.handoff = backends::PoolStatus::Handed{90, 85, 80, 4, 3, 2, 5};
  shop.state_keys = 5;
  shop.state_bytes = 500;
  shop.workers = {sample_worker(1), sample_worker(2), {}};
  shop.workers[2].slot = 3;
  shop.workers[2].lifecycle = backends::Lifecycle::backoff;
  shop.workers[2].restart_in_seconds = 3;
  shop.workers[2].note = "exit 1 \x1b[31m";
  shop.start_duration.buckets[4] = 2;
  shop.start_duration.sum_us = 15'000;
  status.pools.push_back(shop);
  board::PoolTotals totals;
  totals.requests[0][200 - board::kFirstCode] = 90;
  totals.requests[2][502 - board::kFirstCode] = 3;
  totals.requests[3][404 - board::kFirstCode] = 1;
  totals.retries[0] = 5;
  totals.queue_rejected[1] = 6;
  totals.client_disconnects[3] = 7;
  totals.truncated = 2;
  totals.blocked = 8;
  totals.spilled = 9;
  totals.deadlines = 10;
  totals.unpaid = 11;
  totals.breaker_opened = 12;
  totals.duration.buckets[0] = 80;
  totals.duration.buckets[2] = 10;
  totals.duration.buckets.back() = 4;
  totals.duration.sum_us = 2'500'000;
  status.traffic.pools.push_back(totals);
  board::ListenerTotals listener{{13, 14}, 15, {}, {}};
  listener.refused[board::code_index(404)] = 19;
  listener.answered[board::code_index(308)] = 20;
  status.traffic.listeners.push_back(listener);
  status.traffic.accept_pauses = 16;
  status.traffic.access_lines = 17;
  status.traffic.access_dropped = 18;
  return status;
}

}  // namespace drover::admin
