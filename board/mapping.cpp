#include "board/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace drover::board {

base::Result<Mapping> Mapping::map(int fd, std::size_t size, Access access) {
  const int protection = access == Access::read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  void* data = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return base::system_error("map a board", errno);
  return Mapping(static_cast<std::byte*>(data), size);
}

Mapping::Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

FirstPage first_page(std::uint64_t magic, const Shape& shape, std::size_t total_bytes) {
  FirstPage page;
  page.magic = magic;
  page.layout_version = kLayoutVersion;
  page.pools = static_cast<std::uint32_t>(shape.pools.size());
  page.rows = shape.rows;
  page.threads = shape.threads;
  page.listeners = shape.listeners;
  page.total_bytes = total_bytes;
  return page;
}

namespace {

std::string difference(const FirstPage& found, const FirstPage& expected) {
  const auto say = [](const char* what, std::uint64_t has, std::uint64_t wanted) {
    return std::string(what) + " " + std::to_string(has) + " instead of " + std::to_string(wanted);
  };
  if (found.magic != expected.magic) return "its magic number is another thing's";
  if (found.layout_version != expected.layout_version) return say("layout version", found.layout_version, expected.layout_version);
  if (found.pools != expected.pools) return say("pools", found.pools, expected.pools);
  if (found.rows != expected.rows) return say("rows", found.rows, expected.rows);
  if (found.threads != expected.threads) return say("threads", found.threads, expected.threads);
  if (found.listeners != expected.listeners) return say("listeners", found.listeners, expected.listeners);
  if (found.total_bytes != expected.total_bytes) return say("bytes", found.total_bytes, expected.total_bytes);
  return {};
}

}  // namespace

base::Result<Mapping> map_checked(int fd, const FirstPage& expected, Mapping::Access access, const char* name) {
  const auto refuse = [&](const std::string& why) { return base::Error{std::string(name) + " refused: " + why, EPROTO}; };
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return base::system_error(std::string(name) + ": fstat", errno);
  const int seals = ::fcntl(fd, F_GET_SEALS);
  // An unsealed file could shrink under our feet, and each access beyond its end would be a SIGBUS.
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return refuse("it is no sealed memory file");
  if (facts.st_size < static_cast<off_t>(kPageBytes)) return refuse("it is too small for a first page");

  auto first = Mapping::map(fd, kPageBytes, Mapping::Access::read_only);
  if (!first) return first.error();
  FirstPage found;
  std::memcpy(&found, first->data(), sizeof found);
  if (const std::string why = difference(found, expected); !why.empty()) return refuse(why);
  if (static_cast<std::uint64_t>(facts.st_size) != expected.total_bytes) return refuse("its size is not what its first page says");
  return Mapping::map(fd, expected.total_bytes, access);
}

base::Result<base::UniqueFd> make_memfd(const char* name, std::size_t size) {
  base::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return base::system_error(std::string("memfd_create for ") + name, errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return base::system_error(std::string("size of ") + name, errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return base::system_error(std::string("seal ") + name, errno);
  return fd;
}

}  // namespace drover::board
