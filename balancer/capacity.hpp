// Role: how large the boards of a configuration are: the one place that both the supervisor and its proxies ask.
// Thread: any; pure. Ownership: plain values.
#pragma once

#include "board/shape.hpp"
#include "config/model.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace drover::balancer {

/// The most workers that a pool's configuration names; it may be scaled beyond them by hand, up to Shape::slots_for() of this.
inline std::uint32_t most_workers(const config::Pool& pool) { return std::max(pool.workers, pool.workers_max.value_or(pool.workers)); }

inline board::Shape shape_of(const config::Config& config, std::uint32_t threads, std::uint32_t listeners) {
  std::vector<std::uint32_t> workers;
  workers.reserve(config.pools.size());
  for (const config::Pool& pool : config.pools) workers.push_back(most_workers(pool));
  return board::make_shape(workers, threads, listeners);
}

}  // namespace drover::balancer
