#include "board/shape.hpp"

namespace drover::board {

Shape make_shape(std::span<const std::uint32_t> most_workers, std::uint32_t threads, std::uint32_t listeners) {
  Shape shape;
  shape.threads = threads;
  shape.listeners = listeners;
  shape.pools.reserve(most_workers.size());
  for (const std::uint32_t workers : most_workers) {
    const std::uint32_t count = Shape::rows_for(workers);
    shape.pools.push_back({shape.rows, count});
    shape.rows += count;
  }
  return shape;
}

}  // namespace drover::board
