#include "board/shape.hpp"

namespace drover::board {

Shape make_shape(std::span<const std::uint32_t> workers_per_pool, std::uint32_t threads, std::uint32_t listeners) {
  Shape shape;
  shape.threads = threads;
  shape.listeners = listeners;
  shape.pools.reserve(workers_per_pool.size());
  for (const std::uint32_t workers : workers_per_pool) {
    const std::uint32_t count = Shape::rows_for(workers);
    shape.pools.push_back({shape.rows, count});
    shape.rows += count;
  }
  return shape;
}

}  // namespace drover::board
