#include "proxy/buffer.hpp"

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace drover::proxy {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCache = false;
#else
constexpr bool kCache = true;
#endif

struct BlockCache {
  static constexpr std::size_t kKeptSmall = 64;  // 1 MiB
  static constexpr std::size_t kKeptLarge = 8;   // 1 MiB
  std::vector<char*> small;
  std::vector<char*> large;
  ~BlockCache() {
    for (char* block : small) std::free(block);
    for (char* block : large) std::free(block);
  }
  std::vector<char*>* of(std::size_t size) {
    if (size == Buffer::kSmall) return &small;
    if (size == Buffer::kLarge) return &large;
    return nullptr;
  }
};

BlockCache& cache() {
  thread_local BlockCache instance;
  return instance;
}

char* take_block(std::size_t size) {
  if (auto* kept = cache().of(size); kCache && kept != nullptr && !kept->empty()) {
    char* block = kept->back();
    kept->pop_back();
    return block;
  }
  void* block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  return static_cast<char*>(block);
}

void give_block(char* block, std::size_t size) {
  auto* kept = cache().of(size);
  const std::size_t most = size == Buffer::kSmall ? BlockCache::kKeptSmall : BlockCache::kKeptLarge;
  if (kCache && kept != nullptr && kept->size() < most) {
    kept->push_back(block);
  } else {
    std::free(block);
  }
}

std::size_t block_size(std::size_t wanted) {
  if (wanted <= Buffer::kSmall) return Buffer::kSmall;
  std::size_t size = std::size_t{32} * 1024;
  while (size < wanted) size *= 2;
  return size;
}

}  // namespace

void Buffer::reserve(std::size_t wanted) {
  if (room() >= wanted) return;
  if (capacity_ >= size() + wanted) {
    std::memmove(data_, data_ + begin_, size());
  } else {
    const std::size_t bigger = block_size(size() + wanted);
    char* block = take_block(bigger);
    if (data_ != nullptr) {
      std::memcpy(block, data_ + begin_, size());
      give_block(data_, capacity_);
    }
    data_ = block;
    capacity_ = bigger;
  }
  end_ -= begin_;
  begin_ = 0;
}

void Buffer::shrink() {
  if (capacity_ <= kTiny || size() > kTiny / 2) return;
  char* block = take_block(kTiny);
  std::memcpy(block, data_ + begin_, size());
  give_block(data_, capacity_);
  data_ = block;
  capacity_ = kTiny;
  end_ -= begin_;
  begin_ = 0;
}

void Buffer::append(std::string_view bytes) {
  if (bytes.empty()) return;  // there may be no block yet
  reserve(bytes.size());
  std::memcpy(tail(), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Buffer::free() {
  if (data_ != nullptr) give_block(data_, capacity_);
  data_ = nullptr;
  capacity_ = begin_ = end_ = 0;
}

}  // namespace drover::proxy
